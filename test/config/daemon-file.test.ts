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
  names: [],
  stateDir: '/home/ada/.local/state/virtscale',
  policiesDir: '/srv/cwd/policies',
  pollMs: 1000,
  hosts: [DEFAULT_HOST],
  images: [{ kind: 'built', name: 'backend', guest: 'backend' }],
  flavors: DEFAULT_FLAVORS,
  log: { level: 'info' },
  events: { keep: 100_000 },
  balancers: [],
  users: { signUp: false, quota: {} },
  record: { keepBytes: 256 * 1024 * 1024 },
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
    expect(rich.images.map(({ kind }) => kind)).toEqual(['built', 'source', 'file', 'file']);
    expect(rich.stateDir).toBe('/var/lib/virtscale');
    expect(rich.balancers.map(({ name, kind }) => [name, kind])).toEqual([
      ['front', 'haproxy'],
      ['other', 'file'],
    ]);
    expect(rich.prometheus).toEqual({ url: 'http://127.0.0.1:9090', timeoutMs: 2000 });
  });

  it('takes everything from its file, paths relative to it', () => {
    const text = `
listen: "[::1]:8080"
names: [scale.lab]
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
  - { name: roomy, vcpus: 1, memory: 1G, maxVcpus: 4, maxMemory: 4G, spareNics: 2 }
log: { level: debug }
events: { keep: 5000 }
prometheus: { url: http://127.0.0.1:9090/prom/, timeout: 500ms }
balancers:
  - { name: front, type: haproxy, socket: /run/haproxy/admin.sock, backend: web }
  - { name: back, type: haproxy, socket: 127.0.0.1:9999, backend: web }
  - { name: other, type: file, file: web.conf, format: nginx, reload: [nginx, -s, reload] }
  - { name: plain, type: file, file: /etc/web.cfg, format: haproxy, backend: b }
users: { signUp: true, quota: { vms: 4, vcpus: 8, memory: 2G, disk: 40G, snapshots: 10 } }
record: { keep: 1G }
`;
    expect(accepted(text)).toEqual({
      file: '/srv/cwd/conf/virtscale.yaml',
      listen: { host: '::1', port: 8080 },
      names: ['scale.lab'],
      users: { signUp: true, quota: { vms: 4, vcpus: 8, memoryMiB: 2048, diskGiB: 40, snapshots: 10 } },
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
      flavors: [
        { name: 'big', vcpus: 4, memoryMiB: 2048, diskGiB: 10 },
        { name: 'roomy', vcpus: 1, memoryMiB: 1024, maxVcpus: 4, maxMemoryMiB: 4096, spareNics: 2 },
      ],
      log: { level: 'debug' },
      events: { keep: 5000 },
      prometheus: { url: 'http://127.0.0.1:9090/prom', timeoutMs: 500 },
      balancers: [
        { kind: 'haproxy', name: 'front', socket: { path: '/run/haproxy/admin.sock' }, backend: 'web' },
        { kind: 'haproxy', name: 'back', socket: { host: '127.0.0.1', port: 9999 }, backend: 'web' },
        {
          kind: 'file',
          name: 'other',
          file: '/srv/cwd/conf/web.conf',
          format: 'nginx',
          backend: 'other',
          reload: ['nginx', '-s', 'reload'],
        },
        { kind: 'file', name: 'plain', file: '/etc/web.cfg', format: 'haproxy', backend: 'b' },
      ],
      record: { keepBytes: 1024 ** 3 },
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

describe('an image from elsewhere', () => {
  const SHA256 = '0123456789abcdef'.repeat(4);
  const hosts = 'hosts: [{ name: a, uri: "qemu:///session" }]\n';
  const source = (text: string) => accepted(`${hosts}images: [{ name: x, ${text} }]`).images;

  it.each([
    ['images/debian.img', { kind: 'path', path: '/srv/cwd/conf/images/debian.img' }],
    ['../debian.img', { kind: 'path', path: '/srv/cwd/debian.img' }],
    ['/img/a:b.raw', { kind: 'path', path: '/img/a:b.raw' }],
    ['https://example.org/debian.qcow2#x', { kind: 'url', url: 'https://example.org/debian.qcow2' }],
    ['http://10.0.0.1:8080/d?v=12', { kind: 'url', url: 'http://10.0.0.1:8080/d?v=12' }],
    ['ann@10.0.0.5:/img/d.img', { kind: 'ssh', user: 'ann', host: '10.0.0.5', path: '/img/d.img' }],
    ['Rack1:/img/d.img', { kind: 'ssh', host: 'rack1', path: '/img/d.img' }],
    ['[::1]:/img/d.img', { kind: 'ssh', host: '::1', path: '/img/d.img' }],
  ])('may be %s', (text, expected) => {
    expect(source(`source: "${text}"`)).toEqual([{ kind: 'source', name: 'x', source: expected }]);
  });

  it('may be one that virtscale builds', () => {
    expect(source('built: mpi')).toEqual([{ kind: 'built', name: 'x', guest: 'mpi' }]);
  });

  it('may have its checksum and format said', () => {
    expect(source(`source: /d, sha256: ${SHA256.toUpperCase()}, format: raw`)).toEqual([
      { kind: 'source', name: 'x', source: { kind: 'path', path: '/d' }, sha256: SHA256, format: 'raw' },
    ]);
  });

  it('is told beside what lies on the hosts, in its order, and takes the place of the built one by name', () => {
    const images = 'images: [{ name: backend, source: /b }, { name: y, path: /y }, { name: z, source: /z }]';
    expect(accepted(images).images.map((image) => image.kind)).toEqual(['source', 'file', 'source']);
  });
});

describe('several embedded hosts', () => {
  const prefixes = (hosts: string): readonly string[] =>
    accepted(`hosts: [${hosts}]`).hosts.map((host) => (host.kind === 'embedded' ? host.forwardPrefix : host.kind));
  const embedded = (name: string, forward?: string): string =>
    `{ name: ${name}, embedded: true${forward === undefined ? '' : `, network: { forward: ${forward} }`} }`;

  it('forward from addresses of their own, in their order', () => {
    expect(prefixes(['a', 'b', 'c'].map((name) => embedded(name)).join(', '))).toEqual([
      '127.0.1',
      '127.0.2',
      '127.0.3',
    ]);
  });

  it('leave those alone that somebody has chosen, before or after them', () => {
    const far = '{ name: d, uri: "qemu+tcp://d/system", network: { forward: 127.0.3 } }';
    const hosts = [embedded('a'), embedded('b', '127.0.1'), far, embedded('c')].join(', ');
    expect(prefixes(hosts)).toEqual(['127.0.2', '127.0.1', 'libvirt', '127.0.4']);
  });

  it('are never two on one prefix, however many they are', () => {
    const all = prefixes(Array.from({ length: 600 }, (_, n) => embedded(`h${n}`)).join(', '));
    expect(new Set(all).size).toBe(600);
    expect(all.slice(253, 257)).toEqual(['127.0.254', '127.0.255', '127.1.0', '127.1.1']);
  });

  it('of another machine may have the same prefix: those are its own addresses', () => {
    const far = '{ name: d, uri: "qemu+tcp://d/system", network: { forward: 127.0.3 } }';
    expect(prefixes(`${embedded('a', '127.0.3')}, ${far}`)).toEqual(['127.0.3', 'libvirt']);
  });
});

describe('the uri of a host', () => {
  it.each([
    'qemu:///system',
    'qemu:///session',
    'qemu+unix:///session?socket=/run/x',
    'qemu+ssh://host/system',
    'qemu+ssh://root@10.0.0.2:2222/system?no_tty=1&keyfile=/k&known_hosts=/h&proxy=netcat&netcat=nc',
    'QEMU+SSH://me@[fe80::1]:22/session',
    'qemu+tcp://host:16509/system',
    'qemu+tls://host:16514/system?pkipath=/p&no_verify=1',
    'qemu://host/system',
    'test:///default',
    'test+tcp://127.0.0.5/default',
  ])('may be %s', (uri) => {
    expect(accepted(`hosts: [{ name: a, uri: "${uri}" }]`).hosts).toMatchObject([{ kind: 'libvirt', uri }]);
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

describe('who may come in without a token', () => {
  it.each<[string, Partial<DaemonSources>]>([
    ['listen: 0.0.0.0:7070', {}],
    ['', { env: { VIRTSCALE_LISTEN: '[::]:1' } }],
    ['', { flags: { listen: '10.0.0.1:1' } }],
  ])('is nobody from elsewhere, so any address may be listened on: %j %j', (text, over) => {
    expect(problems(text, over)).toEqual([]);
    expect(accepted(text, over)).not.toHaveProperty('withoutToken');
  });

  it('is as the file says', () => {
    expect(accepted('withoutToken: anyone').withoutToken).toBe('anyone');
    expect(problems('withoutToken: nobdy')[0]).toMatch(/1:15: withoutToken: must be loopback, anyone or nobody/);
  });

  it('says what has become of allowRemote', () => {
    expect(problems('allowRemote: true')[0]).toContain('withoutToken');
  });
});

describe('a bad file is refused with line and reason', () => {
  const image = (text: string): string => `images:\n  - name: x\n${text.replaceAll(/^/gm, '    ')}`;

  it.each<[string, string, string]>([
    [
      'an image from nowhere',
      image('format: raw'),
      '2:5: images[0]: needs one of path (it lies on every host already)',
    ],
    ['an image from two places', image('path: /x\nsource: /y'), 'virtscale builds it); it has path and source'],
    [
      'a built image that is told its format',
      image('built: mpi\nformat: raw'),
      'images[0].format: is known of an image',
    ],
    ['a built image of another kind', image('built: gpu'), 'images[0].built: '],
    ['a folder', image('source: /images/'), '3:13: images[0].source: "/images/" is a folder'],
    ['a home folder', image('source: ~/x.img'), '3:13: images[0].source: "~/x.img" begins with ~'],
    ['a file URL', image('source: file:///x.img'), '3:13: images[0].source: "file:///x.img" is a file; write its path'],
    ['another scheme', image('source: ftp://h/x.img'), '3:13: images[0].source: "ftp://h/x.img" begins with ftp://'],
    [
      'a password in a URL',
      image('source: http://a:b@h/x.img'),
      '3:13: images[0].source: "http://a:b@h/x.img" has a user',
    ],
    [
      'an ssh option',
      image('source: "-oProxyCommand=x:/y"'),
      '3:13: images[0].source: "-oProxyCommand=x" begins with a dash',
    ],
    ['a user as option', image('source: -l@h:/y'), '3:13: images[0].source: the user "-l" begins with a dash'],
    ['a relative path elsewhere', image('source: h:x.img'), '3:13: images[0].source: "x.img" must be a full path'],
    ['a packed image', image('source: https://h/x.img.xz'), '3:13: images[0].source: "x.img.xz" is packed'],
    ['an installation medium', image('source: /x.iso'), '3:13: images[0].source: "x.iso" is an installation medium'],
    ['a foreign image', image('source: /x.vmdk'), '3:13: images[0].source: "x.vmdk" is of another hypervisor'],
    ['a short checksum', image('source: /x\nsha256: abc'), '4:13: images[0].sha256: must be 64 hex digits'],
    [
      'a checksum of a path',
      image(`path: /x\nsha256: ${'a'.repeat(64)}`),
      '4:13: images[0].sha256: goes with source only',
    ],
    [
      'a kernel of a source',
      image('source: /x\nkernel: /k\ninitrd: /i'),
      '4:13: images[0].kernel: goes with path only',
    ],
    ['arguments of a source', image('source: /x\nargs: quiet'), '4:11: images[0].args: goes with path only'],
    ['an unknown key', 'hots: []', '1:1: hots: unknown key (did you mean "hosts"?)'],
    ['no hosts', 'hosts: []', '1:1: hosts: must list at least one host'],
    ['a host by neither way', 'hosts: [{ name: a }]', 'hosts[0]: needs either uri or embedded: true; it has neither'],
    ['a host both ways', 'hosts: [{ name: a, uri: "qemu:///system", embedded: true }]', 'it has both'],
    [
      'another hypervisor',
      'hosts: [{ name: a, uri: "xen:///" }]',
      'hosts[0].uri: only QEMU hosts are supported, not xen',
    ],
    ['libssh', 'hosts: [{ name: a, uri: "qemu+libssh://b/system" }]', 'libssh is not supported; write qemu+ssh://'],
    ['ext', 'hosts: [{ name: a, uri: "qemu+ext:///system" }]', 'ext is not supported; write qemu+ssh://'],
    ['a host that is an option', 'hosts: [{ name: a, uri: "qemu+ssh://-oX/system" }]', "does not begin with '-'"],
    ['a user that is an option', 'hosts: [{ name: a, uri: "qemu+ssh://-oX@b/system" }]', "does not begin with '-'"],
    ['a password', 'hosts: [{ name: a, uri: "qemu+ssh://me:x@b/system" }]', 'a password in a URI is never used'],
    ['a host behind a socket', 'hosts: [{ name: a, uri: "qemu+unix://b/system" }]', 'a unix socket has no host'],
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
      'two hosts of this machine that forward from the same addresses',
      'hosts: [{ name: a, embedded: true, network: { forward: 127.0.3 } }, { name: b, uri: "qemu:///session", network: { forward: 127.0.3 } }]',
      'hosts[1].network.forward: host a has 127.0.3 already',
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
      'a prefix with numbers that are none',
      'hosts: [{ name: a, embedded: true, network: { forward: 127.0.001 } }]',
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
    [
      'less room than it begins with',
      'flavors: [{ name: a, vcpus: 2, memory: 1G, maxVcpus: 1 }]',
      'flavors[0].maxVcpus: must not be less than vcpus',
    ],
    ['no vCPUs', 'flavors: [{ name: a, vcpus: 0, memory: 1G }]', 'flavors[0].vcpus: must be from 1 to 256, not 0'],
    ['a poll of nothing', 'poll: 10ms', 'poll: must be from 200ms to 1m, not 10ms'],
    ['an unknown level', 'log: { level: loud }', 'log.level: must be trace, debug, info'],
    ['too few events', 'events: { keep: 1 }', 'events.keep: must be from 1000 to 10000000, not 1'],
    ['a name with a port', 'names: ["scale.lab:80"]', 'names[0]: must be a host name, without a port'],
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
    const host = (name: string) => `  - { name: ${name}, embedded: true, network: { forward: 127.0.1 } }\n`;
    const text = `listen: nowhere\npoll: 5\nhosts:\n${host('A')}${host('b')}`;
    expect(problems(text).map((problem) => problem.split(':')[1])).toEqual(['1', '2', '4', '5']);
  });
});
