/** Connection URIs: where they lead, what the daemon is asked to open, and what is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sshArguments } from '../../src/libvirt/transport-ssh-command.ts';
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
    ['qemu+unix:///system?mode=fast', /mode is 'fast'; it must be auto, direct, legacy/],
    ['qemu+ext:///system?command=x', /'ext' is not supported; use qemu\+ssh/],
    ['qemu+libssh://host/system', /'libssh' is not supported; use qemu\+ssh/],
    ['qemu+libssh2://host/system', /'libssh2' is not supported; use qemu\+ssh/],
    ['qemu+vsock://host/system', /'vsock' is not supported; transports are unix, ssh, tls and tcp/],
    ['qemu+tcp://-host/system', /does not begin with '-'/],
    ['qemu://host/system?tls_priority=NORMAL', /tls_priority/],
    ['qemu://host/system?no_verify=yes', /no_verify must be 0 or 1/],
    ['qemu:///sys\ntem', /control character/],
    ['qemu+ssh://host/system?keyfile=%0Ax', /control character/],
    ['qemu+ssh://-oProxyCommand=id/system', /does not begin with '-'/],
    ['qemu+ssh://-oProxyCommand=id@host/system', /is not a user name/],
    ['qemu+ssh://me:secret@host/system', /a password in a URI is never used/],
    ['qemu+ssh://a$(id)@host/system', /is not a user name/],
    ['qemu+ssh://a%20b/system', /is not a host name/],
    ['qemu+ssh://a%40b/system', /is not a host name/],
    ['qemu+ssh://`id`/system', /is not a host name/],
    ['qemu+ssh://host/system?keyfile=-oProxyCommand%3Did', /keyfile is not a path/],
    ['qemu+ssh://host/system?keyfile=%25h', /keyfile is not a path/],
    ['qemu+ssh://host/system?known_hosts=a%22%20b', /known_hosts is not a path/],
    ['qemu+ssh://host/system?known_hosts=$%7BHOME%7D/x', /known_hosts is not a path/],
    ['qemu+ssh://host/system?command=-v', /command is the path of a program/],
    ['qemu+ssh://host/system?proxy=corkscrew', /proxy is 'corkscrew'; it must be auto, netcat, native/],
    ['qemu+ssh://host/system?proxy=native&netcat=nc', /proxy=native does not use netcat/],
    ['qemu+ssh://host/system?socket=-x', /socket is not a path/],
    ['qemu+ssh://host/session?proxy=netcat', /does not know a session's socket/],
    ['qemu+ssh://host/system?name=-r', /no name that begins with '-'/],
  ])('%s is refused', (uri, message) => {
    expect(() => parseUri(uri)).toThrow(UriError);
    expect(() => parseUri(uri)).toThrow(message);
  });

  it('never tells a password', () => {
    expect(() => parseUri('qemu+ssh://me:hunter2@host/system')).not.toThrow(/hunter2/);
  });

  it.each([
    ['qemu://host.example/system', { host: 'host.example', port: 16_514, pkiPath: undefined, verify: true }],
    ['qemu+tls://10.0.0.2:99/system?no_verify=1', { host: '10.0.0.2', port: 99, pkiPath: undefined, verify: false }],
    ['QEMU+TLS://[fe80::1%25eth0]/system', { host: 'fe80::1%eth0', port: 16_514, pkiPath: undefined, verify: true }],
    [
      'qemu+tls:///system?pkipath=/srv/p%20ki&no_verify=0&no_sanity=1&authfile=/a',
      { host: 'localhost', port: 16_514, pkiPath: '/srv/p ki', verify: true },
    ],
  ] as const)('%s leads to a TLS server', (uri, target) => {
    expect(parseUri(uri)).toEqual({ transport: 'tls', openName: 'qemu:///system', ...target });
  });
});

describe('an ssh URI', () => {
  const system = ['/var/run/libvirt/virtqemud-sock', '/var/run/libvirt/libvirt-sock'];
  const plain = {
    transport: 'ssh',
    program: 'ssh',
    host: 'host',
    port: undefined,
    user: undefined,
    keyFile: undefined,
    knownHostsFile: undefined,
    verify: true,
    proxy: 'auto',
    netcat: 'nc',
    socketPaths: system,
    helperUri: 'qemu:///system',
    readOnly: false,
    openName: 'qemu:///system',
  };
  const session = { openName: 'qemu:///session', helperUri: 'qemu:///session' };
  it.each([
    ['qemu+ssh://host/system', {}],
    ['qemu+ssh:///system', { host: 'localhost' }],
    ['qemu+ssh://root@host:2222/system?no_tty=1', { user: 'root', port: 2222 }],
    ['qemu+ssh://DOM%5Cme@host/system', { user: 'DOM\\me' }],
    ['qemu+ssh://me%40corp@[::1]/system', { user: 'me@corp', host: '::1' }],
    [
      'qemu+ssh://host/system?KeyFile=/k%20ey&known_hosts=/h&no_verify=1',
      { keyFile: '/k ey', knownHostsFile: '/h', verify: false },
    ],
    [
      'qemu+ssh://host/system?command=/opt/ssh&sshauth=agent&known_hosts_verify=auto&auth=none',
      { program: '/opt/ssh' },
    ],
    ['qemu+ssh://host/system?proxy=native', { proxy: 'native', socketPaths: [] }],
    ['qemu+ssh://host/system?proxy=netcat', { proxy: 'netcat' }],
    ['qemu+ssh://host/system?netcat=/bin/nc.openbsd', { proxy: 'netcat', netcat: '/bin/nc.openbsd' }],
    ['qemu+ssh://host/system?mode=legacy', { socketPaths: [system[1]], helperUri: 'qemu:///system?mode=legacy' }],
    ['qemu+ssh://host/system?mode=direct', { socketPaths: [system[0]], helperUri: 'qemu:///system?mode=direct' }],
    [
      'qemu+ssh://host/system?socket=/s',
      { proxy: 'netcat', socketPaths: ['/s'], helperUri: 'qemu:///system?socket=/s' },
    ],
    ['qemu+ssh://host/session', { ...session, proxy: 'native', socketPaths: [] }],
    ['qemu+ssh://host/session?proxy=auto', { ...session, proxy: 'native', socketPaths: [] }],
    [
      'qemu+ssh://host/system?x=1&y=%20',
      { openName: 'qemu:///system?x=1&y=%20', helperUri: 'qemu:///system?x=1&y=%20' },
    ],
    ['remote+ssh://host/?name=qemu:///system', { socketPaths: [system[1]] }],
  ])('%s leads through ssh', (uri, changes) => {
    expect(parseUri(uri, { env })).toEqual({ ...plain, ...changes });
  });

  it('opened read-only leads to the read-only socket', () => {
    const socketPaths = system.map((path) => `${path}-ro`);
    expect(parseUri('qemu+ssh://host/system', { readOnly: true })).toEqual({ ...plain, readOnly: true, socketPaths });
  });

  it('of whatever text leads to arguments that are values, or nowhere', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.constantFrom(
        '-oProxyCommand=id',
        '$(id)',
        '`id`',
        "a'b",
        'a"b',
        'a b',
        'a\nb',
        'a;id',
        '%h',
        '$'.concat('{HOME}'),
        '\\',
        '--',
      ),
    );
    const parameter = fc.constantFrom(
      'keyfile',
      'known_hosts',
      'socket',
      'netcat',
      'command',
      'name',
      'proxy',
      'mode',
      'x',
    );
    const raw = fc.boolean();
    fc.assert(
      fc.property(
        hostile,
        hostile,
        fc.array(fc.tuple(parameter, hostile), { maxLength: 3 }),
        raw,
        (user, host, pairs, asIs) => {
          const text = (value: string): string => (asIs ? value : encodeURIComponent(value.toWellFormed()));
          const query = pairs.map(([name, value]) => `${name}=${text(value)}`).join('&');
          let target: ReturnType<typeof parseUri>;
          try {
            target = parseUri(`qemu+ssh://${text(user)}@${text(host)}/system?${query}`);
          } catch (error) {
            expect(error).toBeInstanceOf(UriError);
            return;
          }
          if (target.transport !== 'ssh') throw new Error('the transport changed');
          expect(target.program).not.toMatch(/^-/);
          const all = sshArguments(target, 1_000);
          const end = all.indexOf('--');
          expect(all.slice(end)).toEqual(['--', target.host, expect.stringMatching(/^sh -c '/)]);
          expect(target.host).not.toMatch(/^-|[\s'"`$;&|<>(){}@\p{Cc}]/u);
          expect(target.user ?? '').not.toMatch(/^-|[\s'"`$;&|<>(){}\p{Cc}]/u);
          for (const value of all) expect(value).not.toMatch(/\p{Cc}/u);
          // Before the host only options of ours, each with its value.
          const options = all.slice(0, end).filter((value) => value.startsWith('-'));
          expect(options.filter((option) => !['-p', '-l', '-i', '-T', '-e', '-o'].includes(option))).toEqual([]);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
