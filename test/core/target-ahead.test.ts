// What a target rule makes of load that rises (`lead`) and of VMs that are full (`boost`).

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RuleMemory } from '../../src/core/memory.ts';
import { CPU, type MetricReading, metricKey } from '../../src/core/metric.ts';
import type { TargetRule } from '../../src/core/policy.ts';
import { decideSize, type Sized } from '../../src/core/size.ts';
import { targetRule } from './builders.ts';

const T0 = 1_000_000;

interface Turn {
  readonly rule?: Partial<TargetRule>;
  readonly cpu: number;
  readonly vms?: number;
  readonly silent?: number;
  readonly before?: RuleMemory;
  readonly nowMs?: number;
}

/** One turn of a group of `vms` (10) whose rule keeps 50 % without any tolerance. */
function turn({ rule = {}, cpu, vms = 10, silent = 0, before, nowMs = T0 }: Turn): Sized {
  const built = targetRule({
    name: 'keep',
    target: 50,
    tolerance: { up: 0, down: 0 },
    cooldownMs: { out: 0, in: 0 },
    forMs: 0,
    ...rule,
  });
  const seen = { expected: vms, measured: vms - silent, sinceMs: nowMs - 1000 };
  const reading: MetricReading = {
    ...seen,
    value: cpu,
    low: (cpu * (vms - silent)) / vms,
    high: (cpu * (vms - silent) + 100 * silent) / vms,
  };
  return decideSize({
    policy: { min: 1, max: 1000, rules: [built], pace: { out: { stabiliseMs: 0 }, in: { stabiliseMs: 0 } } },
    readings: new Map([[metricKey(CPU), reading]]),
    inService: vms,
    launching: 0,
    silentHosts: [],
    group: {},
    durable: { paused: false, breaker: { failures: 0 }, desired: vms },
    transient: { rules: before === undefined ? {} : { keep: before } },
    nowMs,
  });
}

function secondTurn(first: Turn, next: Turn): Sized {
  const memory = turn({ ...first }).transient.rules['keep'];
  return turn({ ...next, nowMs: next.nowMs ?? T0 + 1000, ...(memory && { before: memory }) });
}

describe('lead', () => {
  const lead = { rule: { leadMs: 3000 } };

  test('rising load is met as it will be', () => {
    // 400 → 440 in a second: 560 in three more.
    expect(secondTurn({ ...lead, cpu: 40 }, { ...lead, cpu: 44 }).desired).toBe(12);
    expect(secondTurn({ cpu: 40 }, { cpu: 44 }).desired).toBe(9);
  });

  test('its text says so', () => {
    expect(secondTurn({ ...lead, cpu: 40 }, { ...lead, cpu: 44 }).verdicts[0]?.text).toMatch(
      /and rising.* needs 12 VMs instead of 10/,
    );
  });

  test('falling load is met as it is', () => {
    expect(secondTurn({ ...lead, cpu: 40 }, { ...lead, cpu: 30 }).desired).toBe(6);
  });

  test('never for more than twice the load that there is', () => {
    expect(secondTurn({ ...lead, cpu: 1 }, { ...lead, cpu: 49 }).desired).toBe(20);
  });

  test('nothing is removed that the rising load will need', () => {
    expect(secondTurn({ ...lead, cpu: 40 }, { ...lead, cpu: 41 }).desired).toBe(9);
    expect(secondTurn({ ...lead, cpu: 40 }, { ...lead, cpu: 42.5 }).desired).toBe(10);
  });

  test('after a gap there is no rise, and a VM that tells again is none', () => {
    expect(secondTurn({ ...lead, cpu: 10 }, { ...lead, cpu: 44, nowMs: T0 + 31_000 }).desired).toBe(9);
    expect(secondTurn({ ...lead, cpu: 45, silent: 5 }, { ...lead, cpu: 45 }).desired).toBe(9);
  });

  test('the same measurement again goes on as it went', () => {
    const second = secondTurn({ ...lead, cpu: 40 }, { ...lead, cpu: 44 });
    const memory = second.transient.rules['keep'];
    const again = turn({ ...lead, cpu: 44, nowMs: T0 + 1000, ...(memory && { before: memory }) });
    expect(again.desired).toBe(12);
  });
});

describe('boost', () => {
  const boost = { rule: { boost: 6 } };

  test('full VMs: as many times as many', () => {
    expect(turn({ ...boost, cpu: 100 }).desired).toBe(60);
    expect(turn({ ...boost, cpu: 100 }).verdicts[0]?.text).toContain('and full');
    expect(turn({ cpu: 100 }).desired).toBe(20);
  });

  test('not up to 95 %, and not when those that say nothing may be idle', () => {
    expect(turn({ ...boost, cpu: 95 }).desired).toBe(19);
    expect(turn({ ...boost, cpu: 100, silent: 1 }).desired).toBe(18);
  });

  test('fewer VMs are never so few that they are full', () => {
    const tight = { rule: { boost: 6, target: 98 } };
    expect(turn({ ...tight, cpu: 90 }).desired).toBe(10);
    expect(turn({ rule: { target: 98 }, cpu: 88 }).desired).toBe(9);
  });
});

test('more load never recommends fewer', () => {
  const cpu = fc.double({ min: 0, max: 100, noNaN: true });
  fc.assert(
    fc.property(
      cpu,
      cpu,
      cpu,
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 10 }),
      (before, a, b, vms, times) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const rule = { rule: { leadMs: 3000, boost: times } };
        const sizeAt = (value: number) =>
          secondTurn({ ...rule, vms, cpu: before }, { ...rule, vms, cpu: value }).desired;
        expect(sizeAt(more)).toBeGreaterThanOrEqual(sizeAt(less));
      },
    ),
    { numRuns: 500 },
  );
});
