import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type DaemonConfig, DEFAULT_FLAVORS, DEFAULT_HOST } from '../../src/config/daemon-config.ts';
import { type DaemonSources, parseDaemonConfig } from '../../src/config/daemon-file.ts';
import { problemText } from '../../src/config/file-problem.ts';

function sources(text: string | undefined, over: Partial<DaemonSources> = {}): DaemonSources {
  return {
    env: {},
    homeDir: '/home/ada',
    cwd: '/srv/cwd',
    ...(text !== undefined && { file: { path: 'conf/virtscale.yaml', text } }),
    ...over,
  };
}

function accepted(text: string | undefined, over: Partial<DaemonSources> = {}): DaemonConfig {
  const result = parseDaemonConfig(sources(text, over));
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result.config;
}

function problems(text: string | undefined, over: Partial<DaemonSources> = {}): readonly string[] {
  const result = parseDaemonConfig(sources(text, over));
  return result.ok ? [] : result.problems.map(problemText);
}

const DEFAULTS: DaemonConfig = {
  listen: { host: '127.0.0.1', port: 7070 },
  stateDir: '/home/ada/.local/state/virtscale',
  policiesDir: '/srv/cwd/policies',
  pollMs: 1000,
  hosts: [DEFAULT_HOST],
  images: [{ kind: 'built', name: 'backend' }],
  flavors: DEFAULT_FLAVORS,
  log: { level: 'info' },
  events: { keep: 100_000 },
};

describe('the configuration', () => {
  it('without a file is an embedded host', () => {
    expect(accepted(undefined)).toEqual(DEFAULTS);
  });

  it.each(['', '# nothing yet\n', '{}'])('of the file %j is the same, beside that file', (text) => {
    expect(accepted(text)).toEqual({
      ...DEFAULTS,
      file: '/srv/cwd/conf/virtscale.yaml',
      policiesDir: '/srv/cwd/conf/policies',
    });
  });

  it('of the example that is shipped says what is so anyway', () => {
    const text = readFileSync(new URL('../../virtscale.example.yaml', import.meta.url), 'utf8');
    expect(accepted(text)).toEqual(accepted(''));
    // What is commented out there must be right, too.
    const rich = accepted(text.replace(/^( *)#(?=\S| {2})/gm, '$1'));
    expect(rich.hosts.map(({ name, kind }) => [name, kind])).toEqual([
      ['local', 'embedded'],
      ['rack1', 'libvirt'],
    ]);
    expect(rich.images.map(({ kind }) => kind)).toEqual(['built', 'file', 'file']);
    expect(rich.stateDir).toBe('/var/lib/virtscale');
  });

  it('takes everything from its file, paths relative to it', () => {
    const text = `
listen: "[::1]:8080"
stateDir: state
policies: /etc/virtscale/policies
poll: 2s
hosts:
  - { name: rack1, uri: "qemu+tcp://rack1/system", pool: { name: vs, path: pool }, network: { bridge: br0 } }
  - { name: rack2, uri: "qemu:///system" }
images:
  - { name: debian, path: images/debian.qcow2 }
  - { name: tiny, path: /img/tiny.raw, format: raw, kernel: vmlinuz, initrd: initrd.gz, args: quiet }
flavors:
  - { name: big, vcpus: 4, memory: 2G, disk: 10G }
log: { level: debug }
events: { keep: 5000 }
`;
    expect(accepted(text)).toEqual({
      file: '/srv/cwd/conf/virtscale.yaml',
      listen: { host: '::1', port: 8080 },
      stateDir: '/srv/cwd/conf/state',
      policiesDir: '/etc/virtscale/policies',
      pollMs: 2000,
      hosts: [
        {
          kind: 'libvirt',
          name: 'rack1',
          uri: 'qemu+tcp://rack1/system',
          pool: { name: 'vs', path: '/srv/cwd/conf/pool' },
          network: { kind: 'bridge', name: 'br0' },
        },
        {
          kind: 'libvirt',
          name: 'rack2',
          uri: 'qemu:///system',
          pool: { name: 'default' },
          network: { kind: 'network', name: 'default' },
        },
      ],
      images: [
        { kind: 'file', image: { name: 'debian', path: '/srv/cwd/conf/images/debian.qcow2', format: 'qcow2' } },
        {
          kind: 'file',
          image: {
            name: 'tiny',
            path: '/img/tiny.raw',
            format: 'raw',
            direct: { kernel: '/srv/cwd/conf/vmlinuz', initrd: '/srv/cwd/conf/initrd.gz', args: 'quiet' },
          },
        },
      ],
      flavors: [{ name: 'big', vcpus: 4, memoryMiB: 2048, diskGiB: 10 }],
      log: { level: 'debug' },
      events: { keep: 5000 },
    });
  });

  it('has the built image beside an embedded host, unless another has its name', () => {
    const hosts = 'hosts: [{ name: local, embedded: true, network: { forward: 127.0.7 } }]\n';
    const other = accepted(`${hosts}images: [{ name: x, path: /x }]`);
    expect(other.images.map(({ kind }) => kind)).toEqual(['built', 'file']);
    expect(other.hosts).toEqual([{ kind: 'embedded', name: 'local', forwardPrefix: '127.0.7' }]);
    expect(accepted(`${hosts}images: [{ name: backend, path: /x }]`).images.map(({ kind }) => kind)).toEqual(['file']);
    expect(accepted('hosts: [{ name: a, uri: "qemu:///session" }]').images).toEqual([]);
  });
});

describe('precedence', () => {
  const text = 'listen: 127.0.0.1:1\nstateDir: from-file\npolicies: from-file\n';

  it('of listen: flag, environment, file, default', () => {
    const env = { VIRTSCALE_LISTEN: '127.0.0.1:2' };
    expect(accepted(text, { env, flags: { listen: '127.0.0.1:3' } }).listen.port).toBe(3);
    expect(accepted(text, { env }).listen.port).toBe(2);
    expect(accepted(text, { env: { VIRTSCALE_LISTEN: '' } }).listen.port).toBe(1);
    expect(accepted('').listen.port).toBe(7070);
  });

  it('of folders: flags relative to where one is, then the file', () => {
    const flags = { stateDir: 'here', policies: '/there' };
    expect(accepted(text, { flags })).toMatchObject({ stateDir: '/srv/cwd/here', policiesDir: '/there' });
    expect(accepted(text)).toMatchObject({
      stateDir: '/srv/cwd/conf/from-file',
      policiesDir: '/srv/cwd/conf/from-file',
    });
  });

  it('of the default state folder: XDG, when absolute', () => {
    expect(accepted('', { env: { XDG_STATE_HOME: '/x' } }).stateDir).toBe('/x/virtscale');
    expect(accepted('', { env: { XDG_STATE_HOME: 'x' } }).stateDir).toBe('/home/ada/.local/state/virtscale');
  });
});

describe('an address that others can reach', () => {
  it.each<[string, Partial<DaemonSources>, string]>([
    ['listen: 0.0.0.0:7070', {}, 'conf/virtscale.yaml:1:9: listen: 0.0.0.0 can be reached from other machines'],
    ['', { env: { VIRTSCALE_LISTEN: '[::]:1' } }, 'VIRTSCALE_LISTEN: :: can be reached'],
    ['', { flags: { listen: '10.0.0.1:1' } }, '--listen: 10.0.0.1 can be reached'],
  ])('is refused: %j %j', (text, over, expected) => {
    expect(problems(text, over)).toEqual([expect.stringContaining(expected)]);
    expect(problems(text, over)[0]).toContain('allowRemote: true');
    expect(problems(`${text}\nallowRemote: true`, over)).toEqual([]);
  });
});

describe('a bad file is refused with line and reason', () => {
  it.each<[string, string, string]>([
    ['an unknown key', 'hots: []', '1:1: hots: unknown key (did you mean "hosts"?)'],
    ['no hosts', 'hosts: []', '1:1: hosts: must list at least one host'],
    ['a host by neither way', 'hosts: [{ name: a }]', 'hosts[0]: needs either uri or embedded: true; it has neither'],
    ['a host both ways', 'hosts: [{ name: a, uri: "qemu:///system", embedded: true }]', 'it has both'],
    [
      'another hypervisor',
      'hosts: [{ name: a, uri: "xen:///" }]',
      'hosts[0].uri: only QEMU hosts are supported, not xen',
    ],
    ['ssh', 'hosts: [{ name: a, uri: "qemu+ssh://b/system" }]', 'transport ssh is not supported yet'],
    ['tls', 'hosts: [{ name: a, uri: "qemu://b/system" }]', 'transport tls is not supported yet'],
    ['no URI', 'hosts: [{ name: a, uri: b }]', 'hosts[0].uri: is not a libvirt URI'],
    ['no instance', 'hosts: [{ name: a, uri: "qemu+tcp://b" }]', 'needs /system or /session'],
    [
      'a host twice',
      'hosts: [{ name: a, embedded: true }, { name: a, uri: "qemu:///system" }]',
      'hosts[1].name: there is another one named a',
    ],
    [
      'one libvirt twice',
      'hosts: [{ name: a, uri: "qemu:///system" }, { name: b, uri: "qemu:///system" }]',
      'hosts[1].uri: qemu:///system is in the list already',
    ],
    [
      'two embedded hosts',
      'hosts: [{ name: a, embedded: true }, { name: b, embedded: true }]',
      'there can be only one embedded host',
    ],
    [
      'a pool for the embedded host',
      'hosts: [{ name: a, embedded: true, pool: { name: b } }]',
      'hosts[0].pool: an embedded host has a pool of its own',
    ],
    [
      'a bridge for the embedded host',
      'hosts: [{ name: a, embedded: true, network: { bridge: b } }]',
      'can only forward ports',
    ],
    [
      'forwarding to the world',
      'hosts: [{ name: a, embedded: true, network: { forward: 10.0.0 } }]',
      'network.forward: must be three numbers of 127.0.0.0/8',
    ],
    [
      'two networks',
      'hosts: [{ name: a, uri: "qemu:///system", network: { bridge: b, network: c } }]',
      'hosts[0].network: needs exactly one of',
    ],
    [
      'a kernel without initrd',
      'images: [{ name: a, path: /a, kernel: /k }]',
      'images[0]: kernel and initrd go together',
    ],
    [
      'args without a kernel',
      'images: [{ name: a, path: /a, args: quiet }]',
      'images[0].args: args are the arguments of kernel',
    ],
    [
      'an unknown format',
      'images: [{ name: a, path: /a, format: vmdk }]',
      'images[0].format: must be qcow2 or raw, not "vmdk"',
    ],
    ['memory without a unit', 'flavors: [{ name: a, vcpus: 1, memory: 128 }]', 'flavors[0].memory: needs a unit'],
    [
      'half a GiB of disk',
      'flavors: [{ name: a, vcpus: 1, memory: 1G, disk: 1.5G }]',
      'flavors[0].disk: must be whole GiB',
    ],
    ['no vCPUs', 'flavors: [{ name: a, vcpus: 0, memory: 1G }]', 'flavors[0].vcpus: must be from 1 to 256, not 0'],
    ['a poll of nothing', 'poll: 10ms', 'poll: must be from 200ms to 1m, not 10ms'],
    ['an unknown level', 'log: { level: loud }', 'log.level: must be trace, debug, info'],
    ['too few events', 'events: { keep: 1 }', 'events.keep: must be from 1000 to 10000000, not 1'],
    ['a listen that is none', 'listen: 7070', 'listen: "7070" is no address with a port'],
    ['YAML that is none', 'hosts: [', 'not valid YAML'],
    ['a list', '- a', 'must be a block of keys, not a list'],
    ['text', 'hello', 'must be a block of keys, not "hello"'],
  ])('%s', (_name, text, expected) => {
    const found = problems(text);
    expect(found).toEqual([expect.stringContaining(expected)]);
    expect(found[0]).toMatch(/^conf\/virtscale\.yaml:\d+:\d+: /);
  });

  it('all of it at once', () => {
    const text =
      'listen: 0.0.0.0:1\npoll: 5\nhosts:\n  - { name: A, embedded: true }\n  - { name: b, embedded: true }\n';
    expect(problems(text).map((problem) => problem.split(':')[1])).toEqual(['1', '2', '4', '5']);
  });
});
