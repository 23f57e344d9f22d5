/** Connection URIs: where they lead, what the daemon is asked to open, and what is refused. */
import { describe, expect, it } from 'vitest';
import { parseUri, UriError } from '../../src/libvirt/uri.ts';

const env = { XDG_RUNTIME_DIR: '/run/user/7' };

describe('a URI', () => {
  const cases = [
    ['qemu:///system', ['/var/run/libvirt/virtqemud-sock', '/var/run/libvirt/libvirt-sock'], 'qemu:///system'],
    ['qemu:///session', ['/run/user/7/libvirt/virtqemud-sock', '/run/user/7/libvirt/libvirt-sock'], 'qemu:///session'],
    ['QEMU+UNIX:///session?socket=%2Fsrv%2Fa%20b', ['/srv/a b'], 'qemu:///session'],
    ['qemu+unix:///session?socket=/s&foo=1&mode=legacy&Bar=%20', ['/s'], 'qemu:///session?foo=1&Bar=%20'],
    ['qemu:///system?mode=direct', ['/var/run/libvirt/virtqemud-sock'], 'qemu:///system'],
    ['qemu:///system?mode=legacy', ['/var/run/libvirt/libvirt-sock'], 'qemu:///system'],
    ['test:///default?socket=/s', ['/s'], 'test:///default'],
    ['qemu:///system?socket=/s&name=test:///default', ['/s'], 'test:///default'],
    ['remote:///?socket=/s', ['/s'], ''],
  ] as const;
  it.each(cases)('%s leads to a unix socket', (uri, socketPaths, openName) => {
    expect(parseUri(uri, { env })).toEqual({ transport: 'unix', socketPaths, openName });
  });

  it('without a runtime folder leads to the cache folder', () => {
    const target = parseUri('qemu:///session', { env: {} });
    expect(target).toMatchObject({
      socketPaths: [expect.stringMatching(/\/\.cache\/libvirt\/virtqemud-sock$/), expect.anything()],
    });
  });

  it('opened read-only leads to the read-only socket, which a session does not have', () => {
    const socketPaths = ['/var/run/libvirt/virtqemud-sock-ro', '/var/run/libvirt/libvirt-sock-ro'];
    expect(parseUri('qemu:///system', { readOnly: true, env })).toMatchObject({ socketPaths });
    expect(parseUri('qemu:///session', { readOnly: true, env })).toEqual(parseUri('qemu:///session', { env }));
  });

  it.each([
    ['qemu+tcp://127.0.0.2/session', '127.0.0.2', 16_509, 'qemu:///session'],
    ['qemu+tcp://me@host.example:99/system?x=1', 'host.example', 99, 'qemu:///system?x=1'],
    ['test+tcp://[::1]:5/default', '::1', 5, 'test:///default'],
    ['qemu+tcp:///system', 'localhost', 16_509, 'qemu:///system'],
  ] as const)('%s leads to a host', (uri, host, port, openName) => {
    expect(parseUri(uri)).toEqual({ transport: 'tcp', host, port, openName });
  });

  it.each([
    ['', /not a libvirt URI/],
    ['qemu', /not a libvirt URI/],
    ['qemu:/system', /not a libvirt URI/],
    ['/var/run/libvirt/libvirt-sock', /not a libvirt URI/],
    ['qemu+unix://host/system', /has no host/],
    ['qemu+tcp://host:0/system', /not a port/],
    ['qemu+tcp://host:70000/system', /not a port/],
    ['qemu:///system?socket=%zz', /percent-encoding/],
    ['qemu://host/system', /'tls' is not supported yet/],
    ['qemu+ssh://host/system', /'ssh' is not supported yet/],
    ['qemu+ext:///system?command=x', /'ext' is not supported yet/],
  ])('%s is refused', (uri, message) => {
    expect(() => parseUri(uri)).toThrow(UriError);
    expect(() => parseUri(uri)).toThrow(message);
  });
});
