// Snapshots on a real host: the contract, and what only a real one shows: what runs on, what lies in the pool, what a crash leaves.
// Not here: the engine (test/engine/snapshots.test.ts).

import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GuestAgent } from '../../src/adapters/hypervisor/libvirt/guest-agent.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { identityOf } from '../contracts/hypervisor-forks.ts';
import { describeSnapshotsContract, wishOf } from '../contracts/hypervisor-snapshots.ts';
import { type RealHypervisor, realFixture } from '../support/real-hypervisor.ts';

const never = new AbortController().signal;
const CALL = { timeoutMs: 20_000 };
let made = 0;

function specOf(real: RealHypervisor): VmSpec {
  made += 1;
  return {
    name: `job.${made}`,
    uuid: `00000000-0000-4000-8000-${String(made).padStart(12, '0')}`,
    image: real.images.good,
    flavor: { name: 'small', vcpus: 1, memoryMiB: real.memoryMiB },
    metadata: { id: made, owner: 'o', operation: `d-${made}`, image: 'backend', flavor: 'small' },
  };
}

/** What is in the memory alone is a program that sleeps, with the text as its name. */
const SCRIPTS = {
  disk: { write: 'echo "$1" >/root/kept; sync', read: 'cat /root/kept 2>/dev/null' },
  memory: {
    write:
      `for p in /proc/[0-9]*; do read -r c <$p/comm; [ "$c" != sleep ] || kill \${p##*/}; done 2>/dev/null; ` +
      'KEPT="$1" setsid sleep 100000 >/dev/null 2>&1 </dev/null &',
    read: 'for p in /proc/[0-9]*; do read -r c <$p/comm; [ "$c" != sleep ] || tr "\\0" "\\n" <$p/environ; done 2>/dev/null | sed -n "s/^KEPT=//p"',
  },
} as const;

async function inGuest(agent: GuestAgent, uuid: string, script: string, text = ''): Promise<string> {
  if (!(await agent.comes(uuid, 30_000, CALL))) throw new Error('no agent answers');
  const args = ['-c', script, 'test', text];
  return (await agent.run(uuid, { path: '/bin/sh', args, output: true }, CALL)).output.trim();
}

async function fixtureOf(real: RealHypervisor) {
  const agent = new GuestAgent(real.client);
  return {
    hypervisor: real.hypervisor,
    clock: real.clock,
    drive: (work: () => Promise<void>) => work(),
    aSpec: () => specOf(real),
    write: async (uuid: string, where: 'disk' | 'memory', text: string) =>
      void (await inGuest(agent, uuid, SCRIPTS[where].write, text)),
    read: (uuid: string, where: 'disk' | 'memory') => inGuest(agent, uuid, SCRIPTS[where].read),
    dispose: () => real.dispose(),
  };
}

describeSnapshotsContract('libvirt and QEMU', async () => fixtureOf(await realFixture()));

describe('on a host of their own', () => {
  let real: RealHypervisor;
  let agent: GuestAgent;
  let vms: readonly VmSpec[];
  const filesOf = async (name: string): Promise<readonly string[]> =>
    (await readdir(real.testHost.host.poolDir)).filter((file) => file.startsWith(`vs-${name}.`)).toSorted();

  beforeAll(async () => {
    real = await realFixture();
    agent = new GuestAgent(real.client);
    vms = [specOf(real), specOf(real)];
    const { hypervisor } = real;
    for (const vm of vms) {
      await hypervisor.createDisk(vm, never);
      await hypervisor.define(vm, never);
      await hypervisor.start(vm.uuid, never);
    }
  });
  afterAll(() => real?.dispose());

  const write = (vm: VmSpec, where: 'disk' | 'memory', text: string) =>
    inGuest(agent, vm.uuid, SCRIPTS[where].write, text);
  const read = (vm: VmSpec, where: 'disk' | 'memory') => inGuest(agent, vm.uuid, SCRIPTS[where].read);

  test('two that are paused, taken with memory and let go, go back together, their clocks right', async () => {
    const { hypervisor } = real;
    for (const vm of vms) {
      await write(vm, 'disk', 'before');
      await write(vm, 'memory', 'before');
      await inGuest(agent, vm.uuid, 'date -s @1000000000');
    }
    await Promise.all(vms.map(({ uuid }) => hypervisor.pause(uuid, never)));
    const wish = wishOf('both', { resumes: true });
    await Promise.all(vms.map(({ uuid }) => hypervisor.snapshots.take(uuid, wish, never)));
    await Promise.all(vms.map(({ uuid }) => hypervisor.resume(uuid, never)));
    for (const vm of vms) await write(vm, 'disk', 'after');
    const back = { operation: 'back', power: 'running' } as const;
    await Promise.all(vms.map(({ uuid }) => hypervisor.snapshots.revert(uuid, 'both', back, never)));
    for (const vm of vms) {
      expect([await read(vm, 'disk'), await read(vm, 'memory')]).toEqual(['before', 'before']);
      await hypervisor.personalise(vm.uuid, identityOf(vm, 'woken'), never);
      const year = await inGuest(agent, vm.uuid, 'date +%Y');
      expect(year).toBe(String(new Date().getUTCFullYear()));
    }
    for (const { uuid } of vms) await hypervisor.snapshots.delete(uuid, 'both', never);
  });

  test('libvirtd killed while it takes one: nothing half, and the same once more is one; the VM goes on', async () => {
    const { hypervisor, testHost } = real;
    const [vm] = vms as [VmSpec, VmSpec];
    const wish = wishOf('cut', { kind: 'external' });
    const taking = hypervisor.snapshots.take(vm.uuid, wish, never).then(
      () => 'taken',
      () => 'cut off',
    );
    const isMaking = async (): Promise<boolean> => (await filesOf(vm.name)).some((file) => file.endsWith('.memory'));
    for (let tries = 0; tries < 5000 && !(await isMaking()); tries += 1) await sleep(2);
    process.kill(testHost.host.pid, 'SIGKILL');
    expect(await taking).toBe('cut off');
    const again = async () => hypervisor.snapshots.take(vm.uuid, wish, never).catch(() => undefined);
    await expect.poll(again, { timeout: 20_000, interval: 300 }).toMatchObject({ name: 'cut', hasMemory: true });
    const there = await hypervisor.snapshots.list(vm.uuid, never);
    expect(there.filter(({ name }) => name === 'cut')).toMatchObject([{ isCurrent: true }]);
    expect((await filesOf(vm.name)).filter((file) => /\.(layer|memory)$/.test(file))).toHaveLength(2);
    expect(await read(vm, 'disk')).toBe('before');
  });

  test('layers that stand for nothing are merged: whatever was taken, one file is left at last', async () => {
    const { hypervisor } = real;
    const [, vm] = vms as [VmSpec, VmSpec];
    const names = ['one', 'two', 'three'];
    for (const name of names) {
      await hypervisor.snapshots.take(vm.uuid, wishOf(name, { memory: false }), never);
      await write(vm, 'disk', name);
    }
    const layers = async (): Promise<number> =>
      (await filesOf(vm.name)).filter((file) => file.endsWith('.layer')).length;
    expect(await layers()).toBe(3);
    await hypervisor.snapshots.delete(vm.uuid, 'one', never);
    expect(await layers()).toBe(2);
    // What was frozen for the next one lies elsewhere now, and is the same.
    await hypervisor.snapshots.revert(vm.uuid, 'two', { operation: 'back', power: 'running' }, never);
    expect(await read(vm, 'disk')).toBe('one');
    for (const name of ['three', 'two']) await hypervisor.snapshots.delete(vm.uuid, name, never);
    expect(await layers()).toBe(0);
    expect(await read(vm, 'disk')).toBe('one');
  });

  test('a VM that is removed with its snapshots leaves nothing in the pool', async () => {
    const { hypervisor } = real;
    for (const { name, uuid } of vms) {
      await hypervisor.snapshots.take(uuid, wishOf('last', { kind: 'external' }), never);
      await hypervisor.snapshots.take(uuid, wishOf('inside'), never);
      await hypervisor.destroy(uuid, never);
      await hypervisor.undefine(uuid, never);
      await hypervisor.deleteDisk(name, never);
      expect(await filesOf(name)).toEqual([]);
    }
    expect(await hypervisor.listDisks(never)).toEqual([]);
  });
});
