// Stories of VMs that move between simulated hosts, with the daemon and the hosts failing at every moment: never two run, never none.
// Not here: what libvirt does (test/real), who has the VM after a look (test/core/migration).

import { afterEach, describe, expect, it } from 'vitest';
import type { HypervisorCall } from '../../src/adapters/hypervisor/memory/memory-script.ts';
import type { MigrateRequest } from '../../src/engine/migration-request.ts';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import type { FaultKind } from '../../src/ports/fault.ts';
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

/** Copies whose vCPUs go, by host. */
function alive(): string[] {
  return rig.hosts.flatMap((host) =>
    host
      .domains(rig.clock.nowMs())
      .flatMap(({ name, paused, running }) => (running && !paused ? [`${name}@${host.name}`] : [])),
  );
}

/** Time passes in small steps, and in none of them two copies of one VM run. */
async function pass(seconds: number): Promise<void> {
  for (let at = 0; at < seconds; at += 0.02) {
    await rig.run(0.02);
    const names = alive().map((copy) => copy.split('@')[0]);
    expect(new Set(names).size, `two run: ${alive().join(', ')}`).toBe(names.length);
  }
}

async function ended(operation: string, seconds = 60): Promise<OperationStatus['operation']> {
  for (let waited = 0; waited < seconds; waited += 0.1) {
    const status = await rig.engine.operation(operation);
    if (status?.operation.endedAt !== undefined) return status.operation;
    await pass(0.1);
  }
  throw new Error(`operation ${operation} has not ended: ${JSON.stringify(await rig.engine.operation(operation))}`);
}

async function withVm(hosts: readonly string[] = ['h1', 'h2']): Promise<void> {
  rig = await new Rig({ hosts }).start();
  await rig.engine.createVms({ name: 'vm', flavor: 'small', placement: { host: 'h1' } }, ALICE);
  await rig.until('vm.launched');
  await rig.run(2);
}

/** The hosts are asked before it is promised, which takes their time. */
async function asked(request: MigrateRequest = {}, vm = 1): Promise<CommandResult<OperationStatus>> {
  const asking = rig.engine.migrations.migrate(vm, request, ALICE);
  await pass(0.02);
  return asking;
}

async function migrate(request: MigrateRequest = {}): Promise<string> {
  return id(await asked(request));
}

/** Exactly one copy runs, the record says where, and nothing of it is anywhere else. */
function settledOn(host: string): void {
  expect(alive()).toEqual([`vm@${host}`]);
  expect(rig.engine.vm(1)?.record).toMatchObject({ host, phase: 'in-service' });
  expect(rig.engine.vm(1)?.record.moving).toBeUndefined();
  for (const other of rig.hosts) {
    const has = other.name === host ? ['vm'] : [];
    expect(other.domains(rig.clock.nowMs()).map(({ name }) => name)).toEqual(has);
    expect(other.diskNames()).toEqual(has);
  }
}

function settledSomewhere(): string {
  const host = rig.engine.vm(1)?.record.host ?? '';
  settledOn(host);
  return host;
}

describe('moving one VM', () => {
  it('brings it to the best other host, tells the new endpoint, and leaves nothing behind', async () => {
    await withVm();
    const before = rig.engine.vm(1)?.record.endpoint;
    const operation = await ended(await migrate());
    expect(operation).toMatchObject({ state: 'succeeded', vms: [{ id: 1, host: 'h2', outcome: 'done' }] });
    settledOn('h2');
    const told = rig.events.find(({ type }) => type === 'vm.migrated');
    expect(told).toMatchObject({
      from: 'h1',
      to: 'h2',
      vm: { host: 'h2', endpoint: { address: '127.0.2.1', port: 8080 } },
    });
    expect(before?.address).toBe('127.0.1.1');
    await rig.stop();
  });

  it('says how far it is while it goes, and may be cancelled: then it runs on where it was', async () => {
    await withVm();
    rig.host('h1').moveMs = 60_000;
    const operation = await migrate({ host: 'h2' });
    await pass(5);
    expect((await rig.engine.operation(operation))?.progress).toMatchObject({ unit: 'bytes', total: 134_217_728 });
    expect(await rig.engine.cancel(operation)).toMatchObject({ ok: true });
    expect(await ended(operation)).toMatchObject({ state: 'cancelled' });
    settledOn('h1');
    await rig.stop();
  });

  it('is called off when it takes too long', async () => {
    await withVm();
    rig.host('h1').moveMs = 600_000;
    const operation = await ended(await migrate({ timeoutMs: 10_000 }));
    expect(operation).toMatchObject({ state: 'failed', failure: { type: 'timed-out' } });
    settledOn('h1');
    await rig.stop();
  });

  it('is called off when the VM is deleted meanwhile, which then is', async () => {
    await withVm();
    rig.host('h1').moveMs = 60_000;
    await migrate();
    await pass(3);
    const deletion = id(await rig.engine.deleteVm(1, ALICE));
    expect(await ended(deletion)).toMatchObject({ state: 'succeeded' });
    expect(rig.running()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });

  it('refuses what cannot move, each with its reason', async () => {
    await withVm();
    const refusal = async (request: MigrateRequest = {}) => {
      const result = await asked(request);
      return result.ok ? 'accepted' : `${result.refused}: ${result.reason}`;
    };
    expect(await refusal({ host: 'nowhere' })).toBe('not-found: there is no host nowhere');
    expect(await refusal({ host: 'h1' })).toContain('is on host h1 already');
    expect(await refusal({ copyStorage: false })).toContain('not known to share');
    await rig.engine.cordon('h2', 'new disks', ALICE);
    expect(await refusal()).toContain('no other host can take VM vm');
    await rig.engine.uncordon('h2', ALICE);
    const pausing = id(await rig.engine.power(1, 'pause', ALICE));
    await ended(pausing);
    await rig.run(2);
    expect(await refusal()).toContain('is paused');
    await rig.stop();
  });

  it('a VM of a group moves, and its group neither replaces nor loses it', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'], policies: [policyOf({ min: 1, max: 2 })] }).start();
    await rig.until('vm.launched');
    await rig.run(2);
    const [vm] = rig.engine.vms();
    const from = rig.events.length;
    await ended(id(await asked({}, vm?.record.id)));
    await pass(10);
    expect(rig.types(from)).toContain('vm.migrated');
    for (const type of ['vm.lost', 'vm.launching', 'vm.draining', 'vm.adopted'] as const) {
      expect(rig.types(from)).not.toContain(type);
    }
    expect(alive()).toHaveLength(1);
    await rig.stop();
  });
});

const CALLS: readonly HypervisorCall[] = [
  'describe',
  'prepare',
  'move',
  'figures',
  'lookAtCopy',
  'resume',
  'deleteDisk',
];
const EFFECTS = ['before', 'after'] as const;
const FAULTS: readonly FaultKind[] = ['unreachable', 'refused'];

describe('whatever fails, one copy runs', () => {
  it.each(
    CALLS.flatMap((call) =>
      EFFECTS.flatMap((effect) => FAULTS.flatMap((fault) => ['h1', 'h2'].map((on) => ({ call, effect, fault, on })))),
    ),
  )('$call on $on fails ($fault, $effect)', async ({ call, effect, fault, on }) => {
    await withVm();
    const operation = await migrate({ host: 'h2' });
    rig.host(on).trouble({ kind: 'fail-call', call, effect, fault, times: 1, fromMs: rig.clock.nowMs() });
    await ended(operation);
    await pass(1);
    settledSomewhere();
    await rig.stop();
  });

  const MOMENTS = Array.from({ length: 30 }, (_, index) => index * 0.05);

  it.each(MOMENTS)('the daemon is killed %f s after the move was asked for', async (seconds) => {
    await withVm();
    const operation = await migrate({ host: 'h2' });
    await pass(seconds);
    rig.kill();
    await pass(2);
    await rig.start();
    await ended(operation);
    settledSomewhere();
    await rig.stop();
  });

  it.each(MOMENTS.flatMap((seconds) => ['h1', 'h2'].map((host) => ({ seconds, host }))))(
    'libvirtd of $host is gone from $seconds s on, for three seconds',
    async ({ host, seconds }) => {
      await withVm();
      const operation = await migrate({ host: 'h2' });
      const fromMs = rig.clock.nowMs() + seconds * 1000;
      rig.host(host).trouble({ kind: 'unreachable', fromMs, untilMs: fromMs + 3000 });
      await ended(operation);
      settledSomewhere();
      await rig.stop();
    },
  );

  it.each(MOMENTS.filter((_, index) => index % 3 === 0))(
    'daemon and both libvirtds are gone %f s after',
    async (seconds) => {
      await withVm();
      const operation = await migrate({ host: 'h2' });
      await pass(seconds);
      const fromMs = rig.clock.nowMs();
      for (const host of rig.hosts) host.trouble({ kind: 'unreachable', fromMs, untilMs: fromMs + 4000 });
      rig.kill();
      await pass(1);
      await rig.start();
      await ended(operation);
      settledSomewhere();
      await rig.stop();
    },
  );

  it('a target that is gone for good does not hold up a VM that runs on', async () => {
    await withVm();
    rig.host('h1').moveMs = 5_000;
    await migrate({ host: 'h2' });
    await pass(3);
    rig.host('h2').trouble({ kind: 'unreachable', fromMs: rig.clock.nowMs() });
    await pass(60);
    expect(alive()).toEqual(['vm@h1']);
    expect(await rig.engine.power(1, 'reboot', ALICE)).toMatchObject({ ok: true });
    await rig.stop();
  });
});
