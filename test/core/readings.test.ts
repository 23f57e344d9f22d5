import { describe, expect, it } from 'vitest';
import { membershipOf } from '../../src/core/membership.ts';
import type { StatsSample } from '../../src/core/memory.ts';
import { CPU, type Metric, metricKey } from '../../src/core/metric.ts';
import type { VmView } from '../../src/core/model.ts';
import { readMetrics, wantedStats } from '../../src/core/readings.ts';
import { sampleStats } from '../../src/core/stats-series.ts';
import { hostOf, measured, NOW_MS, outRule, targetRule, viewOf } from './builders.ts';

function membersOf(vms: readonly VmView[], percents: Readonly<Record<number, number>>) {
  const hosts = new Map([['h1', hostOf('h1')]]);
  return membershipOf({ vms, hosts, samples: measured(percents), nowMs: NOW_MS, staleAfterMs: 5000 });
}

function readingOf(metric: Metric, vms: readonly VmView[], percents: Readonly<Record<number, number>>, warmupMs = 0) {
  const { members } = membersOf(vms, percents);
  const rules = [targetRule({ metric })];
  return readMetrics({ members, group: {}, rules, warmupMs, nowMs: NOW_MS, staleAfterMs: 5000 }).get(metricKey(metric));
}

const three = [1, 2, 3].map((id) => viewOf(id));

describe('readMetrics', () => {
  it.each<[string, Partial<Metric>, number, number, number]>([
    ['mean', {}, 30, 20, 160 / 3],
    ['maximum', { aggregate: 'max' }, 50, 50, 100],
    ['median', { aggregate: { percentile: 50 } }, 10, 10, 50],
    ['95th percentile', { aggregate: { percentile: 95 } }, 50, 50, 100],
    ['total', { scope: 'total' }, 60, 60, 160],
  ])('takes the %s of the VMs with data, and of all with the others idle or busy', (_name, over, value, low, high) => {
    const reading = readingOf({ ...CPU, ...over }, three, { 1: 10, 2: 50 });
    expect(reading).toMatchObject({ value, low, expected: 3, measured: 2 });
    expect(reading?.high).toBeCloseTo(high);
  });

  it('leaves out VMs that are warming up, except from a total', () => {
    const fresh = viewOf(3, { record: { servedSinceMs: NOW_MS - 30_000 } });
    const vms = [...three.slice(0, 2), fresh];
    const percents = { 1: 10, 2: 20, 3: 90 };
    expect(readingOf(CPU, vms, percents, 30_001)).toMatchObject({ value: 15, expected: 2, measured: 2 });
    expect(readingOf(CPU, vms, percents, 30_000)).toMatchObject({ value: 40, expected: 3 });
    expect(readingOf({ ...CPU, scope: 'total' }, vms, percents, 30_001)).toMatchObject({ value: 120, expected: 3 });
  });

  it('looks at VMs in service alone', () => {
    const others = (['launching', 'standby', 'draining', 'removing'] as const).map((phase, i) =>
      viewOf(i + 4, { record: { phase } }),
    );
    const percents = { 1: 10, 2: 10, 3: 10, 4: 90, 5: 90, 6: 90, 7: 90 };
    expect(readingOf(CPU, [...three, ...others], percents)).toMatchObject({ value: 10, expected: 3 });
  });

  it('knows which counters rules want', () => {
    const memory: Metric = { ...CPU, source: { kind: 'vm', name: 'memory' } };
    const jobs: Metric = { ...CPU, source: { kind: 'posted', name: 'jobs' } };
    expect([...wantedStats([outRule(), targetRule({ metric: memory }), targetRule({ metric: jobs })])]).toEqual([
      'cpu',
      'memory',
    ]);
  });
});

describe('membershipOf', () => {
  it('counts those that are launched to wait as standbys, and none of them as active', () => {
    const waiting = viewOf(4, { record: { phase: 'launching', standby: 'paused' } });
    const parked = viewOf(5, { record: { phase: 'standby', standby: 'saved' } });
    const { counts, active } = membersOf([...three, waiting, parked], {});
    expect(counts).toEqual({ inService: 3, launching: 0, standby: 2, draining: 0, removing: 0, existing: 5 });
    expect(active.map(({ view }) => view.record.id)).toEqual([1, 2, 3]);
  });
});

describe('sampleStats', () => {
  const S = 1_000_000_000;
  const reading = (second: number, stats: object, over: object = {}) => ({
    stats: { readAtMs: second * 1000, ...stats },
    vcpus: 2,
    host: 'h1',
    ...over,
  });
  const feed = (...readings: readonly ReturnType<typeof reading>[]) =>
    readings.reduce<StatsSample | undefined>((sample, next) => sampleStats(sample, next, 0), undefined);

  it('gives megabytes a second, and the share of vCPU time that the host was waited for', () => {
    const full = (second: number) => ({
      networkBytes: second * 3e6,
      diskBytes: second * 5e5,
      delayNs: second * 0.5 * S,
      memoryPercent: 40,
    });
    const sample = feed(reading(10, full(10)), reading(14, full(14)));
    expect(sample).toMatchObject({ network: 3, disk: 0.5, steal: 25, memory: 40, fromMs: 10_000 });
  });

  it.each([
    ['after the first reading', [reading(10, { networkBytes: 5 })]],
    ['after its counter went back', [reading(10, { networkBytes: 5 }), reading(11, { networkBytes: 4 })]],
    ['while it is not told', [reading(10, { networkBytes: 5 }), reading(11, {})]],
    ['on another host', [reading(10, { networkBytes: 5 }), reading(11, { networkBytes: 9 }, { host: 'h2' })]],
  ])('has no rate %s', (_name, readings) => {
    expect(feed(...readings)).not.toHaveProperty('network');
  });

  it('does not count what was before service', () => {
    const first = sampleStats(undefined, reading(10, { networkBytes: 5 }), 10_500);
    expect(sampleStats(first, reading(11, { networkBytes: 9 }), 10_500)).not.toHaveProperty('network');
  });
});
