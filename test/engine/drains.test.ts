// Stories of hosts that are emptied, and of load that is evened out, on simulated hosts. Not here: one move (migrations.test).

import { afterEach, describe, expect, it } from 'vitest';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const ALICE = { owner: 'alice' };
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function id(result: CommandResult<OperationStatus>): string {
  if (!result.ok) throw new Error(`refused: ${result.reason}`);
  return result.value.operation.id;
}

async function ended(operation: string, seconds = 120): Promise<OperationStatus['operation']> {
  for (let waited = 0; waited < seconds; waited += 0.1) {
    const status = await rig.engine.operation(operation);
    if (status?.operation.endedAt !== undefined) return status.operation;
    await rig.run(0.1);
  }
  throw new Error(`operation ${operation} has not ended: ${JSON.stringify(await rig.engine.operation(operation))}`);
}

async function drain(host: string): Promise<string> {
  const asking = rig.engine.migrations.drain(host, ALICE);
  await rig.run(0.05);
  return id(await asking);
}

async function withVms(count: number, hosts: readonly string[] = ['h1', 'h2']): Promise<void> {
  rig = await new Rig({ hosts }).start();
  const request = { name: 'vm', count, flavor: 'small', placement: { host: 'h1' } };
  await ended(id(await rig.engine.createVms(request, ALICE)));
  await rig.run(2);
}

const hostsOf = () => rig.engine.vms().map(({ record }) => `${record.name}@${record.host}`);

describe('draining a host', () => {
  it('moves everything away, tells each VM, and takes VMs again when asked to', async () => {
    await withVms(5);
    const operation = await ended(await drain('h1'));
    expect(operation).toMatchObject({ kind: 'host.drain', state: 'succeeded' });
    expect(operation.vms.map(({ host, outcome }) => `${host} ${outcome}`)).toEqual(Array(5).fill('h2 done'));
    expect(hostsOf().every((text) => text.endsWith('@h2'))).toBe(true);
    expect(rig.running()).toHaveLength(5);
    expect(rig.engine.host('h1')?.traits.cordoned).toBe('drained by alice');
    expect(await rig.engine.migrations.undrain('h1', ALICE)).toMatchObject({ ok: true });
    expect(rig.engine.host('h1')?.traits.cordoned).toBeUndefined();
    await rig.stop();
  });

  it('powers nothing off: what cannot move runs on, and it is said why', async () => {
    await withVms(3);
    await ended(id(await rig.engine.power(2, 'pause', ALICE)));
    await rig.run(2);
    const running = rig.running();
    const operation = await ended(await drain('h1'));
    expect(operation.state).toBe('failed');
    expect(operation.failure?.detail).toContain('1 VM of host h1 could not be moved: vm-2: VM vm-2 is paused');
    expect(hostsOf()).toEqual(['vm-1@h2', 'vm-2@h1', 'vm-3@h2']);
    expect(rig.running()).toEqual(running);
    await rig.stop();
  });

  it('says so when no other host has room', async () => {
    await withVms(2, ['h1']);
    const operation = await ended(await drain('h1'));
    expect(operation.failure?.detail).toContain('no other host can take VM vm-1 now');
    expect(rig.running()).toHaveLength(2);
    await rig.stop();
  });

  it('is taken up by the next daemon, and may be cancelled', async () => {
    await withVms(4);
    for (const host of rig.hosts) host.moveMs = 3_000;
    const operation = await drain('h1');
    await rig.run(2);
    rig.kill();
    await rig.run(1);
    await rig.start();
    expect((await ended(operation)).state).toBe('succeeded');
    expect(rig.running()).toHaveLength(4);

    await rig.engine.migrations.undrain('h1', ALICE);
    const back = await drain('h2');
    await rig.run(1);
    await rig.engine.cancel(back);
    expect((await ended(back)).state).toBe('cancelled');
    await rig.run(5);
    expect(rig.running()).toHaveLength(4);
    expect([...rig.engine.openOperations]).toEqual([]);
    await rig.stop();
  });

  it('moves a group with it, and its standbys are made anew elsewhere', async () => {
    const policy = policyOf({ min: 2, max: 4, capacity: { fork: false, paused: 0, saved: 0, stopped: 2 } });
    rig = await new Rig({ hosts: ['h1', 'h2'], policies: [policy] }).start();
    await rig.run(60);
    expect(rig.engine.vms().filter(({ record }) => record.phase === 'standby')).toHaveLength(2);
    const from = rig.events.length;
    const operation = await ended(await drain('h1'));
    expect(operation.state).toBe('succeeded');
    await rig.run(60);
    expect(rig.engine.vms().filter(({ record }) => record.phase === 'standby')).toHaveLength(2);
    expect(rig.engine.vms().map(({ record }) => record.host)).not.toContain('h1');
    expect(rig.types(from)).not.toContain('vm.lost');
    expect(rig.engine.vms().filter(({ record }) => record.phase === 'in-service')).toHaveLength(2);
    await rig.stop();
  });
});

describe('evening out the load', () => {
  it('moves nothing unless the configuration wants it, and lists what it would', async () => {
    await withVms(8);
    rig.load(1);
    await rig.run(30);
    expect(hostsOf().every((text) => text.endsWith('@h1'))).toBe(true);
    expect(rig.engine.migrations.plan().length).toBeGreaterThan(0);
    expect(rig.engine.migrations.plan()[0]).toMatchObject({ from: 'h1', to: 'h2' });
    expect(rig.types()).not.toContain('vm.migrated');
    await rig.stop();
  });

  it('moves VMs off a host that stays too full', async () => {
    await withVms(8);
    const rebalance = { above: 0.7, forMs: 20_000, gain: 0.1, cooldownMs: 600_000, atATime: 1 };
    await rig.engine.configure({ ...rig.settings, rebalance });
    rig.load(1);
    await rig.run(15);
    expect(rig.types()).not.toContain('vm.migrated');
    await rig.run(60);
    const moved = hostsOf().filter((text) => text.endsWith('@h2')).length;
    expect(moved).toBeGreaterThanOrEqual(2);
    expect(moved).toBeLessThanOrEqual(5);
    await rig.stop();
  });
});
