import { describe, expect, it } from 'vitest';
import type { DurableMemory, TransientMemory } from '../../src/core/memory.ts';
import { CPU, type Metric, type MetricReading, metricKey } from '../../src/core/metric.ts';
import type { GroupView } from '../../src/core/model.ts';
import { POLICY_DEFAULTS, type ScaleRule, type ScheduleRule, type StepRule } from '../../src/core/policy.ts';
import { decideSize, type SizeInput } from '../../src/core/size.ts';
import { inRule, NOW_MS, outRule, targetRule } from './builders.ts';

const JOBS: Metric = { source: { kind: 'posted', name: 'jobs' }, aggregate: 'mean', overMs: 0, scope: 'total' };

interface World {
  readonly rules: readonly ScaleRule[];
  readonly desired?: number;
  readonly inService?: number;
  readonly launching?: number;
  readonly min?: number;
  readonly max?: number;
  /** Mean CPU of the VMs in service, percent. */
  readonly cpu?: number;
  readonly jobs?: number;
  readonly group?: GroupView;
  readonly durable?: Partial<DurableMemory>;
  readonly transient?: Partial<TransientMemory>;
  readonly pace?: Partial<SizeInput['policy']['pace']>;
  readonly nowMs?: number;
}

function sizeOf(world: World) {
  const { rules, desired = 4, inService = desired, launching = 0, min = 1, max = 20, nowMs = NOW_MS } = world;
  const readings = new Map<string, MetricReading>();
  const sinceMs = nowMs - 1020;
  if (world.cpu !== undefined && inService > 0) {
    const { cpu } = world;
    const reading = { value: cpu, low: cpu, high: cpu, expected: inService, measured: inService, sinceMs };
    for (const rule of rules)
      if ('metric' in rule && rule.metric.source.kind === 'vm') readings.set(metricKey(rule.metric), reading);
  }
  if (world.jobs !== undefined) {
    const { jobs } = world;
    const reading = { value: jobs, low: jobs, high: jobs, expected: 1, measured: 1, ofGroup: true, sinceMs } as const;
    readings.set(metricKey(JOBS), reading);
  }
  return decideSize({
    policy: { min, max, rules, pace: { ...POLICY_DEFAULTS.pace, ...world.pace } },
    readings,
    inService,
    launching,
    silentHosts: [],
    group: world.group ?? {},
    durable: { paused: false, breaker: { failures: 0 }, desired, ...world.durable },
    transient: { rules: {}, ...world.transient },
    nowMs,
  });
}

const hot = outRule({ forMs: 0, cooldownMs: 0 });
const idle = inRule({ forMs: 0, cooldownMs: 0 });

describe('target', () => {
  it.each<[string, Partial<World>, number]>([
    ['what the load takes, rounded up', { cpu: 80 }, 6],
    ['nothing within the tolerance above', { cpu: 66 }, 4],
    ['more beyond it', { cpu: 66.1 }, 5],
    ['nothing within the tolerance below', { cpu: 54 }, 4],
    ['fewer when fewer do', { cpu: 45 }, 3],
    ['as many when fewer would not do', { cpu: 53 }, 4],
    ['all that is idle', { cpu: 1 }, 1],
    ['no more for the same load while VMs are launching', { cpu: 80, inService: 4, launching: 2, desired: 6 }, 6],
    ['more for more load, though VMs are launching', { cpu: 100, inService: 4, launching: 2, desired: 6 }, 7],
    ['nothing fewer while VMs are launching', { cpu: 10, inService: 4, launching: 1, desired: 5 }, 5],
    ['a cooldown of its own in each direction', { cpu: 80, durable: { lastInAtMs: NOW_MS - 1 } }, 6],
  ])('%s', (_name, world, desired) => {
    expect(sizeOf({ rules: [targetRule()], ...world }).desired).toBe(desired);
  });

  it('divides a number of the whole group by what one VM is to have', () => {
    const rules = [targetRule({ metric: JOBS, target: 10 })];
    expect(sizeOf({ rules, jobs: 75 }).desired).toBe(8);
    expect(sizeOf({ rules, jobs: 12 }).desired).toBe(2);
    expect(sizeOf({ rules, jobs: 41 }).desired).toBe(4);
  });

  it('waits until it has been asked for long enough, for each side anew', () => {
    const rules = [targetRule({ forMs: 3000 })];
    const first = sizeOf({ rules, cpu: 80 });
    expect(first.verdicts[0]).toMatchObject({ verdict: 'counting', recommends: 0 });
    const later = { rules, nowMs: NOW_MS + 2000, transient: first.transient };
    expect(sizeOf({ ...later, cpu: 80 }).desired).toBe(6);
    expect(sizeOf({ ...later, cpu: 10 }).desired).toBe(4);
  });

  it('waits for values from after the last removal: those before it were shared by more', () => {
    const durable = { lastInAtMs: NOW_MS - 1000 };
    expect(sizeOf({ rules: [targetRule()], cpu: 30, durable })).toMatchObject({ desired: 4 });
    expect(sizeOf({ rules: [targetRule()], cpu: 30, durable: { lastInAtMs: NOW_MS - 1100 } })).toMatchObject({
      desired: 2,
    });
  });

  it('says what it saw', () => {
    const { verdicts } = sizeOf({ rules: [targetRule()], cpu: 80 });
    expect(verdicts[0]).toEqual({
      rule: 'keep',
      type: 'target',
      direction: 'both',
      verdict: 'fires',
      metric: 'cpu',
      unit: '%',
      value: 80,
      threshold: 60,
      measured: 4,
      expected: 4,
      crossedAtMs: NOW_MS - 1020,
      recommends: 2,
      text: 'CPU 80 %, target 60 %, needs 6 VMs instead of 4: add 2 VMs.',
    });
  });
});

describe('step', () => {
  const bands: StepRule = {
    name: 'bands',
    type: 'step',
    metric: CPU,
    direction: 'out',
    bands: [
      { bound: 60, by: { vms: 1 } },
      { bound: 80, by: { vms: 2 } },
      { bound: 95, by: { percent: 100 } },
    ],
    forMs: 0,
    cooldownMs: 0,
  };
  it.each([
    [60, 4],
    [61, 5],
    [80, 5],
    [81, 6],
    [96, 8],
  ])('at %d %% four become %d', (cpu, desired) => {
    expect(sizeOf({ rules: [bands], cpu }).desired).toBe(desired);
  });

  it('takes the band of what it will be once those on their way serve', () => {
    // 4 · 96 / 6 = 64 %.
    expect(sizeOf({ rules: [bands], cpu: 96, inService: 4, launching: 2, desired: 6 }).desired).toBe(7);
    expect(sizeOf({ rules: [bands], cpu: 81, inService: 4, launching: 2, desired: 6 }).desired).toBe(6);
  });

  it('removes more the idler it is, and no more than is safe', () => {
    const down: StepRule = {
      ...bands,
      name: 'down',
      direction: 'in',
      bands: [
        { bound: 30, by: { vms: 1 } },
        { bound: 10, by: { percent: 50 } },
      ],
    };
    expect(sizeOf({ rules: [down], cpu: 20, desired: 8 }).desired).toBe(7);
    expect(sizeOf({ rules: [down], cpu: 9, desired: 8 }).desired).toBe(4);
    const both = sizeOf({ rules: [down, outRule({ threshold: 15, forMs: 0 })], cpu: 9, desired: 8 });
    expect(both.desired).toBe(5);
    expect(both.verdicts[0]?.text).toContain('(4 would be too many)');
  });
});

describe('several rules', () => {
  it('go out when any says so, by the largest', () => {
    expect(sizeOf({ rules: [hot, targetRule(), idle], cpu: 90 }).desired).toBe(6);
    expect(
      sizeOf({ rules: [targetRule({ metric: JOBS, target: 10 }), targetRule({ name: 'cpu' })], cpu: 1, jobs: 90 })
        .desired,
    ).toBe(9);
  });

  it('go in when all agree, by the gentlest', () => {
    const jobs = targetRule({ name: 'jobs', metric: JOBS, target: 10 });
    expect(sizeOf({ rules: [jobs, targetRule()], cpu: 5, jobs: 25 }).desired).toBe(3);
    const held = sizeOf({ rules: [jobs, targetRule({ forMs: 60_000 })], cpu: 5, jobs: 3 });
    expect(held.desired).toBe(4);
    expect(held.heldBack).toBe('Nothing is removed before rule keep agrees.');
    expect(held.followed).toBeUndefined();
  });

  it('do not remove what a rule on another metric would bring back', () => {
    const jobs = outRule({
      name: 'jobs',
      metric: { ...JOBS, scope: 'mean' },
      threshold: 10,
      forMs: 60_000,
      cooldownMs: 0,
    });
    const readings = { rules: [targetRule(), jobs], cpu: 5 };
    const key = metricKey({ ...JOBS, scope: 'mean' });
    const at = (value: number) =>
      decideSize({
        policy: { min: 1, max: 20, rules: readings.rules, pace: POLICY_DEFAULTS.pace },
        readings: new Map([
          [metricKey(CPU), { value: 5, low: 5, high: 5, expected: 4, measured: 4 }],
          [key, { value, low: value, high: value, expected: 1, measured: 1, ofGroup: true }],
        ]),
        inService: 4,
        launching: 0,
        silentHosts: [],
        group: {},
        durable: { paused: false, breaker: { failures: 0 }, desired: 4 },
        transient: { rules: {} },
        nowMs: NOW_MS,
      }).desired;
    expect([at(1), at(5), at(9)]).toEqual([1, 2, 4]);
  });
});

describe('to zero and back', () => {
  const jobs = targetRule({ name: 'jobs', metric: JOBS, target: 10 });
  it('only by a number of the whole group', () => {
    expect(sizeOf({ rules: [targetRule()], min: 0, desired: 1, cpu: 0 }).desired).toBe(1);
    expect(sizeOf({ rules: [hot, idle], min: 0, desired: 1, cpu: 0 })).toMatchObject({
      desired: 1,
      steps: [
        { step: 'rules', to: 0 },
        { step: 'last-vm', to: 1 },
      ],
    });
    expect(sizeOf({ rules: [jobs], min: 0, desired: 2, jobs: 0 }).desired).toBe(0);
    expect(sizeOf({ rules: [jobs], min: 0, desired: 1, jobs: 1 }).desired).toBe(1);
    expect(sizeOf({ rules: [jobs], min: 0, desired: 0, jobs: 1 }).desired).toBe(1);
    expect(sizeOf({ rules: [jobs], min: 0, desired: 0, jobs: 31 }).desired).toBe(4);
  });

  it('rules on what VMs measure agree when they could do with less than the last one', () => {
    const rules = [jobs, targetRule()];
    expect(sizeOf({ rules, min: 0, desired: 1, jobs: 0, cpu: 10 }).desired).toBe(0);
    expect(sizeOf({ rules, min: 0, desired: 1, jobs: 0, cpu: 58 }).desired).toBe(1);
    expect(sizeOf({ rules, min: 0, desired: 3, jobs: 0, cpu: 10 }).desired).toBe(1);
    expect(sizeOf({ rules, min: 0, desired: 0, jobs: 5 }).desired).toBe(1);
  });
});

describe('schedules', () => {
  const office: ScheduleRule = {
    name: 'office',
    type: 'schedule',
    cron: '0 8 * * 1-5',
    timezone: 'Europe/Berlin',
    forMs: 36_000_000,
    min: 6,
  };
  const holding = (rule: string, beganAtWallMs = 1000) => ({ rule, beganAtWallMs, untilMs: NOW_MS + 60_000 });
  const group = (...names: readonly string[]): GroupView => ({ schedules: names.map((name) => holding(name)) });

  it('hold other limits while they hold', () => {
    expect(sizeOf({ rules: [office], group: group('office') })).toMatchObject({
      desired: 6,
      bounded: 6,
      min: 6,
      max: 20,
    });
    expect(sizeOf({ rules: [office] })).toMatchObject({ desired: 4, min: 1 });
    const calm: ScheduleRule = { ...office, name: 'calm', min: 2, max: 3 };
    expect(sizeOf({ rules: [calm], group: group('calm') })).toMatchObject({
      desired: 3,
      limits: [{ limit: 'max', from: 4, to: 3, text: 'Schedule calm allows at most 3 VMs.' }],
    });
    // The largest min, the smallest max; the max wins.
    expect(sizeOf({ rules: [office, calm], group: group('calm', 'office') })).toMatchObject({ min: 3, max: 3 });
  });

  it('set a size once in each window', () => {
    const { min: _min, ...rest } = office;
    const set: ScheduleRule = { ...rest, name: 'set', desired: 9 };
    const world = { rules: [set], group: group('set') };
    const first = sizeOf(world);
    expect(first).toMatchObject({ desired: 9, bounded: 4, steps: [{ step: 'schedule', from: 4, to: 9 }] });
    expect(first.followed?.rule).toBe('set');
    expect(sizeOf({ ...world, durable: { ...first.durable, desired: 5 } }).desired).toBe(5);
    const next = { schedules: [holding('set', 90_000_000)] };
    expect(sizeOf({ rules: [set], group: next, durable: { ...first.durable, desired: 5 } }).desired).toBe(9);
  });

  it('are left out while suspended, and wait while the group is paused', () => {
    const suspended = sizeOf({ rules: [office], group: group('office'), durable: { suspended: ['schedule'] } });
    expect(suspended).toMatchObject({ desired: 4, verdicts: [{ verdict: 'suspended' }] });
    const { min: _min, ...rest } = office;
    const world = { rules: [{ ...rest, desired: 9 }], group: group('office') };
    const paused = sizeOf({ ...world, durable: { paused: true } });
    expect(paused.desired).toBe(4);
    expect(sizeOf({ ...world, durable: { ...paused.durable, paused: false } }).desired).toBe(9);
  });
});

describe('forecasts', () => {
  const ahead: ScaleRule = { name: 'ahead', type: 'forecast', metric: CPU, target: 60, leadMs: 600_000 };
  const expecting = (demand?: number): GroupView => ({
    forecasts: [{ rule: 'ahead', text: 'It beats the seasonal guess.', ...(demand !== undefined && { demand }) }],
  });

  it('raise the floor and never lower anything', () => {
    expect(sizeOf({ rules: [ahead], group: expecting(420) })).toMatchObject({
      desired: 7,
      followed: { rule: 'ahead' },
    });
    expect(sizeOf({ rules: [ahead], group: expecting(60) }).desired).toBe(4);
    expect(sizeOf({ rules: [ahead], group: expecting() })).toMatchObject({
      desired: 4,
      verdicts: [{ verdict: 'idle' }],
    });
    expect(sizeOf({ rules: [ahead], group: expecting(60_000) }).desired).toBe(20);
  });

  it('hold up what rules would remove, and leave them their cooldown', () => {
    const sized = sizeOf({ rules: [targetRule(), ahead], cpu: 5, group: expecting(170) });
    expect(sized.steps.map(({ step, to }) => [step, to])).toEqual([
      ['rules', 1],
      ['floor', 3],
    ]);
    const raised = sizeOf({ rules: [hot, ahead], cpu: 50, group: expecting(420) });
    expect(raised.durable).not.toHaveProperty('lastOutAtMs');
  });
});

describe('pace', () => {
  it('lets no more VMs go or come within a window than it says', () => {
    const rate = { windowMs: 60_000, vms: 2, percent: 10 };
    const world = { rules: [targetRule()], desired: 10, cpu: 10, pace: { in: { stabiliseMs: 0, rate } } };
    const first = sizeOf(world);
    expect(first).toMatchObject({ desired: 8, limits: [{ limit: 'rate', from: 2, to: 8 }] });
    const later = (afterMs: number) =>
      sizeOf({ ...world, desired: 8, durable: { ...first.durable }, nowMs: NOW_MS + afterMs }).desired;
    expect([later(2000), later(59_999), later(60_000)]).toEqual([8, 8, 6]);
    expect(sizeOf({ ...world, cpu: 90, pace: { in: { stabiliseMs: 0, rate } } }).desired).toBe(15);
  });

  it('never holds back what brings a group within its bounds', () => {
    const rate = { windowMs: 60_000, vms: 1 };
    const pace = { in: { stabiliseMs: 60_000, rate }, out: { stabiliseMs: 60_000, rate } };
    const durable = { lastOutAtMs: NOW_MS - 1, lastInAtMs: NOW_MS - 1 };
    expect(sizeOf({ rules: [targetRule()], min: 9, pace, durable }).desired).toBe(9);
    expect(sizeOf({ rules: [targetRule()], max: 2, pace, durable }).desired).toBe(2);
  });

  it('goes down to the largest size recommended within the window, up to the smallest', () => {
    const pace = { in: { stabiliseMs: 10_000 }, out: { stabiliseMs: 3000 } };
    let memory: Pick<World, 'durable' | 'transient' | 'desired'> = { desired: 10 };
    const then = (seconds: number, cpu: number) => {
      const sized = sizeOf({ rules: [targetRule()], pace, cpu, nowMs: NOW_MS + seconds * 1000, ...memory });
      memory = { durable: sized.durable, transient: sized.transient, desired: sized.desired };
      return sized.desired;
    };
    expect([then(0, 10), then(5, 30), then(10, 10)]).toEqual([10, 10, 10]);
    // 5 VMs were recommended 6 s ago.
    expect(then(11, 10)).toBe(5);
    expect(then(12, 90)).toBe(5);
    expect(then(15.5, 90)).toBe(8);
  });
});

describe('windows', () => {
  const metric = { ...CPU, overMs: 3000 };
  const key = metricKey(metric);
  const run = (values: readonly number[]) => {
    let memory: Pick<World, 'durable' | 'transient'> = {};
    return values.map((cpu, second) => {
      const sized = sizeOf({
        rules: [targetRule({ metric })],
        cpu,
        desired: 4,
        nowMs: NOW_MS + second * 1000,
        ...memory,
      });
      memory = { transient: sized.transient };
      return [sized.verdicts[0]?.value, sized.desired];
    });
  };

  it('average, and do not remove before they are full', () => {
    expect(run([80]).at(-1)).toEqual([80, 6]);
    expect(run([20, 20, 20]).at(-1)).toEqual([20, 4]);
    expect(run([20, 20, 20, 20]).at(-1)).toEqual([20, 2]);
    expect(run([60, 60, 100, 100]).at(-1)?.[0]).toBe(80);
  });

  it('average the load, not the shares that fewer VMs had of it', () => {
    const before = sizeOf({ rules: [targetRule({ metric })], cpu: 90, desired: 4 });
    const now = sizeOf({
      rules: [targetRule({ metric })],
      cpu: 60,
      desired: 6,
      transient: before.transient,
      nowMs: NOW_MS + 1000,
    });
    expect(now.verdicts[0]?.value).toBeCloseTo(60);
    expect(before.transient.windows?.[key]?.low).toEqual([{ atMs: NOW_MS, value: 360 }]);
  });
});

describe('a paused group', () => {
  it('follows nobody, and says so', () => {
    const paused = sizeOf({ rules: [hot], cpu: 90, durable: { paused: true } });
    expect(paused).toMatchObject({
      desired: 4,
      steps: [
        { step: 'rules', from: 4, to: 5 },
        { step: 'paused', from: 5, to: 4 },
      ],
      limits: [{ limit: 'paused', from: 5, to: 4, text: 'Rule hot is not followed: the group is paused.' }],
    });
    expect(paused.durable).not.toHaveProperty('lastOutAtMs');
  });
});
