// Arbitrary policies, and how a file would say them. Not here: what a parser makes of that.

import fc from 'fast-check';
import { DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import type { Metric } from '../../src/core/metric.ts';
import type { ReadyCheck } from '../../src/core/model.ts';
import type {
  Change,
  HealthCheck,
  Hook,
  PaceLimit,
  Policy,
  Refresh,
  RemovalOrder,
  ScaleRule,
} from '../../src/core/policy.ts';
import { IMAGE } from '../core/builders.ts';

type Plain = Readonly<Record<string, unknown>>;

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?$/);
const vms = fc.integer({ min: 1, max: 1000 });
const upTo = (max: number, min = 0) => fc.integer({ min, max });
/** Milliseconds, most of them as people would write them. */
const time = (minMs: number, maxMs: number) =>
  fc.oneof(
    upTo(maxMs, minMs),
    upTo(Math.floor(maxMs / 1000), Math.ceil(minMs / 1000)).map((s) => s * 1000),
  );
const DAY_MS = 86_400_000;

const change = (maxPercent: number): fc.Arbitrary<Change> =>
  fc.oneof(
    vms.map((count) => ({ vms: count })),
    upTo(maxPercent, 1).map((percent) => ({ percent })),
  );

const aggregate = fc.oneof(
  fc.constantFrom('mean', 'max'),
  fc.constantFrom(50, 90, 95, 99.9, 0.5).map((percentile) => ({ percentile })),
) as fc.Arbitrary<Metric['aggregate']>;

const anyMetric: fc.Arbitrary<Metric> = fc.oneof(
  fc.record({
    source: fc
      .constantFrom('cpu', 'memory', 'network', 'disk', 'steal')
      .map((metric) => ({ kind: 'vm' as const, name: metric })),
    aggregate,
    overMs: time(0, DAY_MS),
    scope: fc.constant('mean' as const),
  }),
  fc.record({
    source: name.map((posted) => ({ kind: 'posted' as const, name: posted })),
    aggregate,
    overMs: time(0, DAY_MS),
    scope: fc.constantFrom('mean', 'total'),
  }),
  fc.record({
    source: fc
      .constantFrom('up', 'sum(rate(x{a="b"}[1m]))', "avg(y{z=~'a: #b'})", 'max by () (\n  x\n)', '- a & *b')
      .map((query) => ({ kind: 'query' as const, query })),
    aggregate: fc.constant('mean' as const),
    overMs: time(0, DAY_MS),
    scope: fc.constantFrom('mean', 'total'),
  }),
);

const amount = fc.oneof(upTo(100), fc.double({ min: 0.001, max: 1e6, noNaN: true }));
const timing = { forMs: time(0, DAY_MS), cooldownMs: time(0, DAY_MS) };

const threshold: fc.Arbitrary<ScaleRule> = fc.constantFrom('out' as const, 'in' as const).chain((direction) =>
  fc.record({
    name,
    type: fc.constant('threshold' as const),
    metric: anyMetric,
    direction: fc.constant(direction),
    threshold: amount,
    by: change(direction === 'out' ? 1000 : 100),
    ...timing,
  }),
);

const step: fc.Arbitrary<ScaleRule> = fc.constantFrom('out' as const, 'in' as const).chain((direction) =>
  fc.record({
    name,
    type: fc.constant('step' as const),
    metric: anyMetric,
    direction: fc.constant(direction),
    bands: fc
      .uniqueArray(fc.record({ bound: upTo(1000), by: change(direction === 'out' ? 1000 : 100) }), {
        minLength: 1,
        maxLength: 5,
        selector: ({ bound }) => bound,
      })
      .map((bands) => bands.toSorted((a, b) => (direction === 'out' ? a.bound - b.bound : b.bound - a.bound))),
    ...timing,
  }),
);

const target: fc.Arbitrary<ScaleRule> = fc.record(
  {
    name,
    type: fc.constant('target' as const),
    metric: anyMetric,
    target: amount.filter((value) => value > 0),
    leadMs: time(1000, 300_000),
    boost: fc.constantFrom(1.5, 2, 4),
    tolerance: fc.record({ up: upTo(100).map((share) => share / 100), down: upTo(100).map((share) => share / 100) }),
    forMs: time(0, DAY_MS),
    cooldownMs: fc.record({ out: time(0, DAY_MS), in: time(0, DAY_MS) }),
  },
  { requiredKeys: ['name', 'type', 'metric', 'target', 'tolerance', 'forMs', 'cooldownMs'] },
);

const schedule: fc.Arbitrary<ScaleRule> = fc
  .record({
    size: fc
      .record({ min: vms, max: vms, desired: vms }, { requiredKeys: [] })
      .filter((size) => Object.keys(size).length > 0),
    rest: fc.record({
      name,
      type: fc.constant('schedule' as const),
      cron: fc.constantFrom('0 8 * * 1-5', '*/5 * * * *', '30 0 8 1 1 *'),
      timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'),
      forMs: time(1000, 31 * DAY_MS),
    }),
  })
  .map(({ size, rest }) => ({ ...rest, ...size }));

const forecast: fc.Arbitrary<ScaleRule> = fc.record({
  name,
  type: fc.constant('forecast' as const),
  metric: anyMetric,
  target: amount.filter((value) => value > 0),
  leadMs: time(60_000, DAY_MS),
});

const anyRule: fc.Arbitrary<ScaleRule> = fc.oneof(threshold, step, target, schedule, forecast);

const check: fc.Arbitrary<ReadyCheck> = fc.oneof(
  fc.record({ http: fc.record({ port: upTo(65_535, 1), path: fc.constantFrom('/', '/healthz', '/a?b=c#d') }) }),
  fc.record({ tcp: fc.record({ port: upTo(65_535, 1) }) }),
  fc.constant({ agent: true as const }),
);

const pace: fc.Arbitrary<PaceLimit> = fc
  .record({
    stabiliseMs: time(0, DAY_MS),
    windowMs: time(1000, DAY_MS),
    rate: fc.record({ vms, percent: upTo(1000, 1) }, { requiredKeys: [] }),
  })
  .map(({ stabiliseMs, windowMs, rate }) =>
    Object.keys(rate).length === 0 ? { stabiliseMs } : { stabiliseMs, rate: { windowMs, ...rate } },
  );

const removal: fc.Arbitrary<RemovalOrder> = fc.oneof(
  fc
    .constantFrom<'idlest' | 'oldest' | 'newest' | 'fullest-host'>('idlest', 'oldest', 'newest', 'fullest-host')
    .map((kind) => ({ kind })),
  fc.constantFrom('priority', 'a/b', 'X_1').map((label) => ({ kind: 'label' as const, label })),
);

const hook: fc.Arbitrary<Hook> = fc.record(
  {
    url: fc.constantFrom('http://127.0.0.1:9000/x', 'https://hooks.example/a?b=c'),
    secretFile: fc.constantFrom('/etc/virtscale/hook.key', '/a b/c'),
    deadlineMs: time(1000, 3_600_000),
    onTimeout: fc.constantFrom('continue', 'abandon'),
  },
  { requiredKeys: ['url', 'deadlineMs', 'onTimeout'] },
);

const health: fc.Arbitrary<HealthCheck> = fc.record({
  check,
  intervalMs: time(1000, 3_600_000),
  timeoutMs: time(50, 60_000),
  failures: upTo(100, 1),
  graceMs: time(0, DAY_MS),
  budget: change(100),
});

const refresh: fc.Arbitrary<Refresh> = fc
  .record({
    surge: upTo(10),
    unavailable: upTo(10),
    checkpoints: fc
      .uniqueArray(upTo(99, 1), { maxLength: 5 })
      .map((shares) => shares.toSorted((a, b) => a - b).map((share) => share / 100)),
    pauseMs: time(0, 7 * DAY_MS),
    failures: upTo(1000, 1),
    onFailure: fc.constantFrom('rollback', 'stop'),
  })
  .map((made) => (made.surge + made.unavailable > 0 ? made : { ...made, surge: 1 }));

/** Of the right form; whether it makes sense is another question. */
export const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    always: fc.record({
      group: name,
      sizes: fc.tuple(upTo(1000, 1), upTo(1000, 1)),
      rules: fc.uniqueArray(anyRule, { maxLength: 4, selector: ({ name: rule }) => rule }),
      pace: fc.record({ out: pace, in: pace }),
      warmupMs: time(0, DAY_MS),
      capacity: fc.record({ fork: fc.boolean(), paused: upTo(5), saved: upTo(5), stopped: upTo(5) }),
      removal,
      hooks: fc.record({ launch: hook, remove: hook }, { requiredKeys: [] }),
      launchDeadlineMs: time(3000, 3_600_000),
      drainGraceMs: time(0, DAY_MS),
      shutdownDeadlineMs: time(0, 3_600_000),
    }),
    ready: check,
    flavor: fc.constantFrom(...DEFAULT_FLAVORS),
    observing: fc.option(fc.option(name, { nil: undefined }), { nil: null }),
    sometimes: fc.record({ health, refresh }, { requiredKeys: [] }),
  })
  .map(({ always: { sizes, ...always }, ready, flavor, observing, sometimes }) => ({
    ...always,
    ...(observing === null
      ? { mode: 'act' }
      : { mode: 'observe', ...(observing !== undefined && { candidate: observing }) }),
    min: Math.min(...sizes),
    max: Math.max(...sizes),
    source: { kind: 'template', template: { image: IMAGE, flavor, ready } },
    ...sometimes,
  }));

/** As a file says it, with nothing left out. */
export function fileOf(policy: Policy): Plain {
  const {
    candidate,
    capacity,
    group,
    health: checked,
    hooks,
    max,
    min,
    mode,
    pace: limits,
    refresh: rolled,
    source,
  } = policy;
  if (source.kind !== 'template') throw new Error('listed domains are written by hand');
  const { image, flavor, ready } = source.template;
  return {
    group,
    mode,
    ...(candidate !== undefined && { candidate }),
    min,
    max,
    template: { image: image.name, flavor: flavor.name, ready },
    scale: policy.rules.map(ruleOf),
    limits: { out: paceOf(limits.out), in: paceOf(limits.in) },
    warmup: duration(policy.warmupMs),
    capacity,
    removal: policy.removal.kind === 'label' ? { label: policy.removal.label } : policy.removal.kind,
    hooks: {
      ...(hooks.launch && { launch: hookOf(hooks.launch) }),
      ...(hooks.remove && { remove: hookOf(hooks.remove) }),
    },
    ...(checked && {
      health: {
        ...checked.check,
        interval: duration(checked.intervalMs),
        timeout: duration(checked.timeoutMs),
        failures: checked.failures,
        grace: duration(checked.graceMs),
        budget: changeText(checked.budget),
      },
    }),
    ...(rolled && {
      refresh: {
        ...without(rolled, 'pauseMs'),
        checkpoints: rolled.checkpoints.map(percent),
        pause: duration(rolled.pauseMs),
      },
    }),
    launch: { deadline: duration(policy.launchDeadlineMs) },
    drain: { grace: duration(policy.drainGraceMs) },
    shutdown: { deadline: duration(policy.shutdownDeadlineMs) },
  };
}

function ruleOf(rule: ScaleRule): Plain {
  if (rule.type === 'schedule') return { ...without(rule, 'forMs'), for: duration(rule.forMs) };
  const said = { name: rule.name, type: rule.type, ...metricOf(rule.metric) };
  if (rule.type === 'forecast') return { ...said, target: rule.target, lead: duration(rule.leadMs) };
  if (rule.type === 'target') {
    const { boost, cooldownMs, leadMs, tolerance } = rule;
    return {
      ...said,
      target: rule.target,
      tolerance: { up: percent(tolerance.up), down: percent(tolerance.down) },
      for: duration(rule.forMs),
      cooldown: { out: duration(cooldownMs.out), in: duration(cooldownMs.in) },
      ...(leadMs !== undefined && { lead: duration(leadMs) }),
      ...(boost !== undefined && { boost }),
    };
  }
  const crossing = (bound: number, by: Change) =>
    rule.direction === 'out' ? { above: bound, add: changeText(by) } : { below: bound, remove: changeText(by) };
  const what =
    rule.type === 'step'
      ? { steps: rule.bands.map(({ bound, by }) => crossing(bound, by)) }
      : crossing(rule.threshold, rule.by);
  return { ...said, ...what, for: duration(rule.forMs), cooldown: duration(rule.cooldownMs) };
}

function metricOf({ aggregate: how, overMs, scope, source }: Metric): Plain {
  const metric =
    source.kind === 'vm' ? source.name : source.kind === 'query' ? { query: source.query } : { posted: source.name };
  return {
    metric,
    ...(source.kind !== 'query' && { aggregate: typeof how === 'string' ? how : `p${how.percentile}` }),
    over: duration(overMs),
    scope,
  };
}

function paceOf({ rate, stabiliseMs }: PaceLimit): Plain {
  const said = rate && { ...without(rate, 'windowMs'), per: duration(rate.windowMs) };
  return { ...said, stabilise: duration(stabiliseMs) };
}

function hookOf({ deadlineMs, ...rest }: Hook): Plain {
  return { ...rest, deadline: duration(deadlineMs) };
}

function without<T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> {
  const { [key]: _gone, ...rest } = value;
  return rest;
}

function changeText(by: Change): number | string {
  return 'vms' in by ? by.vms : `${by.percent}%`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

function duration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
