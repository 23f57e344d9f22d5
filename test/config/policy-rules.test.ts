// Every key of every kind of rule, right and wrong.

import { describe, expect, it } from 'vitest';
import { DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import { problemText } from '../../src/config/file-problem.ts';
import { type PolicyCatalog, parsePolicy } from '../../src/config/policy-file.ts';
import { CPU } from '../../src/core/metric.ts';
import type { ScaleRule } from '../../src/core/policy.ts';
import { IMAGE } from '../core/builders.ts';

const CATALOG: PolicyCatalog = {
  images: [IMAGE],
  flavors: DEFAULT_FLAVORS,
  prometheus: true,
  cronProblem: (cron, zone) => (cron.includes('61') ? `minute 61 does not exist in ${zone}` : undefined),
};

function parsed(rule: string, catalog = CATALOG) {
  const text = `group: web
min: 1
max: 100
template: { image: backend, flavor: small, ready: { http: { port: 80 } } }
scale:
  - { ${rule} }
`;
  return parsePolicy(text, 'web.yaml', catalog);
}

function ruleOf(rule: string): ScaleRule | undefined {
  const result = parsed(rule);
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result.policy.rules[0];
}

/** All that is wrong, as `column path: reason`, on line 6. */
function problems(rule: string, catalog?: PolicyCatalog): readonly string[] {
  const result = parsed(rule, catalog);
  if (result.ok) return [];
  return result.problems.map(({ line, column, path, reason }) => {
    expect(line).toBe(6);
    return `${column} ${path.replace('scale[0].', '')}: ${reason}`;
  });
}

const HOT = 'name: hot, type: threshold, metric: cpu, above: 75, for: 3s';
const STEP = 'name: s, type: step, metric: cpu, for: 30s';
const KEEP = 'name: keep, type: target, metric: cpu, target: 60';
const OFFICE = "name: office, type: schedule, cron: '0 8 * * 1-5', for: 10h";
const AHEAD = 'name: ahead, type: forecast, metric: cpu, target: 60';

describe('what a rule measures', () => {
  it.each<[string, object]>([
    ['metric: cpu', CPU],
    ['metric: memory', { ...CPU, source: { kind: 'vm', name: 'memory' } }],
    ['metric: network, scope: mean', { ...CPU, source: { kind: 'vm', name: 'network' } }],
    ['metric: disk, aggregate: max', { ...CPU, source: { kind: 'vm', name: 'disk' }, aggregate: 'max' }],
    ['metric: steal, aggregate: mean', { ...CPU, source: { kind: 'vm', name: 'steal' } }],
    ['metric: cpu, aggregate: p95, over: 30s', { ...CPU, aggregate: { percentile: 95 }, overMs: 30_000 }],
    ['metric: cpu, aggregate: p99.9', { ...CPU, aggregate: { percentile: 99.9 } }],
    ['metric: { posted: jobs }', { ...CPU, source: { kind: 'posted', name: 'jobs' }, scope: 'total' }],
    [
      'metric: { posted: lag }, scope: mean, aggregate: max',
      { ...CPU, source: { kind: 'posted', name: 'lag' }, aggregate: 'max' },
    ],
    [
      'metric: { query: \'sum(up{job="x"})\' }',
      { ...CPU, source: { kind: 'query', query: 'sum(up{job="x"})' }, scope: 'total' },
    ],
  ])('%s', (text, metric) => {
    expect(ruleOf(HOT.replace('metric: cpu', text))).toMatchObject({ metric });
  });

  it.each<[string, string, readonly string[]]>([
    ['none', '', ['5 metric: is missing']],
    [
      'an unknown one',
      'metric: cpuu, ',
      [
        '43 metric: must be cpu, memory, network, disk, steal, { posted: NAME } or { query: PROMQL }, not "cpuu" (did you mean "cpu"?)',
      ],
    ],
    [
      'both kinds',
      'metric: { posted: a, query: b }, ',
      ['35 metric: must be either { posted: NAME } or { query: PROMQL }; it is both'],
    ],
    [
      'neither kind',
      'metric: {}, ',
      ['35 metric: must be either { posted: NAME } or { query: PROMQL }; it is neither'],
    ],
    [
      'an unknown kind',
      'metric: { statsd: a }, ',
      [
        '35 metric: must be either { posted: NAME } or { query: PROMQL }; it is neither',
        '45 metric.statsd: unknown key; known here: posted, query',
      ],
    ],
    [
      'a name that is none',
      'metric: { posted: Jobs! }, ',
      ['53 metric.posted: must be a name of up to 40 lower-case letters, digits, dots and dashes, not "Jobs!"'],
    ],
    ['an empty query', "metric: { query: ' ' }, ", ['52 metric.query: must be text of 1 to 4000 characters, not " "']],
    [
      'a total of a mean',
      'metric: cpu, scope: total, ',
      ['55 scope: cpu is measured on each VM: its scope is mean; leave this out'],
    ],
    ['a scope that is none', 'metric: cpu, scope: all, ', ['55 scope: must be mean or total, not "all"']],
    [
      'an aggregate of one number',
      'metric: { query: up }, aggregate: max, ',
      ['69 aggregate: a query answers with one number: aggregate within the query, and leave this out'],
    ],
    [
      'an aggregate that is none',
      'metric: cpu, aggregate: median, ',
      ['59 aggregate: must be mean, max or a percentile such as p95, not "median"'],
    ],
    [
      'a percentile that is none',
      'metric: cpu, aggregate: p100, ',
      ['59 aggregate: must be mean, max or a percentile such as p95, not "p100"'],
    ],
    [
      'a window without unit',
      'metric: cpu, over: 30, ',
      ['54 over: needs a unit: write 30s for seconds, or 30ms, 30m, 30h'],
    ],
    ['an endless window', 'metric: cpu, over: 30d, ', ['54 over: must be from 0s to 24h, not 30d']],
  ])('%s is refused', (_name, text, expected) => {
    expect(problems(HOT.replace('metric: cpu, ', text))).toEqual(expected);
  });

  it('a query without a Prometheus is refused', () => {
    const rule = HOT.replace('metric: cpu', 'metric: { query: up }');
    expect(problems(rule, { ...CATALOG, prometheus: false })).toEqual([
      '52 metric.query: a query needs a Prometheus: add prometheus: { url: http://127.0.0.1:9090 } to the configuration',
    ]);
  });
});

describe('threshold', () => {
  it('out and in, by VMs and by shares', () => {
    const common = { name: 'hot', type: 'threshold', metric: CPU, forMs: 3000, cooldownMs: 60_000 };
    expect(ruleOf(HOT)).toEqual({ ...common, direction: 'out', threshold: 75, by: { vms: 1 } });
    expect(ruleOf(`${HOT}, add: 50%, cooldown: 0s`)).toMatchObject({ by: { percent: 50 }, cooldownMs: 0 });
    expect(ruleOf(`${HOT}, add: 3`)).toMatchObject({ by: { vms: 3 } });
    const idle = HOT.replace('above: 75', 'below: 20.5');
    expect(ruleOf(`${idle}, remove: 10 %`)).toEqual({
      ...common,
      direction: 'in',
      threshold: 20.5,
      by: { percent: 10 },
    });
  });

  it.each<[string, string, readonly string[]]>([
    ['no name', HOT.replace('name: hot, ', ''), ['5 name: is missing']],
    ['no time', HOT.replace(', for: 3s', ''), ['5 for: is missing']],
    ['a sign', HOT.replace('75', '75%'), ['55 above: write the number of percent without the sign: 75']],
    [
      'a word',
      HOT.replace('75', 'high'),
      ['55 above: must be a number in the metric\'s unit (percent, MB/s), not "high"'],
    ],
    [
      'infinity',
      HOT.replace('75', '.inf'),
      ["55 above: must be a number in the metric's unit (percent, MB/s), not Infinity"],
    ],
    ['both ways', `${HOT}, below: 3`, ['75 below: needs either above (to add) or below (to remove); it has both']],
    [
      'neither way',
      HOT.replace('above: 75, ', ''),
      ['5 scale[0]: needs either above (to add) or below (to remove); it has neither'],
    ],
    ['removing when above', `${HOT}, remove: 1`, ['76 remove: a rule with above adds VMs: use add']],
    [
      'adding when below',
      HOT.replace('above: 75', 'below: 5, add: 1'),
      ['63 add: a rule with below removes VMs: use remove'],
    ],
    ['nothing to add', `${HOT}, add: 0`, ['73 add: must be from 1 to 1000, not 0']],
    ['half a VM', `${HOT}, add: 0.5`, ['73 add: must be a whole number of VMs, or a share such as 50%, not 0.5']],
    ['a share of nothing', `${HOT}, add: 0%`, ['73 add: must be from 1% to 1000%, not "0%"']],
    [
      'more than all',
      HOT.replace('above: 75', 'below: 5, remove: 101%'),
      ['66 remove: must be from 1% to 100%, not "101%"'],
    ],
    ['a long rest', `${HOT}, cooldown: 2d`, ['78 cooldown: must be from 0s to 24h, not 2d']],
    [
      'a key of another type',
      `${HOT}, target: 60`,
      [
        '68 target: unknown key; known here: name, type, metric, aggregate, over, scope, above, below, add, remove, for, cooldown',
      ],
    ],
  ])('%s is refused', (_name, rule, expected) => {
    expect(problems(rule)).toEqual(expected);
  });
});

describe('step', () => {
  it('has bands, from the nearest to the farthest', () => {
    expect(ruleOf(`${STEP}, steps: [{ above: 60 }, { above: 80, add: 50% }, { above: 95, add: 100% }]`)).toEqual({
      name: 's',
      type: 'step',
      metric: CPU,
      direction: 'out',
      bands: [
        { bound: 60, by: { vms: 1 } },
        { bound: 80, by: { percent: 50 } },
        { bound: 95, by: { percent: 100 } },
      ],
      forMs: 30_000,
      cooldownMs: 60_000,
    });
    expect(ruleOf(`${STEP}, cooldown: 1m, steps: [{ below: 30 }, { below: 10, remove: 2 }]`)).toMatchObject({
      direction: 'in',
      bands: [
        { bound: 30, by: { vms: 1 } },
        { bound: 10, by: { vms: 2 } },
      ],
      cooldownMs: 60_000,
    });
  });

  it.each<[string, string, readonly string[]]>([
    ['no steps', STEP, ['5 steps: is missing']],
    ['an empty list', `${STEP}, steps: []`, ['51 steps: must have at least one step, such as { above: 60, add: 1 }']],
    ['a step that is none', `${STEP}, steps: [60]`, ['59 steps[0]: must be a block of keys, not 60']],
    [
      'too many',
      `${STEP}, steps: [${Array.from({ length: 21 }, (_, i) => `{ above: ${i} }`).join(', ')}]`,
      ['51 steps: has more than 20 steps'],
    ],
    [
      'a step neither way',
      `${STEP}, steps: [{ add: 1 }]`,
      ['59 steps[0]: needs either above (to add) or below (to remove); it has neither'],
    ],
    [
      'steps both ways',
      `${STEP}, steps: [{ above: 60 }, { below: 20 }]`,
      ['83 steps[1].below: all steps of a rule go the same way; make another rule of those that go the other'],
    ],
    [
      'bounds that fall',
      `${STEP}, steps: [{ above: 80 }, { above: 60 }]`,
      ['83 steps[1].above: bounds must rise from step to step: 60 comes after 80'],
    ],
    [
      'bounds that rise',
      `${STEP}, steps: [{ below: 20 }, { below: 20 }]`,
      ['83 steps[1].below: bounds must fall from step to step: 20 comes after 20'],
    ],
    [
      'a bound outside',
      `${STEP}, above: 60, steps: [{ above: 60 }]`,
      ['51 above: unknown key; known here: name, type, metric, aggregate, over, scope, for, cooldown, steps'],
    ],
  ])('%s is refused', (_name, rule, expected) => {
    expect(problems(rule)).toEqual(expected);
  });
});

describe('target', () => {
  it('has defaults, and one value or one for each way', () => {
    expect(ruleOf(KEEP)).toEqual({
      name: 'keep',
      type: 'target',
      metric: CPU,
      target: 60,
      tolerance: { up: 0.1, down: 0.1 },
      forMs: 0,
      cooldownMs: { out: 0, in: 60_000 },
    });
    expect(ruleOf(`${KEEP}, for: 5s, tolerance: 5%, cooldown: 30s`)).toMatchObject({
      tolerance: { up: 0.05, down: 0.05 },
      forMs: 5000,
      cooldownMs: { out: 30_000, in: 30_000 },
    });
    expect(ruleOf(`${KEEP}, tolerance: { up: 2% }, cooldown: { in: 5m }`)).toMatchObject({
      tolerance: { up: 0.02, down: 0.1 },
      cooldownMs: { out: 0, in: 300_000 },
    });
    expect(ruleOf(`${KEEP}, lead: 5s, boost: 2`)).toMatchObject({ leadMs: 5000, boost: 2 });
    expect(ruleOf(`${KEEP}, lead: 0s, boost: 1`)).not.toHaveProperty('leadMs');
  });

  it.each<[string, string, readonly string[]]>([
    ['no target', 'name: keep, type: target, metric: cpu', ['5 target: is missing']],
    ['a target of nothing', KEEP.replace('60', '0'), ['54 target: must be above 0: the metric is divided by it']],
    ['a sign', KEEP.replace('60', '60%'), ['54 target: write the number of percent without the sign: 60']],
    [
      'a tolerance without sign',
      `${KEEP}, tolerance: 10`,
      ['69 tolerance: must be a share such as 10%, write it with the sign: 10%'],
    ],
    ['a wide tolerance', `${KEEP}, tolerance: { up: 101% }`, ['75 tolerance.up: must be from 0% to 100%, not "101%"']],
    [
      'a tolerance to the side',
      `${KEEP}, tolerance: { left: 1% }`,
      ['71 tolerance.left: unknown key; known here: up, down'],
    ],
    [
      'a rest without unit',
      `${KEEP}, cooldown: { in: 60 }`,
      ['74 cooldown.in: needs a unit: write 60s for seconds, or 60ms, 60m, 60h'],
    ],
    [
      'a step to add',
      `${KEEP}, add: 1`,
      [
        '58 add: unknown key; known here: name, type, metric, aggregate, over, scope, target, tolerance, for, cooldown, lead, boost',
      ],
    ],
  ])('%s is refused', (_name, rule, expected) => {
    expect(problems(rule)).toEqual(expected);
  });
});

describe('schedule', () => {
  it('moves limits, or sets the size once', () => {
    const common = { name: 'office', type: 'schedule', cron: '0 8 * * 1-5', timezone: 'UTC', forMs: 36_000_000 };
    expect(ruleOf(`${OFFICE}, min: 4`)).toEqual({ ...common, min: 4 });
    expect(ruleOf(`${OFFICE}, timezone: Europe/Berlin, min: 2, max: 9, desired: 5`)).toEqual({
      ...common,
      timezone: 'Europe/Berlin',
      min: 2,
      max: 9,
      desired: 5,
    });
  });

  it.each<[string, string, readonly string[]]>([
    [
      'nothing to hold',
      OFFICE,
      ['5 scale[0]: needs at least one of min, max and desired: what holds while the schedule does'],
    ],
    ['no cron', 'name: o, type: schedule, for: 1h, min: 1', ['5 cron: is missing']],
    [
      'three fields',
      "name: o, type: schedule, cron: '0 8 *', for: 1h, min: 1",
      ["38 cron: must have five fields (six with seconds): minute, hour, day, month, weekday, such as '0 8 * * 1-5'"],
    ],
    [
      'a minute there is not',
      `${OFFICE.replace("'0 8", "'61 8")}, min: 1`,
      ['43 cron: minute 61 does not exist in UTC'],
    ],
    [
      'a slip in the zone',
      `${OFFICE}, min: 1, timezone: Europe/Berln`,
      [
        '86 timezone: no time zone is named "Europe/Berln" (did you mean "Europe/Berlin"?); write one such as Europe/Berlin or UTC',
      ],
    ],
    [
      'an offset for a zone',
      `${OFFICE}, min: 1, timezone: '+01:00'`,
      ['86 timezone: no time zone is named "+01:00"; write one such as Europe/Berlin or UTC'],
    ],
    ['no end', "name: o, type: schedule, cron: '0 8 * * *', min: 1", ['5 for: is missing']],
    ['no time at all', `${OFFICE.replace('10h', '0s')}, min: 1`, ['63 for: must be from 1s to 31d, not 0s']],
    ['half a VM', `${OFFICE}, min: 0.5`, ['73 min: must be a whole number, not 0.5']],
    [
      'a metric',
      `${OFFICE}, min: 1, metric: cpu`,
      ['76 metric: unknown key; known here: name, type, cron, timezone, for, min, max, desired'],
    ],
  ])('%s is refused', (_name, rule, expected) => {
    expect(problems(rule)).toEqual(expected);
  });
});

describe('forecast', () => {
  it('looks ten minutes ahead, or as it is told', () => {
    expect(ruleOf(AHEAD)).toEqual({ name: 'ahead', type: 'forecast', metric: CPU, target: 60, leadMs: 600_000 });
    expect(ruleOf(`${AHEAD}, lead: 1h`)).toMatchObject({ leadMs: 3_600_000 });
  });

  it.each<[string, string, readonly string[]]>([
    ['no target', AHEAD.replace(', target: 60', ''), ['5 target: is missing']],
    ['a short lead', `${AHEAD}, lead: 5s`, ['67 lead: must be from 1m to 24h, not 5s']],
    [
      'a cooldown',
      `${AHEAD}, cooldown: 5s`,
      ['61 cooldown: unknown key; known here: name, type, metric, aggregate, over, scope, target, lead'],
    ],
  ])('%s is refused', (_name, rule, expected) => {
    expect(problems(rule)).toEqual(expected);
  });
});
