import { describe, expect, it } from 'vitest';
import { CPU, type MetricReading, metricKey } from '../../src/core/metric.ts';
import type { ThresholdRule } from '../../src/core/policy.ts';
import type { Situation } from '../../src/core/strategies/strategy.ts';
import { threshold } from '../../src/core/strategies/threshold.ts';
import { inRule, NOW_MS, outRule } from './builders.ts';

/** Measured percents; `undefined` for a VM without data. */
function cpuOf(...percents: readonly (number | undefined)[]): MetricReading {
  const known = percents.filter((percent) => percent !== undefined);
  const counts = { expected: percents.length, measured: known.length };
  if (known.length === 0) return counts;
  const sum = known.reduce((total, percent) => total + percent, 0);
  const missing = percents.length - known.length;
  return {
    ...counts,
    value: sum / known.length,
    low: sum / percents.length,
    high: (sum + 100 * missing) / percents.length,
    sinceMs: NOW_MS - 10,
  };
}

function situation(cpu: MetricReading, over: Partial<Situation> = {}): Situation {
  return {
    nowMs: NOW_MS,
    readings: new Map([[metricKey(CPU), cpu]]),
    inService: cpu.expected,
    launching: 0,
    desired: cpu.expected,
    min: 1,
    silentHosts: [],
    rules: [outRule(), inRule()],
    group: {},
    schedulesSuspended: false,
    wording: true,
    ...over,
  };
}

const LONG_AGO_MS = NOW_MS - 100_000;

function judge(rule: ThresholdRule, where: Situation, crossedAtMs?: number) {
  const { verdict, memory } = threshold.judge(rule, where, crossedAtMs === undefined ? undefined : { crossedAtMs });
  return { ...verdict, remembered: memory?.crossedAtMs };
}

describe('threshold, scaling out', () => {
  it.each([
    [75, 'quiet'],
    [75.01, 'counting'],
  ])('at %d %% with "above 75" it is %s', (percent, verdict) => {
    expect(judge(outRule(), situation(cpuOf(percent))).verdict).toBe(verdict);
  });

  it('counts from the beginning of the interval that crossed, and fires when that was long enough ago', () => {
    const first = judge(outRule(), situation(cpuOf(90)));
    expect(first.remembered).toBe(NOW_MS - 10);
    expect(first.text).toBe('CPU 90 %, above 75 % for 10 ms of the 3 s it takes.');
    expect(judge(outRule(), situation(cpuOf(90)), NOW_MS - 2999).verdict).toBe('counting');
    const fired = judge(outRule({ by: { vms: 2 } }), situation(cpuOf(90)), NOW_MS - 3000);
    expect(fired).toMatchObject({ verdict: 'fires', recommends: 2, crossedAtMs: NOW_MS - 3000, value: 90 });
    expect(fired.text).toBe('CPU 90 %, above 75 % for 3 s: add 2 VMs.');
  });

  it('starts anew when the metric came back in between', () => {
    const back = judge(outRule(), situation(cpuOf(50)), LONG_AGO_MS);
    expect(back).toMatchObject({ verdict: 'quiet', remembered: undefined, recommends: 0 });
  });

  it('takes VMs without data for idle', () => {
    expect(judge(outRule(), situation(cpuOf(100, undefined)), LONG_AGO_MS)).toMatchObject({
      verdict: 'quiet',
      value: 50,
    });
    expect(judge(outRule(), situation(cpuOf(100, 100, 100, undefined, 100)), LONG_AGO_MS)).toMatchObject({
      verdict: 'fires',
      value: 80,
      text: 'CPU 80 % (1 VM without data taken for idle), above 75 % for 1 min 40 s: add 1 VM.',
    });
  });

  it('cannot fire without any data, but keeps counting', () => {
    const blind = judge(outRule(), situation(cpuOf(undefined)), LONG_AGO_MS);
    expect(blind).toMatchObject({ verdict: 'no-data', remembered: LONG_AGO_MS, text: 'No VM has fresh CPU data.' });
    expect(blind).not.toHaveProperty('value');
    expect(judge(outRule(), situation(cpuOf()), undefined)).toMatchObject({
      verdict: 'no-data',
      remembered: undefined,
    });
  });

  it('cools down after the last scale-out only', () => {
    const at = (over: Partial<Situation>) => judge(outRule(), situation(cpuOf(90), over), LONG_AGO_MS);
    expect(at({ lastOutAtMs: NOW_MS - 19_999 })).toMatchObject({ verdict: 'cooling-down', remembered: LONG_AGO_MS });
    expect(at({ lastOutAtMs: NOW_MS - 20_000 }).verdict).toBe('fires');
    expect(at({ lastInAtMs: NOW_MS - 1 }).verdict).toBe('fires');
  });

  it('awaits VMs being launched as far as they will relieve the others', () => {
    const at = (launching: number) => judge(outRule(), situation(cpuOf(90, 90), { launching }), LONG_AGO_MS);
    expect(at(1)).toMatchObject({ verdict: 'warming' });
    expect(at(1).text).toContain('with the 1 VM being launched it would be 60 %');
    const ten = cpuOf(...Array.from({ length: 10 }, () => 100));
    expect(judge(outRule(), situation(ten, { launching: 1 }), LONG_AGO_MS).verdict).toBe('fires');
  });
});

describe('threshold, scaling in', () => {
  const idle = (over: Partial<Situation> = {}, cpu = cpuOf(5, 5)) => judge(inRule(), situation(cpu, over), LONG_AGO_MS);

  it.each([
    [20, 'quiet'],
    [19.99, 'counting'],
  ])('at %d %% with "below 20" it is %s', (percent, verdict) => {
    expect(judge(inRule(), situation(cpuOf(percent))).verdict).toBe(verdict);
  });

  it('fires when it has been below for long enough', () => {
    expect(idle()).toMatchObject({ verdict: 'fires', recommends: -1 });
    expect(judge(inRule(), situation(cpuOf(5, 5)), NOW_MS - 59_999).verdict).toBe('counting');
  });

  it('takes VMs without data for fully busy', () => {
    expect(idle({}, cpuOf(5, 5, undefined))).toMatchObject({ verdict: 'quiet', remembered: undefined });
    expect(idle({}, cpuOf(5, 5, undefined)).value).toBeCloseTo(110 / 3);
  });

  it('starts anew after a moment without data', () => {
    expect(idle({}, cpuOf(undefined))).toMatchObject({ verdict: 'no-data', remembered: undefined });
  });

  it('does nothing while a host of the group does not answer', () => {
    expect(idle({ silentHosts: ['h2'] })).toMatchObject({
      verdict: 'no-data',
      remembered: undefined,
      text: 'host h2 does not answer: nothing is removed on a stale picture.',
    });
    expect(idle({ silentHosts: ['h2', 'h3'] }).text).toContain('hosts h2, h3 do not answer');
  });

  it('cools down after the last scaling either way', () => {
    expect(idle({ lastInAtMs: NOW_MS - 119_999 }).verdict).toBe('cooling-down');
    expect(idle({ lastOutAtMs: NOW_MS - 119_999 }).verdict).toBe('cooling-down');
    expect(idle({ lastInAtMs: NOW_MS - 120_000, lastOutAtMs: NOW_MS - 500_000 }).verdict).toBe('fires');
  });

  it('waits while a VM is being launched', () => {
    expect(idle({ launching: 1 }).verdict).toBe('warming');
  });

  it('does not remove what would have to come back', () => {
    const rules = [outRule({ threshold: 30 }), inRule()];
    expect(idle({ rules }, cpuOf(19, 19))).toMatchObject({ verdict: 'would-flap', recommends: 0 });
    expect(idle({ rules }, cpuOf(19, 19)).text).toContain('it would be 38 %, above the 30 % of rule hot');
    expect(idle({ rules }, cpuOf(15, 15)).verdict).toBe('fires');
  });

  it('removes fewer when all would be too many', () => {
    const rule = inRule({ by: { vms: 3 } });
    const rules = [outRule({ threshold: 30 }), rule];
    const cpu = cpuOf(19, 19, 19, 19);
    expect(judge(rule, situation(cpu, { rules }), LONG_AGO_MS)).toMatchObject({ verdict: 'fires', recommends: -1 });
    expect(judge(rule, situation(cpuOf(2, 2, 2, 2), { rules }), LONG_AGO_MS)).toMatchObject({ recommends: -3 });
  });

  it('never projects beyond the last VM', () => {
    const rule = inRule({ by: { vms: 3 } });
    const rules = [outRule({ threshold: 30 }), rule];
    expect(judge(rule, situation(cpuOf(19, 19), { rules }), LONG_AGO_MS)).toMatchObject({ verdict: 'would-flap' });
    expect(judge(rule, situation(cpuOf(1, 1), { rules }), LONG_AGO_MS)).toMatchObject({ recommends: -1 });
  });

  it('projects from what will be left, when an earlier removal is not done yet', () => {
    const rules = [outRule({ threshold: 30 }), inRule()];
    // Four in service, three wanted: removing one more leaves two.
    expect(idle({ rules, desired: 3 }, cpuOf(16, 16, 16, 16)).verdict).toBe('would-flap');
    expect(idle({ rules, desired: 4 }, cpuOf(16, 16, 16, 16)).verdict).toBe('fires');
  });

  it('leaves it to the limits of the group that the last VMs stay', () => {
    expect(idle({}, cpuOf(19))).toMatchObject({ verdict: 'fires', recommends: -1 });
    expect(idle({ min: 2 }, cpuOf(19, 19))).toMatchObject({ verdict: 'fires', recommends: -1 });
  });
});
