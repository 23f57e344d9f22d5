// The contract of the Snapshots port, run against every adapter: what src/ports/snapshots.ts says, sentence by sentence.
// Not here: what dies in the middle, and what is left in the pool (test/real/snapshots.test.ts), several VMs together (test/engine).

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/ports/clock.ts';
import { Fault, type FaultKind } from '../../src/ports/fault.ts';
import type { Hypervisor, VmSpec } from '../../src/ports/hypervisor.ts';
import type { SnapshotWish } from '../../src/ports/snapshots.ts';

export interface SnapshotsFixture {
  readonly hypervisor: Hypervisor;
  readonly clock: Clock;
  drive(work: () => Promise<void>): Promise<void>;
  aSpec(): VmSpec;
  /** Lets a running guest keep a text on its disk, or in its memory alone; and what is kept there now ('' when nothing). */
  write(uuid: string, where: 'disk' | 'memory', text: string): Promise<void>;
  read(uuid: string, where: 'disk' | 'memory'): Promise<string>;
  dispose(): Promise<void>;
}

const never = new AbortController().signal;
const PATIENCE_MS = 60_000;

export function wishOf(name: string, changes: Partial<SnapshotWish> = {}): SnapshotWish {
  return { name, memory: true, operation: `op-${name}`, frozen: false, resumes: false, ...changes };
}

export function describeSnapshotsContract(adapter: string, makeFixture: () => Promise<SnapshotsFixture>): void {
  describe(`snapshots contract: ${adapter}`, () => {
    let fixture: SnapshotsFixture;
    let hypervisor: Hypervisor;
    let vm: VmSpec;

    beforeAll(async () => {
      fixture = await makeFixture();
      hypervisor = fixture.hypervisor;
      vm = fixture.aSpec();
      await fixture.drive(async () => {
        await hypervisor.createDisk(vm, never);
        await hypervisor.define(vm, never);
        await hypervisor.start(vm.uuid, never);
        await answers();
      });
    });
    afterAll(() => fixture?.dispose());

    const check = (name: string, work: () => Promise<void>): void => {
      test(name, () => fixture.drive(work));
    };
    const answers = async (): Promise<void> => {
      const endMs = fixture.clock.nowMs() + PATIENCE_MS;
      while (!(await hypervisor.agentAnswers(vm.uuid, 1000, never))) {
        if (fixture.clock.nowMs() > endMs) throw new Error('no agent answers');
        await fixture.clock.sleep(50);
      }
    };
    const stateOf = async (uuid = vm.uuid): Promise<string> => {
      const seen = (await hypervisor.observe(never)).domains.find((domain) => domain.uuid === uuid);
      return seen?.paused ? 'paused' : (seen?.state ?? 'absent');
    };
    const expectFault = async (kind: FaultKind, work: Promise<unknown>): Promise<Fault> => {
      const error: unknown = await work.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(Fault);
      expect(`${(error as Fault).kind}: ${(error as Fault).message}`).toMatch(new RegExp(`^${kind}: `));
      return error as Fault;
    };
    const take = (name: string, changes: Partial<SnapshotWish> = {}) =>
      hypervisor.snapshots.take(vm.uuid, wishOf(name, changes), never);
    const revert = (name: string, power: 'running' | 'stopped' = 'running', operation = `back-${name}-${tries++}`) =>
      hypervisor.snapshots.revert(vm.uuid, name, { operation, power }, never);
    const remove = (name: string) => hypervisor.snapshots.delete(vm.uuid, name, never);
    const names = async (): Promise<readonly string[]> =>
      (await hypervisor.snapshots.list(vm.uuid, never)).map(({ name }) => name);
    const write = async (text: string): Promise<void> => {
      await fixture.write(vm.uuid, 'disk', text);
      await fixture.write(vm.uuid, 'memory', text);
    };
    const kept = async (): Promise<readonly string[]> => {
      await answers();
      return [await fixture.read(vm.uuid, 'disk'), await fixture.read(vm.uuid, 'memory')];
    };
    let tries = 0;

    check('there are none of a new VM, and none of a domain that is not there', async () => {
      expect(await hypervisor.snapshots.list(vm.uuid, never)).toEqual([]);
      const nobody = '00000000-0000-4000-8000-00000000dead';
      await expectFault('gone', hypervisor.snapshots.list(nobody, never));
      await expectFault('gone', hypervisor.snapshots.take(nobody, wishOf('x'), never));
      await expectFault('gone', hypervisor.snapshots.revert(nobody, 'x', { operation: 'o', power: 'running' }, never));
      await expectFault('gone', revert('none'));
      await remove('none');
      await hypervisor.snapshots.thaw(nobody, never);
    });

    check('frozen by its agent until it is thawed; thawing once more is no error', async () => {
      expect(await hypervisor.snapshots.freeze(vm.uuid, never)).toBe(true);
      await hypervisor.snapshots.thaw(vm.uuid, never);
      await hypervisor.snapshots.thaw(vm.uuid, never);
      await fixture.write(vm.uuid, 'disk', 'thawed');
    });

    check('with memory: internal, the same answer for the same operation, and back to what ran', async () => {
      await write('before');
      const first = await take('base', { description: 'the <first> & "only"' });
      expect(first).toMatchObject({
        name: 'base',
        isCurrent: true,
        kind: 'internal',
        hasMemory: true,
        state: 'running',
        consistency: 'application',
        description: 'the <first> & "only"',
        operation: 'op-base',
      });
      expect(first).not.toHaveProperty('parent');
      expect(Math.abs(Date.parse(first.createdAt) - fixture.clock.nowMs())).toBeLessThan(5000);
      expect(await take('base')).toEqual(first);
      await expectFault('conflict', take('base', { operation: 'another' }));
      expect(await stateOf()).toBe('running');
      await write('after');
      expect(await revert('base')).toMatchObject({ name: 'base', isCurrent: true });
      expect(await stateOf()).toBe('running');
      expect(await kept()).toEqual(['before', 'before']);
    });

    check('a list is a tree: each has its parent, one is current', async () => {
      await take('child');
      await revert('base');
      await take('sibling');
      const seen = await hypervisor.snapshots.list(vm.uuid, never);
      const lines = seen.map(({ isCurrent, name, parent }) => `${name} < ${parent ?? '-'}${isCurrent ? ' *' : ''}`);
      expect(lines[0]).toBe('base < -');
      expect(lines.toSorted()).toEqual(['base < -', 'child < base', 'sibling < base *']);
      await remove('child');
      await remove('child');
      await remove('sibling');
      expect(await names()).toEqual(['base']);
    });

    check(
      'paused for the taking alone it counts as running, and a revert lets it run; paused by hand it is paused again',
      async () => {
        await hypervisor.pause(vm.uuid, never);
        expect(await take('held', { resumes: true })).toMatchObject({ state: 'running' });
        expect(await take('still')).toMatchObject({ state: 'paused' });
        expect(await stateOf()).toBe('paused');
        await hypervisor.resume(vm.uuid, never);
        await revert('still');
        expect(await stateOf()).toBe('paused');
        await revert('held');
        expect(await stateOf()).toBe('running');
        await remove('still');
        await remove('held');
      },
    );

    check(
      'without memory of a VM that runs: external, frozen or not; of one that is off also internal; back as power says',
      async () => {
        await answers();
        await take('below');
        await write('on the disk');
        expect(await hypervisor.snapshots.freeze(vm.uuid, never)).toBe(true);
        const taken = await take('disk', { memory: false, frozen: true });
        await hypervisor.snapshots.thaw(vm.uuid, never);
        expect(taken).toMatchObject({ kind: 'external', hasMemory: false, consistency: 'filesystem', parent: 'below' });
        await write('later');
        expect(await take('crash', { memory: false })).toMatchObject({ consistency: 'crash', parent: 'disk' });
        await write('latest');
        expect(await revert('disk', 'stopped')).toMatchObject({ isCurrent: true });
        expect(await stateOf()).toBe('stopped');
        const off = { hasMemory: false, state: 'stopped', consistency: 'application' };
        expect(await take('inside')).toMatchObject({ kind: 'internal', parent: 'disk', ...off });
        expect(await take('outside', { kind: 'external' })).toMatchObject({ kind: 'external', ...off });
        await revert('outside');
        expect(await stateOf()).toBe('running');
        expect(await kept()).toEqual(['on the disk', '']);
        await expectFault('conflict', revert('inside', 'stopped'));
        // Nothing of the others is lost by it.
        await revert('crash');
        // Nothing lies over the file that it is in any more, but another has frozen it.
        await expectFault('conflict', revert('inside', 'stopped'));
        await remove('outside');
        await remove('inside');
        expect(await kept()).toEqual(['later', '']);
      },
    );

    check('an internal one below external ones is not gone back to, until those are deleted', async () => {
      await expectFault('conflict', revert('base'));
      await remove('below');
      expect(await names()).toEqual(['base', 'disk', 'crash']);
      expect(await kept()).toEqual(['later', '']);
      await remove('disk');
      await remove('crash');
      expect(await kept()).toEqual(['later', '']);
      expect(await names()).toEqual(['base']);
      await revert('base');
      expect(await kept()).toEqual(['before', 'before']);
    });

    check(
      'external with memory: back to what ran, as often as wanted, and it starts from its disk afterwards',
      async () => {
        await write('both');
        const taken = await take('both', { kind: 'external' });
        expect(taken).toMatchObject({
          kind: 'external',
          hasMemory: true,
          consistency: 'application',
          state: 'running',
        });
        await write('after');
        await revert('both', 'stopped', 'back');
        expect(await stateOf()).toBe('running');
        expect(await kept()).toEqual(['both', 'both']);
        await write('again');
        // Its answer was lost: the same once more is the end of the same way back, another is a new one.
        await revert('both', 'stopped', 'back');
        expect(await kept()).toEqual(['again', 'again']);
        await revert('both');
        expect(await kept()).toEqual(['both', 'both']);
        await fixture.write(vm.uuid, 'disk', 'kept');
        await remove('both');
        await hypervisor.destroy(vm.uuid, never);
        await hypervisor.start(vm.uuid, never);
        expect(await kept()).toEqual(['kept', '']);
      },
    );

    check('what is not possible is refused, and leaves everything as it was', async () => {
      const before = await names();
      await expectFault('refused', take('never', { kind: 'internal', memory: false }));
      expect(await names()).toEqual(before);
      expect(await stateOf()).toBe('running');
    });

    check('one that is undefined with its snapshots leaves none to the next of that uuid', async () => {
      await take('external', { kind: 'external' });
      expect((await names()).length).toBeGreaterThan(1);
      await hypervisor.destroy(vm.uuid, never);
      await hypervisor.undefine(vm.uuid, never);
      await hypervisor.deleteDisk(vm.name, never);
      expect(await hypervisor.listDisks(never)).not.toContain(vm.name);
      await expectFault('gone', hypervisor.snapshots.list(vm.uuid, never));
      await hypervisor.createDisk(vm, never);
      await hypervisor.define(vm, never);
      expect(await names()).toEqual([]);
    });
  });
}
