// The memory double keeps the port's contract, and does what its script says beyond it.

import { describe, expect, test } from 'vitest';
import { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import { MemoryProber } from '../../src/adapters/hypervisor/memory/memory-prober.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { describeHypervisorContract, type HypervisorFixture } from './hypervisor.ts';
import { randomImage } from './hypervisor-images.ts';

/** More virtual time than any test needs. */
const GIVE_UP_MS = 600_000;
const READY = { http: { port: 80, path: '/' } };
const never = new AbortController().signal;

/** Lets time pass until `work` is done. */
async function drive<T>(clock: VirtualClock, work: () => Promise<T>): Promise<T> {
  const endMs = clock.nowMs() + GIVE_UP_MS;
  let done = false;
  const result = work().finally(() => {
    done = true;
  });
  result.catch(() => undefined);
  while (!done && clock.nowMs() < endMs) await clock.run(clock.nowMs() + 10);
  if (!done) throw new Error(`not done within ${GIVE_UP_MS} virtual ms`);
  return result;
}

async function memoryFixture(network: 'forward' | 'lease'): Promise<HypervisorFixture> {
  const clock = new VirtualClock();
  const host = new MemoryHost({ name: 'h1', startMs: clock.nowMs(), network });
  host.setImage('/images/absent.qcow2', 'absent');
  host.setImage('/images/corrupt.qcow2', 'corrupt');
  host.setImage('/images/large.qcow2', 'good', 2 * 1024 ** 3);
  const image = (name: string) => ({ name, path: `/images/${name}.qcow2`, format: 'qcow2' }) as const;
  return {
    hypervisor: new MemoryHypervisor(host, clock),
    open: () => new MemoryHypervisor(host, clock),
    prober: new MemoryProber([host], clock),
    clock,
    drive: (work) => drive(clock, work),
    images: { good: image('good'), absent: image('absent'), corrupt: image('corrupt'), large: image('large') },
    bootable: randomImage('bootable'),
    memoryMiB: 128,
    patienceMs: 20_000,
    forwards: network === 'forward',
    bootsTemplates: false,
    leaveHalfMadeDisk: async (vmName) => host.leaveHalfMadeDisk(vmName),
    strangerDefines: async ({ diskOf, ...domain }) =>
      host.strangerDefines({ ...domain, ...(diskOf === undefined ? {} : { disk: diskOf }) }),
    strangerUndefines: async (uuid) => host.strangerRemoves(uuid),
    hang: async () => {
      host.trouble({ kind: 'hang', fromMs: clock.nowMs() });
      return async () => host.heal(clock.nowMs(), 'hang');
    },
    crashDaemon: async () => {
      host.trouble({ kind: 'unreachable', fromMs: clock.nowMs(), untilMs: clock.nowMs() + 500 });
    },
    dispose: async () => {
      // The contract asks for acts against others' domains, to see that they are not done.
      const unasked = host.violations.filter((what) => !/not virtscale's|was adopted/.test(what));
      expect(unasked).toEqual([]);
    },
  };
}

describeHypervisorContract('memory, forwarded ports', () => memoryFixture('forward'));
describeHypervisorContract('memory, DHCP leases', () => memoryFixture('lease'));

describe('scripted troubles', () => {
  const uuidOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
  const aSpec = (n: number): VmSpec => ({
    name: `web-${n}`,
    uuid: uuidOf(n),
    image: { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' },
    flavor: { name: 'small', vcpus: 2, memoryMiB: 128 },
    ready: READY,
    metadata: { id: n, group: 'web', owner: 'o', operation: 'd', image: 'backend', flavor: 'small' },
  });
  const world = () => {
    const clock = new VirtualClock(0);
    const host = new MemoryHost({ name: 'h1', startMs: 0, bootMs: 1000, bootLoad: 0.5 });
    const hypervisor = new MemoryHypervisor(host, clock);
    const run = <T>(work: () => Promise<T>) => drive(clock, work);
    const launch = async (n: number): Promise<void> => {
      await hypervisor.createDisk(aSpec(n), never);
      await hypervisor.define(aSpec(n), never);
      await hypervisor.start(uuidOf(n), never);
    };
    return { clock, host, hypervisor, prober: new MemoryProber([host], clock), run, launch };
  };

  test('a call fails before or after its effect, as often as scripted', async () => {
    const { host, hypervisor, run } = world();
    host.trouble({ kind: 'fail-call', call: 'createDisk', fault: 'unreachable', effect: 'before', fromMs: 0 });
    host.trouble({ kind: 'fail-call', call: 'define', fault: 'timed-out', effect: 'after', times: 2, fromMs: 0 });
    await run(async () => {
      await expect(hypervisor.createDisk(aSpec(1), never)).rejects.toMatchObject({ kind: 'unreachable' });
      expect(host.diskNames()).toEqual([]);
      await hypervisor.createDisk(aSpec(1), never);
      for (let n = 0; n < 2; n += 1) {
        await expect(hypervisor.define(aSpec(1), never)).rejects.toMatchObject({ kind: 'timed-out' });
      }
      expect((await hypervisor.observe(never)).domains).toHaveLength(1);
      await hypervisor.define(aSpec(1), never);
    });
    expect(host.violations).toEqual([]);
  });

  test('an interrupted clone leaves a disk that looks good; to boot from it is a violation', async () => {
    const { host, hypervisor, run } = world();
    host.trouble({ kind: 'fail-call', call: 'createDisk', fault: 'unreachable', effect: 'half', fromMs: 0 });
    await run(async () => {
      await expect(hypervisor.createDisk(aSpec(1), never)).rejects.toMatchObject({ kind: 'unreachable' });
      expect(await hypervisor.listDisks(never)).toEqual(['web-1']);
      await hypervisor.define(aSpec(1), never);
      await hypervisor.start(uuidOf(1), never);
    });
    expect(host.violations).toEqual(['h1: web-1 booted from a half-made disk']);
  });

  test('what was asked of a hanging host happens when it wakes, though nobody waits any more', async () => {
    const { clock, host, hypervisor, run } = world();
    host.trouble({ kind: 'hang', fromMs: 0, untilMs: 5000 });
    await run(async () => {
      const signal = AbortSignal.any([never]);
      await expect(clock.deadline(1000, (s) => hypervisor.createDisk(aSpec(1), s), signal)).rejects.toMatchObject({
        kind: 'timed-out',
      });
      await clock.sleep(3000);
      expect(host.domains(clock.nowMs())).toEqual([]);
      expect(host.diskNames()).toEqual([]);
      await clock.sleep(2000);
      host.advance(clock.nowMs());
      expect(host.diskNames()).toEqual(['web-1']);
    });
  });

  test('an answer is lost when the host is cut off between the effect and the answer', async () => {
    const { clock, host, run } = world();
    const slow = new MemoryHost({ name: 'h2', startMs: 0, latencyMs: 100 });
    const hypervisor = new MemoryHypervisor(slow, clock);
    slow.trouble({ kind: 'unreachable', fromMs: 75, untilMs: 200 });
    await run(async () => {
      await expect(hypervisor.createDisk(aSpec(1), never)).rejects.toMatchObject({ kind: 'unreachable' });
    });
    expect(slow.diskNames()).toEqual(['web-1']);
    expect(host.diskNames()).toEqual([]);
  });

  test('a daemon that crashes gets no more answers; what it had sent is done, and its VMs are there for the next one', async () => {
    const { clock, host, hypervisor, run, launch } = world();
    await run(() => launch(1));
    let answered = false;
    void hypervisor.createDisk(aSpec(2), never).finally(() => {
      answered = true;
    });
    hypervisor.crash();
    void hypervisor.createDisk(aSpec(3), never).finally(() => {
      answered = true;
    });
    await clock.run(clock.nowMs() + 10_000);
    const next = new MemoryHypervisor(host, clock);
    const seen = await run(() => next.observe(never));
    expect(seen.domains.map(({ name, state }) => [name, state])).toEqual([['web-1', 'running']]);
    expect(host.diskNames()).toEqual(['web-1', 'web-2']);
    expect(answered).toBe(false);
    expect(clock.pending).toBe(0);
  });

  test('CPU counts boot and load of all vCPUs, in steps of 10 ms, and starts anew when reset', async () => {
    const { clock, host, hypervisor, run, launch } = world();
    await run(() => launch(1));
    const startedAtMs = host.domains(clock.nowMs())[0]?.startedAtMs ?? 0;
    host.load = (_uuid, atMs) => (atMs < startedAtMs + 3000 ? 0.25 : 1);
    const cpuAt = async (afterStartMs: number): Promise<number | undefined> => {
      await clock.run(startedAtMs + afterStartMs - 1);
      return (await run(() => hypervisor.observe(never))).domains[0]?.cpuTimeNs;
    };
    // 1 s of boot at 0.5, then 0.25, then 1; times two vCPUs. Read to 10 ms of each vCPU.
    expect(await cpuAt(1000)).toBeCloseTo(1.0e9, -8);
    expect(await cpuAt(3000)).toBeCloseTo(2.0e9, -8);
    expect(await cpuAt(5000)).toBeCloseTo(6.0e9, -8);
    host.resetCounter(uuidOf(1));
    expect(await cpuAt(6000)).toBeCloseTo(2.0e9, -8);
    host.trouble({ kind: 'stats-absent', fromMs: 0 });
    expect(await cpuAt(7000)).toBeUndefined();
  });

  test('guests may never serve, fall sick, ignore shutdown, die', async () => {
    const { clock, host, hypervisor, prober, run, launch } = world();
    host.trouble({ kind: 'never-ready', uuid: uuidOf(1), fromMs: 0 });
    host.trouble({ kind: 'ignores-shutdown', uuid: uuidOf(2), fromMs: 0 });
    await run(() => Promise.all([launch(1), launch(2), launch(3)]).then(() => undefined));
    await clock.run(clock.nowMs() + 5000);
    host.trouble({ kind: 'unready', uuid: uuidOf(3), fromMs: clock.nowMs(), untilMs: clock.nowMs() + 1000 });
    const serves = (n: number): Promise<boolean> =>
      run(async () => {
        const endpoint = await hypervisor.endpoint(uuidOf(n), 80, never);
        return endpoint !== undefined && (await prober.probe(endpoint, READY, 50, never));
      });
    expect([await serves(1), await serves(2), await serves(3)]).toEqual([false, true, false]);
    await clock.run(clock.nowMs() + 2000);
    expect(await serves(3)).toBe(true);
    await run(() => hypervisor.shutdown(uuidOf(2), never));
    await run(() => hypervisor.shutdown(uuidOf(3), never));
    host.schedule(clock.nowMs() + 100, (machine) => machine.kill(uuidOf(1)));
    await clock.run(clock.nowMs() + 1000);
    expect(host.domains(clock.nowMs()).map(({ running }) => running)).toEqual([false, true, false]);
    expect(host.violations).toEqual([]);
  });

  test('it notices what must never happen', async () => {
    const { host, hypervisor, run, launch } = world();
    host.strangerDefines({ uuid: uuidOf(9), name: 'theirs', disk: 'web-1', running: true });
    await run(async () => {
      await expect(hypervisor.createDisk(aSpec(1), never)).rejects.toMatchObject({ kind: 'conflict' });
      await hypervisor.define(aSpec(1), never);
      await expect(hypervisor.destroy(uuidOf(9), never)).rejects.toMatchObject({ kind: 'conflict' });
      await launch(2);
      await expect(hypervisor.define({ ...aSpec(3), name: 'web-2' }, never)).rejects.toMatchObject({
        kind: 'conflict',
      });
    });
    expect(host.violations).toEqual([
      'h1: two domains of one disk: theirs and web-1 on web-1',
      `h1: destroy of theirs (${uuidOf(9)}), which is not virtscale's`,
      `h1: second domain of one name or uuid: define web-2 (${uuidOf(3)}): web-2 (${uuidOf(2)}) is there`,
    ]);
    expect(host.refusals).toHaveLength(1);
    expect(host.domains(0).find(({ name }) => name === 'theirs')?.running).toBe(true);
  });

  test('a full pool is refused, with what to do', async () => {
    const { host, hypervisor, run } = world();
    host.trouble({ kind: 'disk-full', fromMs: 0 });
    await run(async () => {
      await expect(hypervisor.createDisk(aSpec(1), never)).rejects.toMatchObject({
        kind: 'refused',
        advice: expect.stringContaining('space'),
      });
      expect((await hypervisor.observe(never)).capacity.diskFreeGiB).toBe(0);
    });
  });
});
