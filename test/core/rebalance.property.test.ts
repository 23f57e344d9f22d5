// Evening out the load: what it moves, and that no load, however it swings, moves a VM more than once in its cooldown.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EMPTY_REBALANCE,
  type LoadedHost,
  type LoadedVm,
  type PlannedMove,
  type RebalanceMemory,
  type RebalanceSettings,
  rebalance,
} from '../../src/core/rebalance.ts';

const SETTINGS: RebalanceSettings = { above: 0.7, forMs: 60_000, gain: 0.1, cooldownMs: 600_000, atATime: 2 };
const CPUS = 4;
const BEAT_MS = 5_000;

/** A small world: what VMs use is what their hosts carry. */
function world(vms: readonly { host: number; cpus: number }[], hosts: number) {
  const names = Array.from({ length: hosts }, (_, index) => `h${index}`);
  const where = vms.map(({ host }) => names[host % hosts] ?? 'h0');
  return {
    where,
    input(cpusOf: (index: number) => number) {
      const loads = new Map(names.map((name) => [name, 0]));
      for (const [index, host] of where.entries()) loads.set(host, (loads.get(host) ?? 0) + cpusOf(index));
      return {
        underWay: 0,
        hosts: names.map(
          (name): LoadedHost => ({
            name,
            cpus: CPUS,
            cpuRatio: Math.min(1, (loads.get(name) ?? 0) / CPUS),
            takesNone: false,
          }),
        ),
        vms: where.map(
          (host, index): LoadedVm => ({
            id: index + 1,
            name: `vm${index + 1}`,
            host,
            cpus: cpusOf(index),
            fits: names,
          }),
        ),
      };
    },
    carryOut(moves: readonly PlannedMove[]) {
      for (const { to, vmId } of moves) where[vmId - 1] = to;
    },
  };
}

const vmsArbitrary = fc.array(
  fc.record({ host: fc.nat({ max: 4 }), cpus: fc.double({ min: 0, max: 3, noNaN: true }) }),
  { minLength: 1, maxLength: 12 },
);

describe('evening out the load', () => {
  it('moves at most once per VM and cooldown, whatever the load does', () => {
    fc.assert(
      fc.property(
        vmsArbitrary,
        fc.integer({ min: 2, max: 5 }),
        fc.array(fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 12, maxLength: 12 }), {
          minLength: 2,
          maxLength: 6,
        }),
        fc.integer({ min: 1, max: 40 }),
        (vms, hosts, courses, period) => {
          const one = world(vms, hosts);
          const movedAt = new Map<number, number>();
          let memory: RebalanceMemory = EMPTY_REBALANCE;
          for (let beat = 0; beat < 400; beat += 1) {
            const nowMs = beat * BEAT_MS;
            const course = courses[Math.floor(beat / period) % courses.length] ?? [];
            const done = rebalance(
              one.input((index) => course[index] ?? 0),
              memory,
              SETTINGS,
              nowMs,
            );
            memory = done.memory;
            expect(done.moves.length).toBeLessThanOrEqual(SETTINGS.atATime);
            for (const { from, to, vmId } of done.moves) {
              expect(from).not.toBe(to);
              const before = movedAt.get(vmId);
              if (before !== undefined) expect(nowMs - before).toBeGreaterThanOrEqual(SETTINGS.cooldownMs);
              movedAt.set(vmId, nowMs);
            }
            one.carryOut(done.moves);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('every move leaves the fuller of the two hosts emptier by the gain, and the target below the threshold', () => {
    fc.assert(
      fc.property(vmsArbitrary, fc.integer({ min: 2, max: 5 }), (vms, hosts) => {
        const one = world(vms, hosts);
        const input = one.input((index) => vms[index]?.cpus ?? 0);
        const settings = { ...SETTINGS, forMs: 0, atATime: 1 };
        const { moves } = rebalance(input, EMPTY_REBALANCE, settings, 0);
        const ratio = (host: string) => input.hosts.find(({ name }) => name === host)?.cpuRatio ?? 0;
        for (const { from, to, vmId } of moves) {
          const share = (vms[vmId - 1]?.cpus ?? 0) / CPUS;
          expect(ratio(from)).toBeGreaterThan(settings.above);
          expect(ratio(to) + share).toBeLessThanOrEqual(settings.above + 1e-9);
          expect(ratio(from) - Math.max(ratio(from) - share, ratio(to) + share)).toBeGreaterThanOrEqual(
            settings.gain - 1e-9,
          );
        }
      }),
    );
  });

  it('waits until a host has been too full for long enough without a break', () => {
    const one = world(
      [
        { host: 0, cpus: 0 },
        { host: 0, cpus: 0 },
      ],
      2,
    );
    const busy = () => one.input(() => 1.8);
    const idle = () => one.input(() => 0.1);
    let { memory, moves } = rebalance(busy(), EMPTY_REBALANCE, SETTINGS, 0);
    expect(moves).toEqual([]);
    ({ memory, moves } = rebalance(busy(), memory, SETTINGS, 59_000));
    expect(moves).toEqual([]);
    ({ memory } = rebalance(idle(), memory, SETTINGS, 59_500));
    ({ memory, moves } = rebalance(busy(), memory, SETTINGS, 60_000));
    expect(moves).toEqual([]);
    ({ moves } = rebalance(busy(), memory, SETTINGS, 120_000));
    expect(moves).toMatchObject([{ vmId: 1, from: 'h0', to: 'h1' }]);
  });

  it('leaves alone what cannot move, what nobody measured, and hosts that take none', () => {
    const one = world(
      [
        { host: 0, cpus: 0 },
        { host: 0, cpus: 0 },
      ],
      2,
    );
    const input = one.input(() => 1.8);
    const settings = { ...SETTINGS, forMs: 0 };
    const fixed = { ...input, vms: input.vms.map((vm) => ({ ...vm, fixed: 'it has snapshots' })) };
    const unmeasured = { ...input, vms: input.vms.map(({ cpus: _cpus, ...vm }) => vm) };
    const closed = { ...input, hosts: input.hosts.map((host) => ({ ...host, takesNone: true })) };
    const busy = { ...input, underWay: 2 };
    for (const changed of [fixed, unmeasured, closed, busy]) {
      expect(rebalance(changed, EMPTY_REBALANCE, settings, 0).moves).toEqual([]);
    }
    expect(rebalance(input, EMPTY_REBALANCE, settings, 0).moves).toHaveLength(1);
  });
});
