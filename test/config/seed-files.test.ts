import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { problemText } from '../../src/config/file-problem.ts';
import { type FlavorEntry, parseFlavorFile } from '../../src/config/flavor-file.ts';
import { type ImageEntry, parseImageFile } from '../../src/config/image-file.ts';
import { type PmEntry, parsePmFile } from '../../src/config/pm-file.ts';
import { name } from '../../src/config/schemas.ts';
import { MAX_SEED_BYTES, type SeedResult } from '../../src/config/seed-text.ts';

function entriesOf<E>(result: SeedResult<E>): readonly E[] {
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result.entries;
}

/** `line:column path: reason` */
function problemsOf(result: SeedResult<unknown>): readonly string[] {
  return result.ok ? [] : result.problems.map((problem) => problemText(problem).replace('file:', ''));
}

const pms = (text: string): readonly PmEntry[] => entriesOf(parsePmFile(text, 'file'));
const images = (text: string): readonly ImageEntry[] => entriesOf(parseImageFile(text, 'file', '/etc/virtscale'));
const flavors = (text: string): readonly FlavorEntry[] => entriesOf(parseFlavorFile(text, 'file'));
const pmProblems = (text: string) => problemsOf(parsePmFile(text, 'file'));
const imageProblems = (text: string) => problemsOf(parseImageFile(text, 'file', '/etc/virtscale'));
const flavorProblems = (text: string) => problemsOf(parseFlavorFile(text, 'file'));

/** Where entries stand is no part of what they are. */
function withoutLines<E extends { readonly key: string; readonly line: number }>(entries: readonly E[]) {
  return entries.map(({ line: _, ...entry }) => entry).toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

describe('the pm file', () => {
  it('lists one machine a line, in any of the forms', () => {
    const text =
      '\ufeff10.0.0.5\r\n  root@10.0.0.6:2222 ,  # rack 2\r\n\r\n# off\r\nlocalhost\r\n"kvm7.lab"\r\n[2001:DB8::0:5]\r\nqemu+tls://KVM8/system?pkipath=/pki\r\n';
    expect(pms(text)).toEqual([
      { key: 'qemu+ssh://10.0.0.5/system', name: '10.0.0.5', uri: 'qemu+ssh://10.0.0.5/system?no_tty=1', line: 1 },
      {
        key: 'qemu+ssh://root@10.0.0.6:2222/system',
        name: '10.0.0.6-2222',
        uri: 'qemu+ssh://root@10.0.0.6:2222/system?no_tty=1',
        line: 2,
      },
      { key: 'qemu:///system', name: 'localhost', uri: 'qemu:///system', line: 5 },
      { key: 'qemu+ssh://kvm7.lab/system', name: 'kvm7.lab', uri: 'qemu+ssh://kvm7.lab/system?no_tty=1', line: 6 },
      {
        key: 'qemu+ssh://[2001:db8::5]/system',
        name: '2001-db8-5',
        uri: 'qemu+ssh://[2001:DB8::0:5]/system?no_tty=1',
        line: 7,
      },
      { key: 'qemu+tls://kvm8/system', name: 'kvm8', uri: 'qemu+tls://KVM8/system?pkipath=/pki', line: 8 },
    ]);
  });

  it.each([
    ['on one line', `'pms': ["root@a", "b:2222"]`],
    ['with double quotes and a comma after it', `"pms": ["root@a", "b:2222"],`],
    ['in braces', `{'pms': ['root@a', 'b:2222']}`],
    [
      'over several lines, with comments and trailing commas',
      `{'pms': [ # two\n"root@a", // one\n\n'b:2222',\n],\n}\n`,
    ],
    ['with tabs and the quotes of a word processor', `“pms”:\u00a0[\r\n\t“root@a”,\r\n\t‘b:2222’\r\n]`],
    ['as a bare list', `["root@a",\n"b:2222"]`],
    ['as a bare list without quotes', `[root@a, b:2222]`],
  ])('may be a list %s', (_form, text) => {
    expect(withoutLines(pms(text))).toEqual(withoutLines(pms('root@a\nb:2222')));
  });

  it('tells the line of each machine of a list', () => {
    expect(pms(`# hosts\n'pms': [\n"a",\n"b", "c",\n]`).map(({ line }) => line)).toEqual([3, 4, 4]);
  });

  it('takes every libvirt URI that a transport exists for', () => {
    const uris = [
      'qemu:///session',
      'qemu+unix:///system?socket=/run/other/libvirt-sock',
      'qemu+unix:///session?socket=/run/third/virtqemud-sock&mode=direct',
      'qemu+ssh://root@kvm1:2222/system?no_tty=1&keyfile=/root/.ssh/id',
      'qemu+tcp://127.0.0.3:16510/system',
      'qemu://kvm2/system',
      'test:///default',
      'test+tcp://kvm3/default',
    ];
    const entries = pms(uris.join('\n'));
    expect(entries.map(({ uri }) => uri)).toEqual(uris);
    expect(new Set(entries.map(({ name: given }) => given)).size).toBe(uris.length);
    expect(entries.filter(({ name: given }) => !name.safeParse(given).success)).toEqual([]);
    expect(entries.map(({ key }) => key)).toContain('qemu+ssh://root@kvm1:2222/system');
  });

  it('keeps the key of a machine however it is written', () => {
    const keys = ['kvm1', 'KVM1:22', 'qemu+ssh://Kvm1/system?keyfile=/k&no_tty=1', 'qemu+ssh://kvm1:22/system'].map(
      (line) => pms(line)[0]?.key,
    );
    expect(new Set(keys)).toEqual(new Set(['qemu+ssh://kvm1/system']));
    expect(pms('qemu+unix:///system')[0]?.key).toBe(pms('LocalHost')[0]?.key);
  });

  it.each([
    ['-oProxyCommand=reboot', 'begins with a dash'],
    ['root@-oProxyCommand=reboot', 'begins with a dash'],
    ['-l@kvm1', 'begins with a dash'],
    ['qemu+ssh://%2DoProxyCommand=x/system', 'begins with a dash'],
    ['qemu+ssh://%2Dl@kvm1/system', 'begins with a dash'],
    ['root@10.0.0.1;reboot', '; has no place'],
    ['$(reboot)', '$ has no place'],
    ['root`id`@kvm1', 'not allowed: `'],
    ['kvm1 kvm2', 'one address a line'],
    ['kvm1, kvm2', 'one address a line'],
    ['root:secret@kvm1', 'ssh keys are used instead'],
    ['10.0.0.256', 'no IP address'],
    ['10.0.0', 'no IP address'],
    ['2001:db8::5', 'write it in brackets: [2001:db8::5]'],
    ['[2001:db8::5', 'is no'],
    ['[fe80::1%eth0]', 'no IPv6 address'],
    ['kvm1:0', 'no port'],
    ['kvm1:99999', 'no port'],
    ['kvm1:', 'no port'],
    ['@kvm1', 'no user'],
    ['root@', 'host is missing'],
    ['kvm..lab', 'no host name'],
    ['kvm\u200b1', 'U+200B has no place'],
    ['хост', 'has no place'],
    ['xen:///system', 'only qemu'],
    ['qemu+libssh2://kvm1/system', 'write qemu+ssh://'],
    ['qemu+ssh:///system', 'needs a host'],
    ['qemu+unix://kvm1/system', 'has a host'],
    ['qemu:///', 'needs /system or /session'],
    ['qemu+ssh://kvm1/system?keyfile=%zz', 'percent-encoding'],
    ['https://kvm1/', 'is for https'],
  ])('refuses %s', (line, reason) => {
    const [problem, ...others] = pmProblems(`kvm0\n  ${line}\n`);
    expect(problem).toMatch(/^2:3: /);
    expect(problem).toContain(reason);
    expect(others).toEqual([]);
  });

  it('says all that is wrong, and names the other line of a machine that is there twice', () => {
    expect(
      pmProblems('kvm1\n-x\nroot@KVM1:22\nqemu+tcp://kvm1/system\nlocalhost\nqemu+ssh://127.0.0.1/system\n'),
    ).toEqual([
      '2:1: "-x" begins with a dash: ssh would take it for an option',
      '3:1: "root@KVM1:22" is the machine of line 1: its VMs would be counted twice',
      '4:1: "qemu+tcp://kvm1/system" is the machine of line 1: its VMs would be counted twice',
      '6:1: "qemu+ssh://127.0.0.1/system" is the machine of line 5: its VMs would be counted twice',
    ]);
  });

  it('knows another port, socket or session for another machine', () => {
    expect(pms('kvm1\nkvm1:2222\nqemu+ssh://kvm1/session').map(({ name: given }) => given)).toEqual([
      'kvm1',
      'kvm1-2222',
      'kvm1-session',
    ]);
    const sessions = pms('qemu+ssh://amy@kvm1/session\nqemu+ssh://bob@kvm1/session');
    expect(new Set(sessions.map(({ name: given }) => given)).size).toBe(2);
  });

  it('gives a machine behind a socket the same name alone and among others', () => {
    const [one, other] = ['qemu+unix:///system?socket=/a', 'qemu+unix:///system?socket=/b'];
    expect(pms(`${one}`)[0]?.name).toMatch(/^localhost-[0-9a-f]{8}$/);
    expect(pms(`localhost\n${other}\n${one}`)[2]?.name).toBe(pms(`${one}`)[0]?.name);
  });

  it('gives names that do not depend on the order, also where two hosts would get one', () => {
    const [odd, dashed] = pms('kvm_1\nkvm-1');
    expect(dashed?.name).toBe('kvm-1');
    expect(odd?.name).toMatch(/^kvm-1-[0-9a-f]{8}$/);
    expect(withoutLines(pms('kvm-1\nkvm_1'))).toEqual(withoutLines(pms('kvm_1\nkvm-1')));
    expect(pms(`${'long.'.repeat(20)}org`)[0]?.name).toMatch(/^[a-z.-]{20,31}-[0-9a-f]{8}$/);
  });

  it.each([
    ['', '1:1: the file lists no machine'],
    ['# none yet\n', '1:1: the file lists no machine'],
    ['\ufeff-x', '1:1: "-x" begins with a dash: ssh would take it for an option'],
    [`'pms': []`, '1:1: the file lists no machine'],
    [`'pm': ["a"]`, '1:1: pm: unknown key (did you mean "pms"?)'],
    [`'pms': ["a", 5]`, '1:14: pms[1]: must be text, not 5'],
    [`'pms': ["a",\n""]`, '2:1: pms[1]: is empty'],
    [`'pms': [\n"a"\n"b"]`, '3:1: this is not the JSON expected here: Missing , or : between flow sequence items'],
    [`'pms': ["a"`, '1:11: the brackets do not match: a ] was expected here'],
    [`{'pms': ["a"]}}`, '1:15: the brackets do not match: a ] was expected here'],
    ['"a" "b"', '1:1: something follows the closing quote; write one entry a line'],
    ['kvm1\n,\n', '2:1: there is nothing between the quotes or before the comma'],
  ])('refuses %j', (text, problem) => {
    expect(pmProblems(text)).toContain(problem);
  });

  it('is bounded', () => {
    expect(pmProblems('#'.repeat(MAX_SEED_BYTES + 1))[0]).toMatch(/has 1048577 bytes/);
    const lines = Array.from({ length: 1001 }, (_, index) => `kvm${index}`);
    expect(pms(lines.slice(1).join('\n'))).toHaveLength(1000);
    expect(pmProblems(lines.join('\n'))[0]).toMatch(/lists 1001 entries/);
    expect(pmProblems(`['${lines.join("','")}']`)[0]).toMatch(/at most 1000 entries/);
    for (const bomb of ['[', '{', '{"a":1},', "['", 'a,']) {
      expect(pmProblems(`[${bomb.repeat(MAX_SEED_BYTES / 10)}`)).toEqual([
        '1:1: the file lists too much: at most 1000 entries are read',
      ]);
    }
    expect(pmProblems('-\n'.repeat(900))).toHaveLength(25);
  });
});

describe('the image file', () => {
  it('lists one image a line; names come from paths', () => {
    const text =
      '/images/Ubuntu12.04amd64.img\n/images/Fedora17x86_64.qcow2 # old\nroot@10.0.0.1:/srv//debian.raw\nKvm1:/srv/alpine\nhttps://cloud.test/12/debian-12.qcow2?mirror=de#top\n../arch.QCOW2\n';
    expect(images(text)).toEqual([
      {
        key: '/images/Ubuntu12.04amd64.img',
        name: 'Ubuntu12.04amd64',
        source: { kind: 'path', path: '/images/Ubuntu12.04amd64.img' },
        line: 1,
      },
      {
        key: '/images/Fedora17x86_64.qcow2',
        name: 'Fedora17x86_64',
        source: { kind: 'path', path: '/images/Fedora17x86_64.qcow2' },
        line: 2,
      },
      {
        key: 'root@10.0.0.1:/srv/debian.raw',
        name: 'debian',
        source: { kind: 'ssh', user: 'root', host: '10.0.0.1', path: '/srv/debian.raw' },
        line: 3,
      },
      { key: 'kvm1:/srv/alpine', name: 'alpine', source: { kind: 'ssh', host: 'kvm1', path: '/srv/alpine' }, line: 4 },
      {
        key: 'https://cloud.test/12/debian-12.qcow2?mirror=de',
        name: 'debian-12',
        source: { kind: 'url', url: 'https://cloud.test/12/debian-12.qcow2?mirror=de' },
        line: 5,
      },
      { key: '/etc/arch.QCOW2', name: 'arch', source: { kind: 'path', path: '/etc/arch.QCOW2' }, line: 6 },
    ]);
  });

  it('may be a list', () => {
    const expected = withoutLines(images('/images/a.img\nroot@h:/b.img'));
    expect(withoutLines(images(`'images': ["/images/a.img", "root@h:/b.img"]`))).toEqual(expected);
    expect(withoutLines(images(`{"images": [\n'/images/a.img',\n'root@h:/b.img',]}`))).toEqual(expected);
  });

  it('cleans names, and says so', () => {
    const result = parseImageFile('"/images/Debian 12 (x86) #3.img"\n', 'file', '/');
    expect(entriesOf(result)[0]).toMatchObject({
      name: 'Debian-12-x86-3',
      source: { path: '/images/Debian 12 (x86) #3.img' },
    });
    expect(result.ok && result.warnings.map(problemText)).toEqual([
      'file:1:1: the image is named Debian-12-x86-3: names have letters, digits and . _ - only',
    ]);
  });

  it.each([
    ['~/debian.img', 'write the full path'],
    ['root@h:~/debian.img', 'write the full path'],
    ['root@h:debian.img', 'must be a full path'],
    ['-oProxyCommand=x:/debian.img', 'begins with a dash'],
    ['-l@h:/debian.img', 'begins with a dash'],
    ['/images/debian-12-netinst.iso', 'installation medium'],
    ['/images/debian.img.gz', 'unpack it'],
    ['/images/debian.qcow2.XZ', 'unpack it'],
    ['https://cloud.test/debian.zip?x=y.img', 'unpack it'],
    ['/images/debian.vmdk', 'qemu-img convert'],
    ['/images/', 'is a folder'],
    ['/images/.img', 'no name'],
    ['/images/ядро.img', 'no name'],
    ['C:\\images\\debian.img', 'separated by /'],
    ['file:///images/debian.img', 'write its path alone'],
    ['ftp://cloud.test/debian.img', 'images come by http:// or https://'],
    ['https://', 'is no URL'],
    ['https://amy:secret@cloud.test/debian.img', 'would show in logs'],
    ['/images/a\u0007b.img', 'control character'],
    [`/${'x'.repeat(1000)}`, 'longer than'],
  ])('refuses %s', (line, reason) => {
    const [problem, ...others] = imageProblems(`/images/a.img\n${line}\n`);
    expect(problem).toMatch(/^2:1: /);
    expect(problem).toContain(reason);
    expect(others).toEqual([]);
  });

  it('names both lines of images that would have one name', () => {
    expect(imageProblems('/a/debian.img\n\n/b/debian.qcow2\n/a/../a/debian.img')).toEqual([
      '3:1: the image would be named debian, as that of line 1; rename one of the files',
      '4:1: this image is in line 1 already',
    ]);
    expect(imageProblems('')).toEqual(['1:1: the file lists no image']);
  });
});

const SMALL = {
  key: '1cpu-512mib-1gib',
  name: '1cpu-512mib-1gib',
  flavor: { name: '1cpu-512mib-1gib', vcpus: 1, memoryMiB: 512, diskGiB: 1 },
};
const LARGE = {
  key: '2cpu-1024mib-2gib',
  name: '2cpu-1024mib-2gib',
  flavor: { name: '2cpu-1024mib-2gib', vcpus: 2, memoryMiB: 1024, diskGiB: 2 },
};
/** As the second of the seeds has it. */
const BARE = `"types": [{
"cpu": 1,
"ram": 512,
"disk": 1
},
{
"cpu": 2,
"ram": 1024,"disk": 2
},
]`;

describe('the flavor file', () => {
  it.each([
    ['bare', BARE],
    ['bare, with a comma after it', `${BARE},\n`],
    ['in braces', `{${BARE}}`],
    ['in braces with more commas', `{${BARE},}`],
    ['key and list on lines of their own', BARE.replace(': [', '\n:\n[')],
    ['a bare list', BARE.replace('"types": ', '')],
    ['the bare types', BARE.replace('"types": [', '').replace(']', '')],
    ['with single quotes', BARE.replaceAll('"', "'")],
    ['without quotes', BARE.replaceAll('"', '')],
    ['with curly quotes, tabs and hard spaces', `{\t\n\t${BARE.replaceAll(/"(\w+)":/g, '“$1”:\u00a0')}\n}`],
    [
      'with comments',
      BARE.replace('1,', '1, // one "core\'').replace('},', '}, # {small}').replace('"cpu"', '// x\n# y\n"cpu"'),
    ],
    ['from Windows', `\ufeff${BARE.replaceAll('\n', '\r\n')}`],
  ])('is read %s', (_form, text) => {
    expect(withoutLines(flavors(text))).toEqual([SMALL, LARGE]);
  });

  it('keeps tids and lines', () => {
    const text =
      '{\n"types": [\n{ "tid": 7, "cpu": 1, "ram": 512, "disk": 1 },\n{ "cpu": 2, "ram": 1024, "disk": 2 }\n]\n}';
    expect(flavors(text)).toEqual([
      { ...SMALL, tid: 7, line: 3 },
      { ...LARGE, line: 4 },
    ]);
  });

  it('says all that is wrong, and where', () => {
    const text = `{"types": [
  {"cpus": 1, "ram": "512", "disk": 1.5},
  {"cpu": 0, "ram": -5, "disk": 1e9, "tid": 0},
  {"cpu": true, "ram": null, "disk": [1], "tid": "a"},
]}`;
    expect(flavorProblems(text)).toEqual([
      '2:3: types[0].cpu: is missing',
      '2:4: types[0].cpus: unknown key (did you mean "cpu"?)',
      '2:22: types[0].ram: must be a number, not text: write 512 without quotes',
      '2:37: types[0].disk: must be a whole number, not 1.5',
      '3:11: types[1].cpu: must be from 1 to 256, not 0',
      '3:21: types[1].ram: must be from 16 to 16777216, not -5',
      '3:33: types[1].disk: must be from 1 to 65536, not 1000000000',
      '3:45: types[1].tid: must be from 1 to 2147483647, not 0',
      '4:11: types[2].cpu: must be a whole number, not true',
      '4:24: types[2].ram: must be a whole number, not empty',
      '4:30: types[2].disk: must be a whole number, not a list',
      '4:50: types[2].tid: must be a whole number, not "a"',
    ]);
  });

  it('refuses equal types and repeated tids, naming the other line', () => {
    const type = (tid: number, cpu: number) => `{"tid": ${tid}, "cpu": ${cpu}, "ram": 512, "disk": 1}`;
    expect(flavorProblems(`[\n${type(1, 1)},\n${type(2, 1)},\n${type(1, 2)}]`)).toEqual([
      '3:1: [1]: this type is in line 2 already',
      '4:9: [2].tid: 1 is the tid of line 2 already',
    ]);
  });

  it.each([
    ['', '1:1: the file is empty'],
    ['# none', '1:1: the file is empty'],
    ['{"types": []}', '1:1: the file lists no types'],
    ['{"type": [{"cpu":1,"ram":512,"disk":1}]}', '1:2: type: unknown key (did you mean "types"?)'],
    ['{"types": {"cpu":1}}', '1:2: types: must be a list, not a block of keys'],
    ['[1]', '1:2: [0]: must be a block of keys, not 1'],
    ['{"types": [{"cpu":1,"cpu":2,"ram":512,"disk":1}]}', '1:21: this key is here a second time'],
    ['{"types": [\n*all]}', '2:1: aliases (*name) are not allowed; write the value out'],
    ['{"types": [\n!!js/function x]}', '2:1: tags (!!js/function) are not allowed'],
    ['{"types": [{"cpu":1,"ram":512,"disk":1}', '1:39: the brackets do not match: a } was expected here'],
  ])('refuses %j', (text, problem) => {
    expect(flavorProblems(text)).toContain(problem);
  });
});

const spaces = fc.stringMatching(/^[ \t]{0,3}$/);

describe('any file', () => {
  const hosts = fc.uniqueArray(
    fc.record({
      user: fc.constantFrom('', 'root@', 'amy@'),
      host: fc.oneof(
        fc.ipV4(),
        fc.domain(),
        fc.ipV6().map((address) => `[${address}]`),
        fc.stringMatching(/^[a-c]([.-][a-c1]){0,2}$/),
      ),
      port: fc.constantFrom('', ':22', ':2222', ':2223'),
    }),
    { selector: ({ host, port }) => `${normalized(host)}${port.replace(':22', '')}`, minLength: 1, maxLength: 12 },
  );
  const normalized = (host: string) => (host.startsWith('[') ? new URL(`http://${host}`).hostname : host.toLowerCase());

  it('names the same machines the same, in whatever order and form they are written', () => {
    const written = hosts.chain((list) => {
      const lines = list.map(({ user, host, port }) => `${user}${host}${port}`);
      const form = fc.record({
        lines: fc.shuffledSubarray(lines, { minLength: lines.length }),
        end: fc.constantFrom('\n', '\r\n', ' # x\n', ',\n', '\n\n# y\n'),
        pad: spaces,
        quote: fc.constantFrom('"', "'"),
        list: fc.boolean(),
      });
      return fc.tuple(form, form);
    });
    const textOf = ({
      lines,
      end,
      pad,
      quote,
      list,
    }: {
      lines: string[];
      end: string;
      pad: string;
      quote: string;
      list: boolean;
    }) =>
      list
        ? `${quote}pms${quote}:${pad}[${pad}${lines.map((line) => `${quote}${line}${quote}`).join(`,${end.replace(',', '')}`)}${pad}]`
        : lines.map((line) => `${pad}${line}${end}`).join('');
    fc.assert(
      fc.property(written, ([one, other]) => {
        const entries = pms(textOf(one));
        expect(withoutLines(pms(textOf(other)))).toEqual(withoutLines(entries));
        expect(entries).toHaveLength(one.lines.length);
        expect(new Set(entries.map(({ name: given }) => given)).size).toBe(entries.length);
        expect(entries.every(({ name: given }) => name.safeParse(given).success)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('of flavors means the same however it is written', () => {
    const type = fc.record({
      cpu: fc.integer({ min: 1, max: 256 }),
      ram: fc.integer({ min: 16, max: 65_536 }),
      disk: fc.integer({ min: 1, max: 65_536 }),
    });
    const types = fc.uniqueArray(type, {
      selector: ({ cpu, ram, disk }) => `${cpu}/${ram}/${disk}`,
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(
        types,
        fc.integer({ min: 0, max: 4 }),
        fc.constantFrom('"', "'", '“'),
        fc.constantFrom('bare', 'braces', 'list'),
        fc.boolean(),
        (list, indent, quote, form, trailing) => {
          const plain = JSON.stringify(list.toReversed(), undefined, indent);
          const commas = trailing ? plain.replaceAll(/([}\]])/g, ',$1').replaceAll(/,(?=[,])/g, '') : plain;
          const block = `"types":${commas}`;
          const text = { bare: block, braces: `{${block}}`, list: commas }[form] ?? '';
          const quoted = text.replaceAll(/"(\w+)"/g, `${quote}$1${quote === '“' ? '”' : quote}`);
          // YAML wants a space after the colon of a key in single quotes; people write one.
          expect(withoutLines(flavors(quoted.replaceAll(':', ': ')))).toEqual(
            withoutLines(flavors(JSON.stringify({ types: list }))),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('may hold anything: it is read or refused, with a place in the file', () => {
    const broken = fc
      .tuple(
        fc.constantFrom(BARE, `'pms': ["a", 'b']`, '/a.img\nroot@h:/b\nhttps://c/d'),
        fc.nat(),
        fc.nat({ max: 5 }),
        fc.string({ unit: 'binary', maxLength: 5 }),
      )
      .map(([text, at, gone, put]) => {
        const from = at % text.length;
        return text.slice(0, from) + put + text.slice(from + gone);
      });
    const marks = fc.string({ unit: fc.constantFrom(...'[]{}:,"\'“”‘#/\\ \n\t\r-*&!%@|>?~ab1'), maxLength: 60 });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), marks, broken), (text) => {
        const lines = text.split(/\r\n|\r|\n/).length;
        for (const result of [parsePmFile(text, 'f'), parseImageFile(text, 'f', '/'), parseFlavorFile(text, 'f')]) {
          const places = result.ok ? result.entries : result.problems;
          expect(places.length).toBeGreaterThan(0);
          expect(places.filter(({ line }) => line < 1 || line > lines)).toEqual([]);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
