import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MetricReading } from '../../src/core/metric.ts';
import { decideSize } from '../../src/core/size.ts';
import { anyPolicy, type Loop, play } from './closed-loop.ts';

/** Load that rises, falls and jumps, of every metric. */
const anyLoop: fc.Arbitrary<Loop> = fc
  .record({
    policy: anyPolicy,
    bootMs: fc.constantFrom(0, 900, 5000),
    start: fc.nat(12),
    levels: fc.array(fc.integer({ min: 0, max: 1200 }), { minLength: 2, maxLength: 5 }),
    shift: fc.nat(40),
  })
  .map(({ policy, bootMs, start, levels, shift }) => ({
    policy,
    bootMs,
    turns: 60,
    startSize: Math.min(Math.max(start, policy.min), policy.max),
    loadOf: ({ source }, turn) =>
      levels[Math.floor((turn + (source.kind === 'vm' ? 0 : shift)) / 15) % levels.length] ?? 0,
  }));

/** The reading with `factor` times the load; a percentage ends at 100. */
function heavier(reading: MetricReading, factor: number): MetricReading {
  const top = reading.ofGroup ? Number.POSITIVE_INFINITY : 100;
  const more = (value: number | undefined) =>
    value === undefined ? undefined : Math.min(Math.max(top, value), value * factor);
  const [value, low, high] = [more(reading.value), more(reading.low), more(reading.high)];
  return {
    ...reading,
    ...(value !== undefined && { value }),
    ...(low !== undefined && { low }),
    ...(high !== undefined && { high }),
  };
}

describe('decideSize', () => {
  it('never recommends fewer for more load', () => {
    fc.assert(
      fc.property(anyLoop, fc.double({ min: 1, max: 5, noNaN: true }), fc.nat(59), (loop, factor, at) => {
        const turn = play({ ...loop, turns: at + 1 }).at(-1);
        if (turn === undefined) return;
        const { input, sized } = turn;
        const readings = new Map([...input.readings].map(([key, reading]) => [key, heavier(reading, factor)] as const));
        expect(decideSize({ ...input, readings }).desired).toBeGreaterThanOrEqual(sized.desired);
      }),
      { numRuns: 1000 },
    );
  });

  it('stays within the bounds, and its steps lead from what was to what is', () => {
    fc.assert(
      fc.property(anyLoop, (loop) => {
        for (const { sized } of play(loop)) {
          expect(sized.desired).toBeGreaterThanOrEqual(loop.policy.min);
          expect(sized.desired).toBeLessThanOrEqual(loop.policy.max);
          let size = sized.desiredBefore;
          for (const { step, from, to } of sized.steps) {
            expect(from).toBe(size);
            if (step === 'rules') expect(to - from).toBe(sized.followed?.recommends);
            size = to;
          }
          expect(size).toBe(sized.desired);
          for (const limit of sized.limits) {
            expect(sized.steps).toContainEqual(expect.objectContaining({ from: limit.from, to: limit.to }));
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('says the same, with texts or without', () => {
    fc.assert(
      fc.property(anyLoop, (loop) => {
        for (const { input, sized } of play({ ...loop, turns: 20 })) {
          const { wording: _without, ...worded } = input;
          const told = decideSize(worded);
          expect(withoutTexts(told)).toEqual(withoutTexts(sized));
          for (const { text } of [...told.verdicts, ...told.steps, ...told.limits]) expect(text).toMatch(/\.$/);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('does nothing within a cooldown, except to come back within the bounds', () => {
    fc.assert(
      fc.property(anyLoop, fc.integer({ min: 2000, max: 20_000 }), (loop, cooldownMs) => {
        const rules = loop.policy.rules.map((rule) =>
          rule.type === 'target'
            ? { ...rule, cooldownMs: { out: cooldownMs, in: cooldownMs } }
            : { ...rule, ...('cooldownMs' in rule && { cooldownMs }) },
        );
        let [lastOut, last] = [-Infinity, -Infinity];
        for (const { nowMs, sized } of play({
          ...loop,
          policy: { ...loop.policy, rules: rules as typeof loop.policy.rules },
        })) {
          const by = sized.desired - sized.bounded;
          if (by > 0) expect(nowMs - lastOut).toBeGreaterThanOrEqual(cooldownMs);
          if (by < 0) expect(nowMs - last).toBeGreaterThanOrEqual(cooldownMs);
          if (by > 0) lastOut = nowMs;
          if (by !== 0) last = nowMs;
        }
        const turns = play({ ...loop, policy: { ...loop.policy, min: 3, max: 3 }, turns: 1 });
        expect(turns[0]?.sized.desired).toBe(3);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps rate limits over any window that ends with a change', () => {
    fc.assert(
      fc.property(anyLoop, (loop) => {
        const turns = play({ ...loop, turns: 80 });
        for (const [limit, sign] of [
          [loop.policy.pace.out, 1],
          [loop.policy.pace.in, -1],
        ] as const) {
          const { rate } = limit;
          if (rate === undefined) continue;
          turns.forEach(({ nowMs, sized: ended }, end) => {
            if (sign * (ended.desired - ended.bounded) <= 0) return;
            const within = turns.filter((turn, index) => index <= end && turn.nowMs > nowMs - rate.windowMs);
            const atBeginning = within[0]?.sized.desiredBefore ?? 0;
            const moved = within.reduce(
              (sum, { sized }) => sum + Math.max(0, sign * (sized.desired - sized.bounded)),
              0,
            );
            const share = Math.max(1, Math.floor((atBeginning * (rate.percent ?? 0)) / 100));
            expect(moved).toBeLessThanOrEqual(Math.max(rate.vms ?? 0, share));
          });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('keeps everything that it remembers bounded', () => {
    fc.assert(
      fc.property(anyLoop, (loop) => {
        const last = play({ ...loop, turns: 300 }).at(-1)?.sized;
        expect(last?.durable.changes?.length ?? 0).toBeLessThanOrEqual(100);
        for (const queue of Object.values(last?.transient.recommended ?? {})) {
          expect(queue.length).toBeLessThanOrEqual(loop.policy.max - loop.policy.min + 1);
        }
        for (const { low, high } of Object.values(last?.transient.windows ?? {})) {
          expect(Math.max(low.length, high.length)).toBeLessThanOrEqual(62);
        }
      }),
      { numRuns: 100 },
    );
  });
});

function withoutTexts(sized: ReturnType<typeof decideSize>) {
  return JSON.parse(JSON.stringify(sized, (key, value) => (key === 'text' || key === 'heldBack' ? undefined : value)));
}
