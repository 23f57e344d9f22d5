// Stories of snapshots: one VM, several together, going back, rules that keep few, and a daemon that dies at any moment of it.
// Not here: how a host takes them (test/contracts/hypervisor-snapshots.ts), HTTP (test/edge).

import { afterEach, describe, expect, it } from 'vitest';
import type { Operation } from '../../src/core/operation.ts';
import type { SnapshotRequest } from '../../src/core/snapshot.ts';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const ALICE = { owner: 'alice' };
const never = new AbortController().signal;
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

async function accepted(asked: Promise<CommandResult<OperationStatus>>): Promise<string> {
  const status = await answer(asked);
  if (!status.ok) throw new Error(`refused: ${status.reason}`);
  return status.value.operation.id;
}

/** Commands look at hosts first, which takes simulated time. */
async function answer<T>(asked: Promise<T>): Promise<T> {
  let value: { readonly is: T } | undefined;
  void asked.then((is) => {
    value = { is };
  });
  for (let waited = 0; waited < 200; waited += 1) {
    if (value !== undefined) return value.is;
    await rig.run(0.1);
  }
  throw new Error('no answer');
}

async function ended(id: string, seconds = 700): Promise<Operation> {
  for (let waited = 0; waited < seconds * 10; waited += 1) {
    const status = await rig.engine.operation(id);
    if (status?.operation.endedAt !== undefined) return status.operation;
    await rig.run(0.1);
  }
  throw new Error(`operation ${id} has not ended: ${JSON.stringify(await rig.engine.operation(id))}`);
}

const take = (ids: readonly number[], request: SnapshotRequest = {}) =>
  accepted(rig.engine.snapshots.take(ids, request, ALICE));
const revert = (ids: readonly number[], name: string, options = {}) =>
  accepted(rig.engine.snapshots.revert(ids, name, options, ALICE));
const remove = (ids: readonly number[], name: string) => accepted(rig.engine.snapshots.remove(ids, name, ALICE));
const refusal = async (asked: Promise<CommandResult<OperationStatus>>) => {
  const result = await answer(asked);
  if (result.ok) throw new Error('it was accepted');
  return { refused: result.refused, reason: result.reason };
};
const listOf = async (id: number) => {
  const result = await answer(rig.engine.snapshots.list(id, never));
  if (!result.ok) throw new Error(result.reason);
  return result.value;
};
const namesOf = async (id: number) => (await listOf(id)).map(({ name }) => name);

/** VMs 1 to `count`, one after another on the hosts, that run and whose agents answer. */
async function withVms(count: number, hosts: readonly string[] = ['h1', 'h2']): Promise<void> {
  rig = await new Rig({ hosts }).start();
  await rig.run(2);
  for (let n = 1; n <= count; n += 1) {
    const placement = { host: hosts[(n - 1) % hosts.length] ?? 'h1' };
    const result = await rig.engine.createVms({ name: `vm${n}`, flavor: 'small', placement }, ALICE);
    if (!result.ok) throw new Error(result.reason);
    await ended(result.value.operation.id);
  }
  await rig.run(5);
}

const recordOf = (id: number) => {
  const record = rig.engine.vm(id)?.record;
  if (record === undefined) throw new Error(`no VM ${id}`);
  return record;
};
const guestOf = (id: number) => {
  const { host, uuid } = recordOf(id);
  return { snapshots: rig.host(host).snapshots, uuid, host: rig.host(host) };
};
const write = (id: number, text: string) => {
  const { snapshots, uuid } = guestOf(id);
  snapshots.write(uuid, 'disk', text);
  snapshots.write(uuid, 'memory', text);
};
const kept = (id: number) => {
  const { snapshots, uuid } = guestOf(id);
  return [snapshots.read(uuid, 'disk'), snapshots.read(uuid, 'memory')];
};
const domainOf = (id: number) => {
  const { host, uuid } = guestOf(id);
  return host.domains(rig.clock.nowMs()).find((domain) => domain.uuid === uuid);
};
/** Runs, goes on, and its file systems are not frozen. */
const isFree = (id: number): boolean => {
  const { snapshots, uuid } = guestOf(id);
  const domain = domainOf(id);
  return domain?.running === true && !domain.paused && !snapshots.isFrozen(uuid);
};

describe('one VM', () => {
  it('is taken with its memory, changed, and goes back to what it was, its clock right', async () => {
    await withVms(1);
    write(1, 'before');
    const operation = await ended(await take([1], { name: 'good', description: 'before the upgrade' }));
    expect(operation).toMatchObject({
      kind: 'snapshot.create',
      state: 'succeeded',
      vms: [{ id: 1, outcome: 'done' }],
      snapshot: { name: 'good', taken: [{ vmId: 1, kind: 'internal', memory: true, consistency: 'application' }] },
    });
    expect(operation.history.at(0)?.text).toBe('snapshot good of vm1');
    expect(operation.history.at(-2)?.text).toBe('vm1: internal, with memory, application-consistent');
    expect(await listOf(1)).toMatchObject([
      { name: 'good', isCurrent: true, description: 'before the upgrade', operation: operation.id },
    ]);
    write(1, 'after');
    const back = await ended(await revert([1], 'good'));
    expect(back).toMatchObject({ kind: 'snapshot.revert', state: 'succeeded' });
    expect(kept(1)).toEqual(['before', 'before']);
    expect(recordOf(1).power).toBe('running');
    expect(domainOf(1)?.hostname).toBe('vm1');
    expect(rig.events.find(({ type }) => type === 'vm.changed')).toMatchObject({ change: 'revert' });
    await ended(await remove([1], 'good'));
    expect(await namesOf(1)).toEqual([]);
    await rig.stop();
  });

  it('is called by the time when nobody names it, and its children are listed after it', async () => {
    await withVms(1);
    await ended(await take([1]));
    await rig.run(1);
    await ended(await take([1], { name: 'second' }));
    const [first, second] = await listOf(1);
    expect(first?.name).toMatch(/^\d{4}-\d\d-\d\d-\d{6}$/);
    expect(second).toMatchObject({ name: 'second', parent: first?.name });
    await rig.stop();
  });

  it('without memory is frozen by its agent where there is one, and the answer says so', async () => {
    await withVms(1);
    const consistencyOf = async (request: SnapshotRequest) =>
      (await ended(await take([1], { memory: false, ...request }))).snapshot?.taken?.[0]?.consistency;
    expect(await consistencyOf({ name: 'frozen', quiesce: true })).toBe('filesystem');
    expect(await consistencyOf({ name: 'asked' })).toBe('filesystem');
    expect(await consistencyOf({ name: 'not', quiesce: false })).toBe('crash');
    rig.host().trouble({ kind: 'unready', fromMs: rig.clock.nowMs(), untilMs: rig.clock.nowMs() + 20_000 });
    expect(await consistencyOf({ name: 'nobody' })).toBe('crash');
    const failed = await ended(await take([1], { name: 'must', memory: false, quiesce: true }));
    expect(failed).toMatchObject({ state: 'failed', failure: { detail: expect.stringContaining('no agent answers') } });
    expect(await namesOf(1)).toEqual(['frozen', 'asked', 'not', 'nobody']);
    expect(isFree(1)).toBe(true);
    await rig.stop();
  });

  it('without memory is started or stopped afterwards as it was asked to be', async () => {
    await withVms(1);
    write(1, 'disk');
    await ended(await take([1], { name: 'disk', memory: false }));
    await ended(await revert([1], 'disk', { power: 'stopped' }));
    expect(domainOf(1)?.running).toBe(false);
    expect(recordOf(1).power).toBe('stopped');
    await ended(await revert([1], 'disk'));
    expect(domainOf(1)?.running).toBe(false);
    await ended(await revert([1], 'disk', { power: 'running' }));
    expect(domainOf(1)?.running).toBe(true);
    expect(kept(1)).toEqual(['disk', '']);
    await ended(await take([1], { name: 'mem' }));
    expect(await refusal(rig.engine.snapshots.revert([1], 'mem', { power: 'stopped' }, ALICE))).toMatchObject({
      refused: 'conflict',
    });
    await rig.stop();
  });

  it('is tried again while its host does not answer, and fails in words when it never does', async () => {
    await withVms(1);
    const nowMs = rig.clock.nowMs();
    rig.host().trouble({ kind: 'fail-call', call: 'takeSnapshot', fault: 'timed-out', effect: 'after', fromMs: nowMs });
    rig.host().trouble({ kind: 'fail-call', call: 'thaw', fault: 'busy', effect: 'before', times: 3, fromMs: nowMs });
    const operation = await ended(await take([1], { name: 'late', memory: false }));
    expect(operation.state).toBe('succeeded');
    expect(isFree(1)).toBe(true);
    expect(await namesOf(1)).toEqual(['late']);
    rig.host().trouble({
      kind: 'fail-call',
      call: 'takeSnapshot',
      fault: 'unreachable',
      effect: 'before',
      times: 1000,
      fromMs: rig.clock.nowMs(),
    });
    const failed = await ended(await take([1], { name: 'never' }));
    expect(failed).toMatchObject({ state: 'failed', failure: { detail: expect.stringContaining('h1') } });
    expect(await namesOf(1)).toEqual(['late']);
    await rig.stop();
  });
});

describe('several VMs', () => {
  it.each([true, false])('are held together, taken and let go; back together (memory: %s)', async (memory) => {
    await withVms(3);
    for (const id of [1, 2, 3]) write(id, `before ${id}`);
    const operation = await ended(await take([1, 2, 3], { name: 'all', memory }));
    expect(operation).toMatchObject({ state: 'succeeded', vms: [{ id: 1 }, { id: 2 }, { id: 3 }] });
    const consistency = memory ? 'application' : 'filesystem';
    for (const id of [1, 2, 3]) {
      expect(await listOf(id)).toMatchObject([{ name: 'all', state: 'running', consistency, operation: operation.id }]);
      expect(isFree(id)).toBe(true);
      write(id, 'after');
    }
    await ended(await revert([1, 2, 3], 'all'));
    for (const id of [1, 2, 3]) expect(kept(id)).toEqual([`before ${id}`, memory ? `before ${id}` : '']);
    await ended(await remove([1, 2, 3], 'all'));
    for (const id of [1, 2, 3]) expect(await namesOf(id)).toEqual([]);
    await rig.stop();
  });

  it.each([true, false])('have it all or none, and none stays held (memory: %s)', async (memory) => {
    await withVms(2);
    await ended(await take([1], { name: 'older' }));
    const nowMs = rig.clock.nowMs();
    rig.host('h2').trouble({
      kind: 'fail-call',
      call: 'takeSnapshot',
      fault: 'refused',
      effect: 'before',
      fromMs: nowMs,
    });
    const operation = await ended(await take([1, 2], { name: 'all', memory }));
    expect(operation.state).toBe('failed');
    expect(await namesOf(1)).toEqual(['older']);
    expect(await namesOf(2)).toEqual([]);
    expect([isFree(1), isFree(2)]).toEqual([true, true]);
    await rig.stop();
  });

  it('that stand still by hand do so afterwards', async () => {
    await withVms(2);
    const paused = await answer(rig.engine.power(2, 'pause', ALICE));
    if (!paused.ok) throw new Error(paused.reason);
    await ended(paused.value.operation.id);
    await ended(await take([1, 2], { name: 'all' }));
    expect(isFree(1)).toBe(true);
    expect(domainOf(2)).toMatchObject({ running: true, paused: true });
    expect(await listOf(2)).toMatchObject([{ state: 'paused' }]);
    await rig.stop();
  });
});

describe('refused', () => {
  it('in clear words', async () => {
    await withVms(2);
    await ended(await take([1], { name: 'there' }));
    const { snapshots } = rig.engine;
    const refused = async (asked: Promise<CommandResult<OperationStatus>>) => (await refusal(asked)).refused;
    expect(await refused(snapshots.take([99], {}, ALICE))).toBe('not-found');
    expect(await refused(snapshots.take([], {}, ALICE))).toBe('invalid');
    expect(await refused(snapshots.take([1, 1], {}, ALICE))).toBe('invalid');
    expect(await refused(snapshots.take([1], { name: '../x' }, ALICE))).toBe('invalid');
    expect(await refused(snapshots.take([1], { description: 'two\nlines' }, ALICE))).toBe('invalid');
    expect(await refused(snapshots.take([1], { keep: { count: 0 } }, ALICE))).toBe('invalid');
    expect(await refused(snapshots.take([2, 1], { name: 'there' }, ALICE))).toBe('conflict');
    expect(await refused(snapshots.revert([2], 'there', {}, ALICE))).toBe('not-found');
    expect(await refused(snapshots.remove([1, 2], 'there', ALICE))).toBe('not-found');
    rig.host('h2').trouble({ kind: 'unreachable', fromMs: rig.clock.nowMs() });
    expect(await refused(snapshots.take([1, 2], { name: 'new' }, ALICE))).toBe('unreachable');
    rig.host('h2').heal(rig.clock.nowMs());
    await rig.stop();
  });

  it('while another operation is under way on the VM, and the VM is not deleted while it goes back', async () => {
    await withVms(1);
    await ended(await take([1], { name: 'there' }));
    rig.host().trouble({ kind: 'hang', fromMs: rig.clock.nowMs() + 50, untilMs: rig.clock.nowMs() + 8000 });
    const going = rig.engine.snapshots.revert([1], 'there', {}, ALICE);
    await rig.run(0.02);
    const result = await going;
    if (!result.ok) throw new Error(result.reason);
    expect((await refusal(rig.engine.snapshots.take([1], {}, ALICE))).reason).toContain('snapshot.revert');
    expect((await rig.engine.power(1, 'stop', ALICE)).ok).toBe(false);
    const deleting = await rig.engine.deleteVm(1, ALICE);
    expect(deleting).toMatchObject({ ok: false, refused: 'conflict' });
    expect((await ended(result.value.operation.id)).state).toBe('succeeded');
    await rig.stop();
  });

  it('to go back for VMs of groups; taking is not', async () => {
    rig = await new Rig({ policies: [policyOf({ group: 'web', min: 1, max: 1 })] }).start();
    await rig.until('vm.launched');
    await rig.run(5);
    const id = rig.engine.vms()[0]?.record.id ?? 0;
    expect((await ended(await take([id], { name: 'seen' }))).state).toBe('succeeded');
    expect((await refusal(rig.engine.snapshots.revert([id], 'seen', {}, ALICE))).reason).toContain('policy');
    await rig.stop();
  });

  it('beyond the quota of snapshots', async () => {
    await withVms(2);
    rig.settings = { ...rig.settings, quota: { snapshots: 3 } };
    await rig.engine.configure(rig.settings);
    await ended(await take([1, 2], { name: 'a' }));
    expect((await refusal(rig.engine.snapshots.take([1, 2], { name: 'b' }, ALICE))).reason).toContain('quota');
    await ended(await take([1], { name: 'b' }));
    expect((await refusal(rig.engine.snapshots.take([2], { name: 'b' }, ALICE))).reason).toContain('quota');
    await ended(await remove([1], 'a'));
    await ended(await take([2], { name: 'b' }));
    await rig.stop();
  });
});

describe('a rule that keeps few', () => {
  it('removes the oldest once there is a new one, and says which', async () => {
    await withVms(1);
    const removedBy = async (request: SnapshotRequest) => {
      const operation = await ended(await take([1], request));
      return operation.snapshot?.taken?.[0]?.removed;
    };
    for (const name of ['one', 'two', 'three']) {
      expect(await removedBy({ name })).toEqual([]);
      await rig.run(2);
    }
    expect(await removedBy({ name: 'four', keep: { count: 2 } })).toEqual(['one', 'two']);
    await rig.engine.setVm(1, { labels: { 'snapshots/keep-count': '2' } }, ALICE);
    expect(await removedBy({ name: 'five' })).toEqual(['three']);
    // An hour and more later, by the clock on the wall: nobody waits for it.
    rig.clock.stepWall(3_700_000);
    expect(await removedBy({ name: 'six', keep: { hours: 1 } })).toEqual(['four', 'five']);
    expect(await listOf(1)).toMatchObject([{ name: 'six', isCurrent: true }]);
    await rig.stop();
  });
});

describe('a daemon that dies', () => {
  const DELAYS = Array.from({ length: 14 }, (_, index) => 1 + index * 2);

  it.each([true, false])('leaves all or none, and nobody held, whenever it was (memory: %s)', async (memory) => {
    const states = new Set<string>();
    for (const delayMs of DELAYS) {
      await withVms(2);
      const asked = rig.engine.snapshots.take([1, 2], { name: 'all', memory }, ALICE);
      await rig.run(delayMs / 1000);
      rig.kill();
      await rig.start();
      await rig.run(30);
      void asked;
      expect(rig.engine.openOperations, `after ${delayMs} ms`).toEqual([]);
      const both = [await namesOf(1), await namesOf(2)];
      expect(both[0], `after ${delayMs} ms`).toEqual(both[1]);
      expect([isFree(1), isFree(2)], `after ${delayMs} ms`).toEqual([true, true]);
      states.add(JSON.stringify(both));
      expect(rig.violations()).toEqual([]);
      await rig.stop();
    }
    // Early deaths came before there was an operation, later ones were carried on.
    expect(states.size).toBe(2);
  });

  it('carries on going back and deleting', async () => {
    for (const delayMs of DELAYS) {
      await withVms(1);
      write(1, 'before');
      await ended(await take([1], { name: 'first', memory: false }));
      await ended(await take([1], { name: 'second' }));
      write(1, 'after');
      void rig.engine.snapshots.revert([1], 'second', {}, ALICE);
      await rig.run(delayMs / 1000);
      const begun = rig.engine.openOperations.length > 0 || kept(1)[0] === 'before';
      rig.kill();
      await rig.start();
      await rig.run(30);
      expect(rig.engine.openOperations, `after ${delayMs} ms`).toEqual([]);
      if (begun) expect(kept(1), `after ${delayMs} ms`).toEqual(['before', 'before']);
      void rig.engine.snapshots.remove([1], 'first', ALICE);
      await rig.run(delayMs / 1000);
      const deleting = rig.engine.openOperations.length > 0;
      rig.kill();
      await rig.start();
      await rig.run(30);
      expect(rig.engine.openOperations).toEqual([]);
      if (deleting) expect(await namesOf(1)).toEqual(['second']);
      await rig.stop();
    }
  });

  it('and its database with it: the snapshots are there all the same', async () => {
    await withVms(1);
    write(1, 'before');
    await ended(await take([1], { name: 'kept' }));
    rig.kill();
    rig.store = rig.freshStore();
    await rig.start();
    await rig.run(10);
    const id = rig.engine.vms()[0]?.record.id ?? 0;
    expect(await namesOf(id)).toEqual(['kept']);
    write(id, 'after');
    await ended(await revert([id], 'kept'));
    expect(kept(id)).toEqual(['before', 'before']);
    await rig.stop();
  });

  it('by being asked to lets go whom it holds', async () => {
    await withVms(2);
    rig.host('h2').trouble({
      kind: 'hang',
      fromMs: rig.clock.nowMs() + 6,
      untilMs: rig.clock.nowMs() + 3000,
    });
    const asked = rig.engine.snapshots.take([1, 2], { name: 'all', memory: false }, ALICE);
    await rig.run(0.5);
    expect(isAnyFrozen('h1')).toBe(true);
    await rig.stop();
    void asked;
    expect([isAnyFrozen('h1'), isAnyFrozen('h2')]).toEqual([false, false]);
  });
});

function isAnyFrozen(name: string): boolean {
  const host = rig.host(name);
  return host.domains(rig.clock.nowMs()).some(({ uuid }) => host.snapshots.isFrozen(uuid));
}
