import { describe, expect, it } from 'vitest';
import { membershipOf } from '../../src/core/membership.ts';
import { EMPTY_GROUP_MEMORY, type TransientMemory } from '../../src/core/memory.ts';
import { type Metric, metricKey } from '../../src/core/metric.ts';
import type { DomainObservation, GroupView, HostView, OutsideValue, VmView } from '../../src/core/model.ts';
import type { ScaleRule } from '../../src/core/policy.ts';
import { readMetrics, wantedStats } from '../../src/core/readings.ts';
import { decideSize } from '../../src/core/size.ts';
import { hostOf, inRule, NOW_MS, outRule, policyOf, targetRule, uuidOf, viewOf } from './builders.ts';

// Five VMs, two on h2. All are as busy (95 %) or as idle (2 %) as each other: what is decided when some of the data is missing?
// A VM without data counts as idle for scaling out and as fully busy for scaling in. (The rule of Kubernetes' HPA.)

const S = 1_000_000_000;
const SIZE = 5;
const STALE_MS = 5000;

/** What one poll sees of VM `id`, `second` seconds before now; `busy` is its load in percent. */
type Poll = (id: number, second: number, busy: number) => Partial<DomainObservation> | null;

/** VM's counter as it would be without any incident. */
const seen: Poll = (_id, second, busy) => ({
  readAtMs: NOW_MS - second * 1000,
  cpuTimeNs: ((1000 - second) * busy * S) / 100,
});

interface Case {
  readonly name: string;
  readonly poll?: Poll;
  /** Seconds before now at which polls were made. */
  readonly polls?: readonly number[];
  readonly hosts?: readonly HostView[];
  /** VMs seen on another host at the last poll. */
  readonly movedAtLast?: readonly number[];
  /** Desired afterwards, by a threshold rule and by a target rule: when busy, and when idle. */
  readonly threshold: readonly [busy: number, idle: number];
  readonly target: readonly [busy: number, idle: number];
}

const silent =
  (...ids: readonly number[]): Poll =>
  (id, second, busy) =>
    ids.includes(id) ? { readAtMs: NOW_MS - second * 1000 } : seen(id, second, busy);

const CASES: readonly Case[] = [
  { name: 'nothing is missing', threshold: [6, 4], target: [8, 1] },
  // 4 · 95 / 5 = 76 % known: that justifies one more, and 7 at 60 %. (4 · 2 + 100) / 5 = 21.6 %: 108 % fit on 2.
  { name: 'one VM of five is silent', poll: silent(1), threshold: [6, 5], target: [7, 2] },
  { name: 'two of five are silent', poll: silent(1, 2), threshold: [5, 5], target: [5, 4] },
  { name: 'four of five are silent', poll: silent(1, 2, 3, 4), threshold: [5, 5], target: [5, 5] },
  { name: 'all are silent', poll: silent(1, 2, 3, 4, 5), threshold: [5, 5], target: [5, 5] },
  {
    name: 'one has no domain any more',
    poll: (id, second, busy) => (id === 1 ? null : seen(id, second, busy)),
    threshold: [6, 5],
    target: [7, 2],
  },
  {
    name: 'a host has not answered for 2 s: its values are still fresh',
    poll: (id, second, busy) => seen(id, id > 3 ? Math.max(2, second) : second, busy),
    polls: [4, 3, 2, 1, 0],
    hosts: [hostOf('h1'), hostOf('h2', { state: 'stale' })],
    threshold: [6, 5],
    target: [8, 5],
  },
  {
    name: 'a host has not answered for a minute',
    poll: (id, second, busy) => seen(id, id > 3 ? second + 60 : second, busy),
    hosts: [hostOf('h1'), hostOf('h2', { state: 'stale' })],
    threshold: [5, 5],
    target: [5, 5],
  },
  {
    name: 'a host has never answered',
    poll: (id, second, busy) => (id > 3 ? null : seen(id, second, busy)),
    hosts: [hostOf('h1'), hostOf('h2', { state: 'down' })],
    threshold: [5, 5],
    target: [5, 5],
  },
  {
    name: 'the counter of one went back: it was restarted',
    poll: (id, second, busy) =>
      id === 1 && second === 0 ? { cpuTimeNs: 0.1 * S, readAtMs: NOW_MS } : seen(id, second, busy),
    threshold: [6, 5],
    target: [7, 2],
  },
  {
    name: 'one was migrated: its counter is another one, and higher by chance',
    movedAtLast: [1],
    poll: (id, second, busy) => {
      const plain = seen(id, second, busy);
      return id === 1 && second === 0 ? { ...plain, cpuTimeNs: (plain?.cpuTimeNs ?? 0) + 0.02 * S } : plain;
    },
    threshold: [6, 5],
    target: [7, 2],
  },
  {
    name: 'the counter was not told by the last poll: the value before is 1 s old',
    poll: (id, second, busy) => (second === 0 ? { readAtMs: NOW_MS } : seen(id, second, busy)),
    threshold: [6, 4],
    target: [8, 1],
  },
  {
    name: 'the counters have not been told for 6 s',
    poll: (id, second, busy) => (second < 6 ? { readAtMs: NOW_MS - second * 1000 } : seen(id, second, busy)),
    polls: [8, 7, 6, 1, 0],
    threshold: [5, 5],
    target: [5, 5],
  },
  { name: 'the daemon has just started: one poll', polls: [0], threshold: [5, 5], target: [5, 5] },
  { name: 'the daemon started a second ago: two polls', polls: [1, 0], threshold: [6, 4], target: [8, 1] },
  { name: 'polls were missed for a minute: the mean over it', polls: [60, 0], threshold: [6, 4], target: [8, 1] },
  {
    name: 'the same answer was seen twice',
    poll: (id, _second, busy) => seen(id, 1, busy),
    polls: [2, 1, 0],
    threshold: [5, 5],
    target: [5, 5],
  },
  {
    name: 'a domain is in an unknown state for a moment',
    poll: (id, second, busy) =>
      id === 1 && second === 0 ? { ...seen(id, second, busy), state: 'unknown' } : seen(id, second, busy),
    threshold: [6, 4],
    target: [8, 1],
  },
  {
    name: 'one was stopped by somebody',
    poll: (id, second, busy) =>
      id === 1 && second === 0 ? { state: 'stopped', readAtMs: NOW_MS } : seen(id, second, busy),
    threshold: [6, 5],
    target: [7, 2],
  },
];

const HOT = [outRule({ forMs: 0, cooldownMs: 0 }), inRule({ forMs: 0, cooldownMs: 0 })];

/** Feeds the polls one after the other, then decides on the last one. */
function decidedBy(rules: readonly ScaleRule[], busy: number, incident: Partial<Case>, group: GroupView = {}): number {
  const { poll = seen, polls = [2, 1, 0], hosts = [hostOf('h1'), hostOf('h2')], movedAtLast = [] } = incident;
  let transient: TransientMemory = EMPTY_GROUP_MEMORY.transient;
  const policy = policyOf({ min: 1, max: 20, rules });
  let desired = SIZE;
  for (const second of polls) {
    const nowMs = NOW_MS - second * 1000;
    const isLast = second === polls.at(-1);
    const vms = Array.from({ length: SIZE }, (_, i): VmView => {
      const id = i + 1;
      const moved = isLast && movedAtLast.includes(id);
      return viewOf(id, { record: { host: id > 3 !== moved ? 'h2' : 'h1' }, domain: poll(id, second, busy) });
    });
    const membership = membershipOf({
      vms,
      hosts: new Map(hosts.map((host) => [host.name, host])),
      samples: transient.cpu,
      stats: transient.stats,
      wanted: wantedStats(rules),
      nowMs,
      staleAfterMs: STALE_MS,
    });
    const { members, samples, stats, silentHosts } = membership;
    const readings = readMetrics({ members, group, rules, warmupMs: 0, nowMs, staleAfterMs: STALE_MS });
    transient = { ...transient, cpu: samples, ...(stats && { stats }) };
    if (!isLast) continue;
    const sized = decideSize({
      policy,
      readings,
      inService: SIZE,
      launching: 0,
      silentHosts,
      group,
      durable: { paused: false, breaker: { failures: 0 }, desired: SIZE },
      transient,
      nowMs,
    });
    desired = sized.desired;
  }
  return desired;
}

describe('missing CPU data', () => {
  it.each(CASES)('$name', (incident) => {
    const decided = {
      threshold: [decidedBy(HOT, 95, incident), decidedBy(HOT, 2, incident)],
      target: [decidedBy([targetRule()], 95, incident), decidedBy([targetRule()], 2, incident)],
    };
    expect(decided).toEqual({ threshold: incident.threshold, target: incident.target });
  });
});

describe('missing data of slower counters', () => {
  const memory: Metric = { source: { kind: 'vm', name: 'memory' }, aggregate: 'mean', overMs: 0, scope: 'mean' };
  const network: Metric = { ...memory, source: { kind: 'vm', name: 'network' } };
  const both = (metric: Metric) => [
    outRule({ metric, forMs: 0, cooldownMs: 0 }),
    inRule({ metric, forMs: 0, cooldownMs: 0 }),
  ];
  const told =
    (absentFor: readonly number[], atSecond = 0): Poll =>
    (id, second, busy) => {
      const readAtMs = NOW_MS - (second + atSecond) * 1000;
      if (absentFor.includes(id)) return { ...seen(id, second, busy), stats: { readAtMs } };
      return {
        ...seen(id, second, busy),
        stats: { readAtMs, memoryPercent: busy, networkBytes: (1000 - second) * busy * 1_000_000 },
      };
    };

  it.each<[string, Metric, Poll, readonly [number, number]]>([
    ['memory of all', memory, told([]), [6, 4]],
    ['memory, one without a balloon: it may be full', memory, told([1]), [6, 5]],
    ['memory of nobody', memory, told([1, 2, 3, 4, 5]), [5, 5]],
    ['memory, read half a minute ago', memory, told([], 29), [6, 4]],
    ['memory, read longer ago', memory, told([], 31), [5, 5]],
    ['network of all', network, told([]), [6, 4]],
    ['network, one without: how busy it is nobody can say', network, told([1]), [6, 5]],
    ['no stats at all', network, seen, [5, 5]],
  ])('%s', (_name, metric, poll, [busy, idle]) => {
    expect([decidedBy(both(metric), 95, { poll }), decidedBy(both(metric), 2, { poll })]).toEqual([busy, idle]);
  });
});

describe('missing numbers from outside', () => {
  const jobs: Metric = { source: { kind: 'posted', name: 'jobs' }, aggregate: 'mean', overMs: 0, scope: 'total' };
  const rules = [targetRule({ metric: jobs, target: 10 })];
  const at = (ageMs: number): number => NOW_MS - ageMs;

  it.each<[string, (value: number) => OutsideValue | undefined, readonly [number, number]]>([
    ['just posted', (value) => ({ value, atMs: at(0) }), [9, 1]],
    ['a minute old', (value) => ({ value, atMs: at(60_000) }), [9, 1]],
    ['older', (value) => ({ value, atMs: at(60_001) }), [5, 5]],
    ['a little from the future', (value) => ({ value, atMs: at(-1000) }), [9, 1]],
    ['far from the future: a clock was set back', (value) => ({ value, atMs: at(-600_000) }), [5, 5]],
    ['never posted', () => undefined, [5, 5]],
    ['not a number', () => ({ value: Number.NaN, atMs: at(0) }), [5, 5]],
    ['infinite', () => ({ value: Number.POSITIVE_INFINITY, atMs: at(0) }), [5, 5]],
    ['a query that failed', () => ({ atMs: at(0), problem: 'Prometheus does not answer' }), [5, 5]],
  ])('%s', (_name, say, [many, few]) => {
    const decided = [90, 3].map((value) => {
      const said = say(value);
      return decidedBy(rules, 50, {}, said === undefined ? {} : { outside: { [metricKey(jobs)]: said } });
    });
    expect(decided).toEqual([many, few]);
  });

  it.each<[string, readonly number[], readonly [number, number]]>([
    ['all', [1, 2, 3, 4, 5], [9, 1]],
    ['all but one: nobody knows how much it has', [1, 2, 3, 4], [8, 5]],
    ['none', [], [5, 5]],
  ])('posted by %s of the VMs', (_name, ids, [many, few]) => {
    const decided = [18, 1].map((value) => {
      const values = Object.fromEntries(ids.map((id) => [uuidOf(id), { value, atMs: NOW_MS }]));
      return decidedBy(rules, 50, {}, { outside: { [metricKey(jobs)]: { values } } });
    });
    expect(decided).toEqual([many, few]);
  });

  it('keeps one rule that has no data from being outvoted by another that would remove', () => {
    expect(decidedBy([targetRule(), ...rules], 2, {})).toBe(5);
    expect(decidedBy([targetRule(), outRule({ name: 'queue', metric: jobs })], 2, {})).toBe(5);
    expect(decidedBy([targetRule(), ...rules], 95, {})).toBe(8);
  });
});
