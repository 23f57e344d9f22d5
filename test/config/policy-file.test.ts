import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import { problemText } from '../../src/config/file-problem.ts';
import { MAX_POLICY_BYTES, type PolicyCatalog, parsePolicy } from '../../src/config/policy-file.ts';
import { CPU } from '../../src/core/metric.ts';
import type { PlacementRules } from '../../src/core/model.ts';
import { PLACEMENT_NAMES } from '../../src/core/placement/registry.ts';
import type { Policy } from '../../src/core/policy.ts';
import { IMAGE, SMALL } from '../core/builders.ts';

const CATALOG: PolicyCatalog = { images: [IMAGE], flavors: DEFAULT_FLAVORS };

const WEB = `group: web
min: 1
max: 4
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
scale:
  - { name: hot, type: threshold, metric: cpu, above: 75, for: 3s, add: 1, cooldown: 20s }
  - { name: idle, type: threshold, metric: cpu, below: 20, for: 60s, remove: 1, cooldown: 120s }
`;

function accepted(text: string): Policy {
  const result = parsePolicy(text, 'web.yaml', CATALOG);
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result.policy;
}

/** `line:column path: reason` */
function problems(text: string): readonly string[] {
  const result = parsePolicy(text, 'web.yaml', CATALOG);
  return result.ok
    ? []
    : result.problems.map(({ line, column, path, reason }) => `${line}:${column} ${path}: ${reason}`);
}

/** WEB with one part replaced, which must be there. */
function web(from: string, to: string): string {
  if (!WEB.includes(from)) throw new Error(`no "${from}" in the policy`);
  return WEB.replace(from, to);
}

describe('a good policy', () => {
  it('is read, with defaults filled in', () => {
    expect(accepted(WEB)).toEqual({
      group: 'web',
      min: 1,
      max: 4,
      source: {
        kind: 'template',
        template: { image: IMAGE, flavor: SMALL, ready: { http: { port: 80, path: '/' } } },
      },
      mode: 'act',
      rules: [
        {
          name: 'hot',
          type: 'threshold',
          metric: CPU,
          direction: 'out',
          threshold: 75,
          forMs: 3000,
          by: { vms: 1 },
          cooldownMs: 20_000,
        },
        {
          name: 'idle',
          type: 'threshold',
          metric: CPU,
          direction: 'in',
          threshold: 20,
          forMs: 60_000,
          by: { vms: 1 },
          cooldownMs: 120_000,
        },
      ],
      pace: { out: { stabiliseMs: 0 }, in: { stabiliseMs: 0 } },
      warmupMs: 0,
      capacity: { fork: false, paused: 0, saved: 0, stopped: 0 },
      removal: { kind: 'idlest' },
      hooks: {},
      launchDeadlineMs: 60_000,
      drainGraceMs: 5000,
      shutdownDeadlineMs: 30_000,
    });
  });

  it('may say it all', () => {
    const policy = accepted(
      `${WEB}launch: { deadline: 2m }\ndrain: { grace: 0s }\nshutdown: { deadline: 500ms }\nplacement: least-loaded\n`,
    );
    expect(policy).toMatchObject({
      launchDeadlineMs: 120_000,
      drainGraceMs: 0,
      shutdownDeadlineMs: 500,
      placement: { algorithm: 'least-loaded' },
    });
  });

  it.each<[string, PlacementRules]>([
    ['spread', { algorithm: 'spread' }],
    ['./mine.mjs', { algorithm: './mine.mjs' }],
    ['{}', {}],
    ['{ apart: true }', { apart: true }],
    [
      '{ algorithm: best-fit, labels: { zone: a, rack: 7, ssd: true }, apart: false, host: rack1 }',
      { algorithm: 'best-fit', labels: { zone: 'a', rack: '7', ssd: 'true' }, apart: false, host: 'rack1' },
    ],
  ])('may say where its VMs go: %s', (text, placement) => {
    const placements = [...PLACEMENT_NAMES, './mine.mjs'];
    const catalog = { ...CATALOG, placements, hosts: ['rack1', 'rack2'] };
    const result = parsePolicy(`${WEB}placement: ${text}\n`, 'web.yaml', catalog);
    expect(result).toMatchObject({ ok: true, policy: { placement } });
  });

  it('is warned when its VMs cannot all be apart', () => {
    const warnings = (placement: string, hosts?: readonly string[]) => {
      const catalog = { ...CATALOG, ...(hosts && { hosts }) };
      const result = parsePolicy(`${WEB}placement: ${placement}\n`, 'web.yaml', catalog);
      return result.ok ? result.warnings.map(problemText) : ['refused'];
    };
    expect(warnings('{ apart: true }', ['a', 'b', 'c'])).toEqual([
      expect.stringContaining('3:6: max: max is 4, but only 3 hosts are there, and the VMs are to be apart'),
    ]);
    expect(warnings('{ apart: true, host: a }', ['a', 'b', 'c', 'd'])[0]).toContain('only one host is there');
    expect(warnings('{ apart: true }', ['a', 'b', 'c', 'd'])).toEqual([]);
    expect(warnings('{ apart: true }')).toEqual([]);
    expect(warnings('{ apart: false }', ['a'])).toEqual([]);
  });

  it('may leave out what has a default', () => {
    const [rule] = accepted(web(', add: 1, cooldown: 20s', '')).rules;
    expect(rule).toMatchObject({ by: { vms: 1 }, cooldownMs: 60_000 });
    expect(accepted(WEB.slice(0, WEB.indexOf('scale:'))).rules).toEqual([]);
  });

  it('may list domains that exist', () => {
    const text = `group: old\nmin: 1\nmax: 2\ndomains: [vm1, { name: vm2, address: 192.168.122.151 }]\nready: { http: { port: 8080 } }\n`;
    expect(accepted(text).source).toEqual({
      kind: 'domains',
      domains: [{ name: 'vm1' }, { name: 'vm2', address: '192.168.122.151' }],
      ready: { http: { port: 8080, path: '/' } },
    });
  });

  it('may come with warnings', () => {
    const result = parsePolicy(web('for: 3s', 'for: 300ms'), 'web.yaml', CATALOG);
    expect(result).toMatchObject({ ok: true, warnings: [{ line: 6, path: 'scale[0].for' }] });
    const slow = { pollMs: 10_000, bootMs: 30_000 };
    const warned = parsePolicy(WEB, 'web.yaml', CATALOG, slow);
    expect(warned.ok && warned.warnings.map(({ path }) => path)).toEqual(['scale[0].for', 'scale[0].cooldown']);
  });
});

describe('a bad policy is refused with line and reason', () => {
  it.each<[string, string, string]>([
    ['an unknown key', web('min: 1', 'mni: 1'), '2:1 mni: unknown key (did you mean "min"?)'],
    [
      'one that resembles nothing',
      `${WEB}colour: red\n`,
      '8:1 colour: unknown key; known here: group, mode, candidate, min, max, template, ',
    ],
    ['min above max', web('min: 1', 'min: 5'), '2:6 min: min (5) is above max (4)'],
    ['max 0', web('min: 1\nmax: 4', 'min: 0\nmax: 0'), '3:6 max: max must be at least 1'],
    ['a broken number', web('max: 4', 'max: four'), '3:6 max: must be a whole number, not "four"'],
    ['half a VM', web('max: 4', 'max: 2.5'), '3:6 max: must be a whole number, not 2.5'],
    ['far too many VMs', web('max: 4', 'max: 40000'), '3:6 max: must be from 0 to 1000, not 40000'],
    ['a missing key', web('group: web\n', ''), '1:1 group: is missing'],
    ['a name that cannot be one', web('group: web', 'group: Web Servers'), '1:8 group: must be a name'],
    [
      'no image of that name',
      web('image: backend', 'image: backed'),
      '4:20 template.image: no image is named "backed" (did you mean "backend"?); there are: backend',
    ],
    [
      'no flavor of that name',
      web('flavor: small', 'flavor: huge'),
      'no flavor is named "huge"; there are: small, medium, large',
    ],
    ['no unit', web('for: 3s', 'for: 3'), '6:64 scale[0].for: needs a unit: write 3s for seconds'],
    [
      'a percent sign',
      web('above: 75', 'above: 75%'),
      '6:55 scale[0].above: write the number of percent without the sign: 75',
    ],
    [
      'a threshold out of range',
      web('above: 75', 'above: 175'),
      'scale[0].above: a threshold is a percentage from 0 to 100',
    ],
    ['thresholds that must flap', web('below: 20', 'below: 40'), '7:56 scale[1].below: the group must flap'],
    [
      'an unknown kind of rule',
      web('type: threshold', 'type: treshold'),
      'scale[0].type: must be threshold, step, target, schedule or forecast, not "treshold" (did you mean "threshold"?)',
    ],
    ['an unknown metric', web('metric: cpu', 'metric: load'), '6:43 scale[0].metric: must be cpu, memory, network'],
    [
      'a rule both ways',
      web('above: 75', 'above: 75, below: 10'),
      'scale[0].below: needs either above (to add) or below (to remove); it has both',
    ],
    [
      'a rule neither way',
      web('above: 75, ', ''),
      '6:5 scale[0]: needs either above (to add) or below (to remove); it has neither',
    ],
    ['removing when hot', web('add: 1', 'remove: 1'), 'scale[0].remove: a rule with above adds VMs: use add'],
    ['two rules of one name', web('name: idle', 'name: hot'), '7:13 scale[1].name: there is another rule named hot'],
    ['a rule that is none', web('scale:\n', 'scale:\n  - fast\n'), '6:5 scale[0]: must be a block of keys, not "fast"'],
    ['rules that are no list', web('scale:\n', 'scale: 3\nx:\n'), '5:8 scale: must be a list, not 3'],
    [
      'a key for guests that is none',
      web('flavor: small,', 'flavor: small, cloudInit: { sshKeys: [ssh-rsa] },'),
      'template.cloudInit.sshKeys[0]: is not base64 after its type',
    ],
    [
      'user-data that cloud-init would ignore',
      web('flavor: small,', 'flavor: small, cloudInit: { userData: "echo hello" },'),
      'template.cloudInit.userData: must begin with #cloud-config',
    ],
    ['no readiness', web(', ready: { http: { port: 80, path: / } }', ''), '4:1 template.ready: is missing'],
    ['a path that is none', web('path: /', 'path: index'), 'template.ready.http.path: must begin with /'],
    ['a port that is none', web('port: 80', 'port: 0'), 'template.ready.http.port: must be from 1 to 65535, not 0'],
    ['readiness in the wrong place', `${WEB}ready: { http: { port: 80 } }\n`, '8:1 ready: belongs inside template'],
    ['both sources', `${WEB}domains: [vm1]\n`, '8:1 domains: a group has either template or domains, not both'],
    ['no source', web('template:', 'tmplate:'), 'needs either template (VMs are made) or domains'],
    [
      'a domain twice',
      'group: a\nmin: 1\nmax: 2\ndomains: [vm1, vm2, vm1]\nready: { http: { port: 80 } }',
      '4:21 domains[2]: vm1 is in the list already',
    ],
    [
      'fewer domains than min',
      'group: a\nmin: 3\nmax: 4\ndomains: [vm1, vm2]\nready: { http: { port: 80 } }',
      '2:6 min: min is 3, but only 2 domains are listed',
    ],
    ['domains without readiness', 'group: a\nmin: 1\nmax: 2\ndomains: [vm1]\n', '4:1 domains: needs ready'],
    [
      'an address with a port',
      'group: a\nmin: 1\nmax: 2\ndomains: [{ name: vm1, address: "1.2.3.4/24" }]\nready: { http: { port: 80 } }',
      'domains[0].address: must be an IP address',
    ],
    [
      'an unknown placement',
      `${WEB}placement: random\n`,
      '8:12 placement: no placement algorithm is named "random"; there are: least-loaded, first-fit, round-robin, fifo',
    ],
    [
      'a slip in a placement',
      `${WEB}placement: { algorithm: bestfit }\n`,
      '8:25 placement.algorithm: no placement algorithm is named "bestfit" (did you mean "best-fit"?)',
    ],
    [
      "a module that the configuration hasn't",
      `${WEB}placement: ./mine.mjs\n`,
      'no placement algorithm is named "./mine.mjs"',
    ],
    ['an unknown key of placement', `${WEB}placement: { spread: true }\n`, '8:14 placement.spread: unknown key'],
    ['a list for placement', `${WEB}placement: [spread]\n`, '8:1 placement: must be a block of keys, not a list'],
    ['apart that is a word', `${WEB}placement: { apart: always }\n`, '8:21 placement.apart: must be true or false'],
    [
      'a label that is no word',
      `${WEB}placement: { labels: { zone: [a] } }\n`,
      'placement.labels.zone: must be a word',
    ],
    [
      'a label of odd letters',
      `${WEB}placement: { labels: { "a b": c } }\n`,
      '8:31 placement.labels.a b: a label is a word',
    ],
    ['YAML that is none', 'group: [web', '1:12 : not valid YAML: '],
    ['a tab', 'group: web\nscale:\n\t- a\n', '3:1 : indentation must be spaces, not tabs'],
    ['a key twice', web('max: 4', 'max: 4\nmax: 5'), '4:1 : this key is here a second time'],
    ['two documents', `${WEB}---\ngroup: b\n`, '8:1 : a second document begins here (---)'],
    ['an alias', web('min: 1\nmax: 4', 'min: &n 1\nmax: *n'), '3:6 : aliases (*name) are not allowed'],
    ['a tag', web('min: 1', 'min: !!js/function 1'), 'tags (!!js/function) are not allowed'],
    ['nothing', '', '1:1 : the file is empty: it holds no policy'],
    ['comments only', '# later\n', 'the file is empty'],
    ['a list', '- group: web\n', '1:1 : must be a block of keys, not a list'],
    ['a key of every object', `${WEB}__proto__: { polluted: true }\n`, '8:1 __proto__: unknown key'],
  ])('%s', (_name, text, expected) => {
    expect(problems(text)).toContainEqual(expect.stringContaining(expected));
    expect(problems(text).length).toBeLessThanOrEqual(2);
  });

  it('all of it at once, in the order of the file', () => {
    const text = web('min: 1', 'min: 9')
      .replace('image: backend', 'image: nope')
      .replace('for: 3s', 'for: 3')
      .replace('name: idle', 'nam: idle');
    expect(problems(text).map((problem) => problem.slice(0, problem.indexOf(' ', 6) - 1))).toEqual([
      '2:6 min',
      '4:20 template.image',
      '6:64 scale[0].for',
      '7:5 scale[1].name',
      '7:7 scale[1].nam',
    ]);
  });

  it('a file that is too big is not even read', () => {
    expect(problems(`${WEB}#${'x'.repeat(MAX_POLICY_BYTES)}`)).toEqual([
      expect.stringContaining(`at most ${MAX_POLICY_BYTES} are read`),
    ]);
  });

  it.each([
    ['deeply nested', `a: ${'['.repeat(200_000)}`],
    ['deeply nested blocks', `a: ${'{b: '.repeat(100_000)}`],
    ['ten thousand keys', Array.from({ length: 10_000 }, (_, index) => `key${index}: 1`).join('\n')],
    ['ten thousand rules', `scale: [${'{a: 1},'.repeat(10_000)}]`],
    ['garbage to the brim', 'a: ]\n'.repeat(25_000)],
    ['a billion laughs', 'a: &a [x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n'],
    ['a very long key', `${'k'.repeat(200_000)}: 1`],
  ])('%s: with few words', (_name, text) => {
    const found = problems(text);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(25);
  });

  it('whatever it is: no exception, and a place within the file', () => {
    const fragment = fc.oneof(
      fc.constantFrom(...WEB.split(/(?<=[\s{}:,])/)),
      fc.string({ maxLength: 8 }),
      fc.constantFrom(
        '\n',
        '  ',
        '- ',
        '{',
        '}',
        '[',
        ']',
        ': ',
        '#',
        '&a ',
        '*a',
        '!t ',
        '|',
        '>',
        '"',
        "'",
        '---\n',
        '\t',
        '? ',
      ),
    );
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 60 }), (parts) => {
        const text = parts.join('');
        const result = parsePolicy(text, 'web.yaml', CATALOG);
        if (result.ok) return;
        expect(result.problems.length).toBeGreaterThan(0);
        const lines = text.split('\n').length;
        for (const problem of result.problems) {
          expect(problem.line).toBeGreaterThanOrEqual(1);
          expect(problem.line).toBeLessThanOrEqual(lines);
          expect(problem.column).toBeGreaterThanOrEqual(1);
          expect(problem.reason).not.toMatch(/undefined|\[object/);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('problemText', () => {
  it('reads like a compiler', () => {
    const [problem] = (() => {
      const result = parsePolicy(web('min: 1', 'min: 5'), 'policies/web.yaml', CATALOG);
      return result.ok ? [] : result.problems;
    })();
    expect(problem && problemText(problem)).toBe('policies/web.yaml:2:6: min: min (5) is above max (4)');
  });
});
