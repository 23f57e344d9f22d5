// What virtscale.yaml says about the world around: balancers, Prometheus, the record.

import { describe, expect, it } from 'vitest';
import { parseDaemonConfig } from '../../src/config/daemon-file.ts';
import { problemText } from '../../src/config/file-problem.ts';

function parsed(text: string) {
  return parseDaemonConfig({ file: { path: 'v.yaml', text }, env: {}, homeDir: '/home/ada', cwd: '/srv' });
}

function problems(text: string): readonly string[] {
  const result = parsed(text);
  return result.ok ? [] : result.problems.map(problemText);
}

const balancer = (text: string) => `balancers:\n  - { ${text} }\n`;
const FRONT = 'name: front, type: haproxy, socket: /run/h.sock, backend: web';
const OTHER = 'name: other, type: file, file: /etc/x.conf, format: nginx';

describe('balancers, Prometheus and the record', () => {
  it.each(['record: off', 'record: "off"', 'record: false'])('%s', (text) => {
    expect(parsed(text)).toMatchObject({ ok: true, config: { record: 'off' } });
  });

  it('has two seconds for a query, and no Prometheus unless it is said', () => {
    expect(parsed('prometheus: { url: "https://p.example/x/" }')).toMatchObject({
      config: { prometheus: { url: 'https://p.example/x', timeoutMs: 2000 } },
    });
    expect(parsed('')).not.toHaveProperty('config.prometheus');
  });

  it('takes numbers among the arguments of a reload for text', () => {
    const result = parsed(balancer(`${OTHER}, reload: [kill, -1, 42]`));
    expect(result).toMatchObject({ config: { balancers: [{ reload: ['kill', '-1', '42'] }] } });
  });

  it('hands on what is said of each server', () => {
    const result = parsed(balancer(`${FRONT}, weight: 100, server: maxconn 16 slowstart 5s`));
    expect(result).toMatchObject({
      config: { balancers: [{ kind: 'haproxy', weight: 100, serverOptions: 'maxconn 16 slowstart 5s' }] },
    });
  });

  it.each([
    '"maxconn 16; disable server web/other"',
    '"maxconn 16\\nshut down"',
    '"maxconn  16"',
    '" maxconn 16"',
    "'sni str(\\;)'",
    "'maxconn 16 <<'",
    '""',
    '16',
    '[maxconn, 16]',
    `"maxconn ${'1'.repeat(200)}"`,
  ])('words of a server: %s are refused', (words) => {
    expect(problems(balancer(`${FRONT}, server: ${words}`))).toEqual([
      expect.stringMatching(
        /^v\.yaml:2:\d+: balancers\[0\]\.server: must be words of a server line such as maxconn 16: /,
      ),
    ]);
  });

  it.each<[string, string, string]>([
    [
      'a weight of nothing',
      balancer(`${FRONT}, weight: 0`),
      'v.yaml:2:78: balancers[0].weight: must be from 1 to 256, not 0',
    ],
    [
      'a weight among the words',
      balancer(`${FRONT}, server: maxconn 16 weight 5`),
      'v.yaml:2:78: balancers[0].server: has a weight in it: write it as weight: 100',
    ],
    [
      'no check',
      balancer(`${FRONT}, server: no-check`),
      'v.yaml:2:78: balancers[0].server: must leave the check in: it takes a dead VM out',
    ],
    ['no type', balancer('name: front'), 'v.yaml:2:5: balancers[0].type: is missing: haproxy or file'],
    [
      'another type',
      balancer('name: front, type: nginx'),
      'v.yaml:2:26: balancers[0].type: must be haproxy or file, not "nginx"',
    ],
    ['a word', 'balancers: [front]', 'v.yaml:1:13: balancers[0]: must be a block of keys, not "front"'],
    ['no list', 'balancers: front', 'v.yaml:1:12: balancers: must be a list, not "front"'],
    ['no socket', balancer('name: a, type: haproxy, backend: b'), 'v.yaml:2:5: balancers[0].socket: is missing'],
    [
      'a relative socket',
      balancer('name: a, type: haproxy, backend: b, socket: run/h.sock'),
      'v.yaml:2:51: balancers[0].socket: "run/h.sock" is neither an absolute path nor an address with a port; write /run/haproxy/admin.sock or 127.0.0.1:9999',
    ],
    [
      "another machine's socket",
      balancer('name: a, type: haproxy, backend: b, socket: "10.0.0.1:9999"'),
      'v.yaml:2:51: balancers[0].socket: must be a port of this machine: the socket has no password; write /run/haproxy/admin.sock or 127.0.0.1:9999',
    ],
    [
      'a backend of two words',
      balancer('name: a, type: haproxy, socket: /s, backend: a b'),
      'v.yaml:2:52: balancers[0].backend: must be the name of a backend: letters, digits, dots, dashes, colons and underscores',
    ],
    [
      'a key of the other type',
      balancer(`${FRONT}, file: /x`),
      'v.yaml:2:70: balancers[0].file: unknown key; known here: name, type, socket, backend, weight, server',
    ],
    [
      'a shell command',
      balancer(`${OTHER}, reload: nginx -s reload`),
      'v.yaml:2:74: balancers[0].reload: must be a list of the program and its arguments, such as [nginx, -s, reload]: no shell is used',
    ],
    ['no command', balancer(`${OTHER}, reload: []`), 'v.yaml:2:66: balancers[0].reload: must name a program'],
    [
      'another format',
      balancer('name: a, type: file, file: /x, format: caddy'),
      'v.yaml:2:46: balancers[0].format: must be haproxy or nginx, not "caddy"',
    ],
    [
      'one name twice',
      `balancers:\n  - { ${FRONT} }\n  - { ${OTHER.replace('other', 'front')} }`,
      'v.yaml:3:13: balancers[1].name: there is another one named front',
    ],
    [
      'one backend twice',
      `balancers:\n  - { ${FRONT} }\n  - { ${FRONT.replace('front', 'b')} }`,
      'v.yaml:3:61: balancers[1].backend: another balancer has this backend already; groups may share one balancer',
    ],
    [
      'one file twice',
      `balancers:\n  - { ${OTHER} }\n  - { ${OTHER.replace('other', 'b')} }`,
      'v.yaml:3:34: balancers[1].file: /etc/x.conf is written by another balancer already',
    ],
    ['no URL', 'prometheus: { timeout: 1s }', 'v.yaml:1:1: prometheus.url: is missing'],
    [
      'a host alone',
      'prometheus: { url: "127.0.0.1:9090" }',
      'v.yaml:1:20: prometheus.url: must be a URL such as http://127.0.0.1:9000/path, not "127.0.0.1:9090"',
    ],
    [
      'a password',
      'prometheus: { url: "http://a:b@p" }',
      'v.yaml:1:20: prometheus.url: must have no user and password in it: they would show in logs',
    ],
    [
      'a query in it',
      'prometheus: { url: "http://p/?x=1" }',
      'v.yaml:1:20: prometheus.url: must have no query in it: write the address alone',
    ],
    [
      'a long time-out',
      'prometheus: { url: "http://p", timeout: 1m }',
      'v.yaml:1:41: prometheus.timeout: must be from 100ms to 4s, not 1m',
    ],
    [
      'a record that is on',
      'record: on',
      'v.yaml:1:9: record: must be off, or { keep: SIZE } such as { keep: 256M }, not "on"',
    ],
    ['a record of nothing', 'record: {}', 'v.yaml:1:1: record.keep: is missing'],
    ['no unit', 'record: { keep: 256 }', 'v.yaml:1:17: record.keep: needs a unit: write 256M or 256G'],
    ['a slip', 'record: { keep: 1G, kep: 2G }', 'v.yaml:1:21: record.kep: unknown key (did you mean "keep"?)'],
  ])('%s is refused with line and reason', (_name, text, expected) => {
    expect(problems(text)).toEqual([expected]);
  });
});
