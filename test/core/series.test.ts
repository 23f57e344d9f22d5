import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CpuSample } from '../../src/core/memory.ts';
import { type CpuReading, sampleCpu } from '../../src/core/series.ts';

const S = 1_000_000_000;

function reading(readAtMs: number, cpuTimeNs: number | undefined, over: Partial<CpuReading> = {}): CpuReading {
  return { readAtMs, vcpus: 1, running: true, ...(cpuTimeNs !== undefined && { cpuTimeNs }), ...over };
}

/** Feeds readings one after the other. */
function feed(readings: readonly CpuReading[], notBeforeMs = 0): CpuSample | undefined {
  return readings.reduce<CpuSample | undefined>((sample, next) => sampleCpu(sample, next, notBeforeMs), undefined);
}

describe('sampleCpu', () => {
  it('has no value after one reading', () => {
    expect(feed([reading(1000, 5 * S)])).toEqual({ readAtMs: 1000, cpuTimeNs: 5 * S, vcpus: 1 });
  });

  it.each([
    ['half of one vCPU', [reading(1000, 0), reading(2000, 0.5 * S)], 50],
    ['half of four vCPUs', [reading(1000, 0, { vcpus: 4 }), reading(2000, 2 * S, { vcpus: 4 })], 50],
    ['missed polls: the longer interval', [reading(1000, 0), reading(11_000, 2.5 * S)], 25],
    ['a reading without the counter in between', [reading(1000, 0), reading(2000, undefined), reading(3000, S)], 50],
    ['idle', [reading(1000, 7 * S), reading(2000, 7 * S)], 0],
    ["QEMU's own threads charged too: clamped", [reading(1000, 0), reading(2000, 1.4 * S)], 100],
    ['only the last interval', [reading(1000, 0), reading(2000, S), reading(3000, 1.1 * S)], 10],
  ])('%s', (_name, readings, percent) => {
    expect(feed(readings)?.percent).toBeCloseTo(percent, 6);
    expect(feed(readings)?.percentAtMs).toBe(readings.at(-1)?.readAtMs);
  });

  it.each([
    ['the counter went back', [reading(1000, 5 * S), reading(2000, 6 * S), reading(3000, 0.1 * S)]],
    ['another number of vCPUs', [reading(1000, 0), reading(2000, S), reading(3000, 2 * S, { vcpus: 2 })]],
  ])('%s: new anchor, no value', (_name, readings) => {
    const last = readings.at(-1);
    expect(feed(readings)).toEqual({ readAtMs: 3000, cpuTimeNs: last?.cpuTimeNs, vcpus: last?.vcpus });
  });

  it('measures again one reading after a reset', () => {
    expect(feed([reading(1000, 5 * S), reading(2000, 0.1 * S), reading(3000, 0.4 * S)])?.percent).toBeCloseTo(30, 6);
  });

  it('forgets a VM that does not run, and starts anew when it does again', () => {
    const stopped = [reading(1000, 0), reading(2000, S), reading(3000, undefined, { running: false })];
    expect(feed(stopped)).toBeUndefined();
    expect(feed([...stopped, reading(4000, 0.9 * S)])?.percent).toBeUndefined();
    expect(feed([...stopped, reading(4000, 0.9 * S), reading(5000, S)])?.percent).toBeCloseTo(10, 6);
  });

  it('keeps value and anchor when the counter is missing', () => {
    const before = feed([reading(1000, 0), reading(2000, 0.5 * S)]);
    expect(sampleCpu(before, reading(3000, undefined), 0)).toBe(before);
  });

  it.each([2000, 1900, 2010])('keeps value and anchor for a reading at %d ms, after one at 2000', (atMs) => {
    const before = feed([reading(1000, 0), reading(2000, 0.5 * S)]);
    expect(sampleCpu(before, reading(atMs, 0.6 * S), 0)).toBe(before);
  });

  it('does not count the CPU of booting: an interval that began before service is no value', () => {
    const readings = [reading(1000, 0), reading(2000, S), reading(3000, 2 * S), reading(4000, 2.1 * S)];
    expect(feed(readings.slice(0, 3), 2500)?.percent).toBeUndefined();
    expect(feed(readings, 2500)?.percent).toBeCloseTo(10, 6);
    expect(feed(readings.slice(0, 3), 2000)?.percent).toBe(100);
  });

  it('is always within 0–100 and never invented', () => {
    const anyReading = fc.record({
      readAtMs: fc.integer({ min: 0, max: 100_000 }),
      cpuTimeNs: fc.option(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), { nil: undefined }),
      vcpus: fc.integer({ min: 0, max: 64 }),
      running: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(anyReading, { maxLength: 20 }), fc.integer({ min: 0, max: 100_000 }), (all, notBefore) => {
        const readings = all.map(({ cpuTimeNs, ...rest }) => reading(rest.readAtMs, cpuTimeNs, rest));
        let sample: CpuSample | undefined;
        for (const next of readings) {
          sample = sampleCpu(sample, next, notBefore);
          if (!next.running) expect(sample).toBeUndefined();
          if (sample?.percent === undefined) continue;
          expect(sample.percent).toBeGreaterThanOrEqual(0);
          expect(sample.percent).toBeLessThanOrEqual(100);
          expect(sample.percentAtMs).toBe(sample.readAtMs);
          expect(sample.percentAtMs).toBeGreaterThan(notBefore);
        }
      }),
    );
  });

  it('finds the true usage however the polls fall', () => {
    const gaps = fc.array(fc.integer({ min: 500, max: 20_000 }), { minLength: 2, maxLength: 20 });
    fc.assert(
      fc.property(
        gaps,
        fc.integer({ min: 1, max: 16 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (ms, vcpus, load) => {
          let atMs = 0;
          const readings = ms.map((gap) => {
            atMs += gap;
            return reading(atMs, Math.round(atMs * 1e6 * vcpus * load), { vcpus });
          });
          expect(feed(readings)?.percent).toBeCloseTo(load * 100, 3);
        },
      ),
    );
  });
});
