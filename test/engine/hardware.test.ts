// Stories of VMs that are changed while they exist: what is done at once, what needs a restart, what is refused, and what becomes of a
// change that a crash or a fault met in the middle. Not here: real guests (test/real/vm-hardware), HTTP (test/edge).

import { afterEach, describe, expect, it } from 'vitest';
import type { HypervisorCall } from '../../src/adapters/hypervisor/memory/memory-script.ts';
import type { CreateRequest } from '../../src/core/operation.ts';
import type { ResizeRequest } from '../../src/engine/hardware-view.ts';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const ALICE = { owner: 'alice' };
const GIB = 1024 ** 3;
const never = new AbortController().signal;
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function idOf(result: CommandResult<OperationStatus>): string {
  if (!result.ok) throw new Error(`refused: ${result.reason}`);
  return result.value.operation.id;
}

async function ended(operation: string, seconds = 600): Promise<OperationStatus['operation']> {
  for (let waited = 0; waited < seconds * 10; waited += 1) {
    const status = await rig.engine.operation(operation);
    if (status?.operation.endedAt !== undefined) return status.operation;
    await rig.run(0.1);
  }
  throw new Error(`operation ${operation} has not ended: ${JSON.stringify(await rig.engine.operation(operation))}`);
}

/** What a command answers, while the rig's time passes. */
async function answer<T>(command: Promise<T>, stepSeconds = 0.1): Promise<T> {
  let done = false;
  void command.finally(() => {
    done = true;
  });
  for (let waited = 0; !done && waited < 300; waited += 1) await rig.run(stepSeconds);
  return command;
}

const resize = (request: ResizeRequest, id = 1) => answer(rig.engine.hardware.resize(id, request, ALICE));
const resized = async (request: ResizeRequest) => ended(idOf(await resize(request)));

/** A VM named `vm` that is in service, with room above. */
async function world(request: Partial<CreateRequest> = {}): Promise<string> {
  rig = await new Rig().start();
  const created = await rig.engine.createVms(
    { name: 'vm', flavor: 'small', maxVcpus: 4, maxMemoryMiB: 512, spareNics: 1, ...request },
    ALICE,
  );
  await ended(idOf(created));
  await rig.run(5);
  const uuid = rig.engine.vm(1)?.record.uuid;
  if (uuid === undefined) throw new Error('no VM');
  return uuid;
}

const seen = async () => {
  const looked = await answer(rig.engine.hardware.look(1, never));
  if (!looked.ok) throw new Error(looked.reason);
  return looked.value;
};
const flavor = () => rig.engine.vm(1)?.record.flavor;
const bootedAt = () => rig.host().domains(rig.clock.nowMs())[0]?.startedAtMs;

describe('at once', () => {
  it('gives vCPUs, memory and disk inside the maximum, and the record follows', async () => {
    const uuid = await world();
    const before = bootedAt();
    const operation = await resized({ vcpus: 2, memoryMiB: 256, diskGiB: 3 });
    expect(operation).toMatchObject({ kind: 'vm.resize', state: 'succeeded', vms: [{ id: 1, outcome: 'done' }] });
    expect(await seen()).toMatchObject({
      now: { vcpus: 2, memoryMiB: 256 },
      next: { vcpus: 2, maxVcpus: 4, memoryMiB: 256, maxMemoryMiB: 512 },
      onlineVcpus: 2,
      diskBytes: 3 * GIB,
    });
    expect(rig.host().hardware.fileSystemBytes(uuid)).toBe(3 * GIB);
    expect(flavor()).toMatchObject({ name: 'small', vcpus: 2, memoryMiB: 256, diskGiB: 3, maxVcpus: 4 });
    expect(bootedAt()).toBe(before);
    expect(rig.events.find(({ type }) => type === 'vm.changed')).toMatchObject({ change: 'resize', vm: { id: 1 } });
    expect(operation.history.map(({ text }) => text)).toContain('its disk has 3 GiB');
    await rig.stop();
  });

  it('takes vCPUs out of use, and never unplugs one', async () => {
    await world();
    await resized({ vcpus: 3 });
    const operation = await resized({ vcpus: 1 });
    expect(operation.state).toBe('succeeded');
    expect(await seen()).toMatchObject({ now: { vcpus: 3 }, next: { vcpus: 1 }, onlineVcpus: 1 });
    expect(flavor()?.vcpus).toBe(1);
    await rig.stop();
  });

  it('adds a card where a slot is free, and takes it away', async () => {
    await world();
    const added = await ended(idOf(await answer(rig.engine.hardware.attachNic(1, {}, ALICE))));
    expect(added).toMatchObject({ kind: 'vm.attach-nic', state: 'succeeded' });
    const [, card] = (await seen()).nics;
    expect(card).toMatchObject({ kind: 'user', now: true, next: true, mac: expect.stringMatching(/^52:54:00:/) });
    const again = await answer(rig.engine.hardware.attachNic(1, {}, ALICE));
    expect(again).toMatchObject({ ok: false, refused: 'conflict', reason: expect.stringContaining('restart') });
    const removed = await answer(rig.engine.hardware.detachNic(1, card?.mac.toUpperCase() ?? '', {}, ALICE));
    expect(await ended(idOf(removed))).toMatchObject({ kind: 'vm.detach-nic', state: 'succeeded' });
    expect((await seen()).nics).toHaveLength(1);
    await rig.stop();
  });

  it('changes one that is stopped for its next start, and tells what is left to do in the guest', async () => {
    await world();
    idOf(await answer(rig.engine.power(1, 'stop', ALICE)));
    await rig.run(5);
    const operation = await resized({ vcpus: 8, memoryMiB: 1024, diskGiB: 2 });
    expect(operation.state).toBe('succeeded');
    expect(operation.history.map(({ text }) => text)).toContainEqual(
      expect.stringContaining('left to do in the guest'),
    );
    expect(await seen()).toMatchObject({ running: false, next: { vcpus: 8, memoryMiB: 1024 }, diskBytes: 2 * GIB });
    expect(flavor()).toMatchObject({ vcpus: 8, memoryMiB: 1024, diskGiB: 2 });
    expect(rig.running()).toEqual([]);
    await rig.stop();
  });
});

describe('with a restart', () => {
  it('says so before, and does it when it may', async () => {
    await world();
    const before = bootedAt();
    const refused = await resize({ memoryMiB: 2048 });
    expect(refused).toMatchObject({
      ok: false,
      refused: 'conflict',
      where: 'restart',
      reason: expect.stringMatching(/needs a restart: 2048 MiB are more than the 512 MiB .*restart: true/),
    });
    expect(flavor()?.memoryMiB).toBe(128);
    const operation = await resized({ memoryMiB: 2048, vcpus: 6, restart: true });
    expect(operation.state).toBe('succeeded');
    expect(await seen()).toMatchObject({ running: true, now: { vcpus: 6, memoryMiB: 2048 } });
    expect(bootedAt()).toBeGreaterThan(before ?? 0);
    expect(flavor()).toMatchObject({ vcpus: 6, memoryMiB: 2048 });
    expect(rig.engine.vm(1)).toMatchObject({ state: 'running', desired: 'running' });
    await rig.stop();
  });

  it('leaves a guest alone that does not shut down, undoes what was done, and pulls the plug only by force', async () => {
    await world();
    rig.host().trouble({ kind: 'ignores-shutdown', fromMs: 0 });
    const before = bootedAt();
    const failed = await resized({ memoryMiB: 2048, restart: true });
    expect(failed).toMatchObject({
      state: 'failed',
      failure: { detail: expect.stringContaining('has not shut down') },
    });
    expect(await seen()).toMatchObject({ running: true, next: { memoryMiB: 128, maxMemoryMiB: 512 } });
    expect(flavor()?.memoryMiB).toBe(128);
    expect(bootedAt()).toBe(before);
    expect((await resized({ memoryMiB: 2048, restart: true, force: true })).state).toBe('succeeded');
    expect(await seen()).toMatchObject({ running: true, now: { memoryMiB: 2048 } });
    await rig.stop();
  });

  it('is needed to take vCPUs from a guest without an agent', async () => {
    const uuid = await world();
    await resized({ vcpus: 2 });
    rig.host().hardware.agentless.add(uuid);
    expect(await resize({ vcpus: 1 })).toMatchObject({ ok: false, reason: expect.stringContaining('agent') });
    const more = await resized({ vcpus: 3 });
    expect(more.history.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/left to do in the guest: .*vCPUs/),
    );
    expect((await resized({ vcpus: 1, restart: true })).state).toBe('succeeded');
    expect(await seen()).toMatchObject({ now: { vcpus: 1 } });
    await rig.stop();
  });
});

describe('refused', () => {
  it('a VM of a group, which follows its policy', async () => {
    rig = await new Rig({ policies: [policyOf({ min: 1, max: 1 })] }).start();
    await rig.until('vm.launched');
    const id = rig.engine.vms()[0]?.record.id ?? 0;
    const refused = await resize({ vcpus: 2 }, id);
    expect(refused).toMatchObject({ ok: false, refused: 'conflict', reason: expect.stringMatching(/policy.*flavor/) });
    await rig.stop();
  });

  it('a disk made smaller, a card that is not there, the card it is reached by, a VM that is not there', async () => {
    await world({ flavor: { vcpus: 1, memoryMiB: 128, diskGiB: 4 } });
    expect(await resize({ diskGiB: 2 })).toMatchObject({
      ok: false,
      refused: 'conflict',
      reason: expect.stringContaining('never made smaller'),
    });
    const remove = (mac: string) => answer(rig.engine.hardware.detachNic(1, mac, {}, ALICE));
    expect(await remove('52:54:00:99:99:99')).toMatchObject({ ok: false, refused: 'not-found' });
    expect(await remove('nonsense')).toMatchObject({ ok: false, refused: 'invalid' });
    const [first] = (await seen()).nics;
    expect(await remove(first?.mac ?? '')).toMatchObject({ ok: false, reason: expect.stringContaining('reached by') });
    expect(await resize({ vcpus: 2 }, 99)).toMatchObject({ ok: false, refused: 'not-found' });
    await rig.stop();
  });

  it('more than the host or the owner has, also by several at once', async () => {
    await world({ maxMemoryMiB: 16_000, count: 2 });
    const tooMuch = await resize({ memoryMiB: 32_000, restart: true });
    expect(tooMuch).toMatchObject({ ok: false, refused: 'no-capacity', hosts: [{ name: 'h1', chosen: false }] });
    // Each alone would fit.
    const both = await answer(
      Promise.all([1, 2].map((id) => rig.engine.hardware.resize(id, { memoryMiB: 10_000 }, ALICE))),
    );
    expect(both.map(({ ok }) => ok).toSorted()).toEqual([false, true]);
    await rig.run(5);
    rig.settings = { ...rig.settings, quota: { vcpus: 3 } };
    await rig.engine.configure(rig.settings);
    expect(await resize({ vcpus: 3 })).toMatchObject({
      ok: false,
      refused: 'conflict',
      reason: expect.stringContaining('quota'),
    });
    expect((await resize({ vcpus: 2 })).ok).toBe(true);
    await rig.run(5);
    await rig.stop();
  });

  it('while something else is under way, and of a host that does not answer', async () => {
    await world();
    rig.host().trouble({ kind: 'ignores-shutdown', fromMs: 0 });
    const first = await answer(rig.engine.power(1, 'shutdown', ALICE));
    expect(await resize({ vcpus: 2 })).toMatchObject({
      ok: false,
      refused: 'conflict',
      reason: expect.stringContaining('under way'),
    });
    await ended(idOf(first));
    rig.host().trouble({ kind: 'unreachable', fromMs: 0 });
    expect(await resize({ vcpus: 2 })).toMatchObject({ ok: false, refused: 'unreachable' });
    rig.host().heal(rig.clock.nowMs());
    await rig.stop();
  });
});

describe('what goes wrong in the middle', () => {
  it('ends with what is true: a disk that has grown stays, the memory is as it was', async () => {
    const uuid = await world();
    rig.host().hardware.stuckBalloons.add(uuid);
    const operation = await resized({ diskGiB: 5, memoryMiB: 256, vcpus: 2 });
    expect(operation).toMatchObject({ state: 'failed', failure: { detail: expect.stringContaining('balloon') } });
    expect(await seen()).toMatchObject({
      diskBytes: 5 * GIB,
      next: { memoryMiB: 128, vcpus: 1 },
      now: { memoryMiB: 128 },
    });
    expect(flavor()).toMatchObject({ vcpus: 1, memoryMiB: 128, diskGiB: 5 });
    await rig.stop();
  });

  it.each(['growDisk', 'growFileSystem', 'redefine', 'setMemory', 'setVcpus', 'shutdown', 'start'] as const)(
    'a %s whose answer is lost is found to be done, or done again',
    async (call) => {
      await world();
      for (const effect of ['before', 'after'] as const) {
        rig
          .host()
          .trouble({ kind: 'fail-call', call, fault: 'timed-out', effect, times: 1, fromMs: rig.clock.nowMs() });
      }
      const wish = { vcpus: 3, memoryMiB: 300, diskGiB: 2 };
      const restarts = call === 'shutdown' || call === 'start';
      const operation = await resized(restarts ? { ...wish, memoryMiB: 900, restart: true } : wish);
      expect(operation.state).toBe('succeeded');
      expect(await seen()).toMatchObject({ now: { vcpus: 3, memoryMiB: restarts ? 900 : 300 }, diskBytes: 2 * GIB });
      await rig.stop();
    },
  );

  const CALLS: readonly HypervisorCall[] = ['look', 'growDisk', 'growFileSystem', 'redefine', 'shutdown', 'start'];
  it.each(CALLS)(
    'a daemon that dies at a %s goes on after its restart, and the VM runs with all it was to have',
    async (call) => {
      await world();
      const command = rig.engine.hardware.resize(1, { vcpus: 3, memoryMiB: 900, diskGiB: 2, restart: true }, ALICE);
      const id = idOf(await answer(command, 0.001));
      // Done, and not told: the daemon would ask again after a second.
      const lost = { kind: 'fail-call', call, fault: 'busy', effect: 'after', times: 1 } as const;
      rig.host().trouble({ ...lost, fromMs: rig.clock.nowMs() });
      const atTheEnd = call === 'start' ? 1.2 : 0.3;
      await rig.run(atTheEnd);
      expect((await rig.engine.operation(id))?.operation.state).toBe('running');
      rig.kill();
      await rig.run(2);
      await rig.start();
      expect(await ended(id)).toMatchObject({ state: 'succeeded' });
      expect(await seen()).toMatchObject({ running: true, now: { vcpus: 3, memoryMiB: 900 }, diskBytes: 2 * GIB });
      expect(flavor()).toMatchObject({ vcpus: 3, memoryMiB: 900, diskGiB: 2 });
      await rig.stop();
    },
  );

  it('a daemon that dies at any instant leaves nothing half done', async () => {
    const moments = new Set<string>();
    for (let ms = 1; ms < 1000; ms = Math.ceil(ms * 1.2)) {
      await world();
      const command = rig.engine.hardware.resize(1, { vcpus: 6, memoryMiB: 900, diskGiB: 2, restart: true }, ALICE);
      const id = idOf(await answer(command, 0.001));
      await rig.run(ms / 1000);
      moments.add((await rig.engine.operation(id))?.operation.history.at(-1)?.text ?? '');
      rig.kill();
      await rig.run(1);
      await rig.start();
      const operation = await rig.engine.operation(id);
      if (operation?.operation.endedAt === undefined) await ended(id);
      expect((await rig.engine.operation(id))?.operation.state).toBe('succeeded');
      expect(await seen()).toMatchObject({ running: true, now: { vcpus: 6, memoryMiB: 900 }, diskBytes: 2 * GIB });
      expect(flavor()).toMatchObject({ vcpus: 6, memoryMiB: 900, diskGiB: 2 });
      expect(rig.violations()).toEqual([]);
      await rig.stop();
    }
    expect([...moments].length).toBeGreaterThan(5);
  });

  it('a daemon that dies while it undoes goes on undoing', async () => {
    await world();
    rig.host().trouble({ kind: 'ignores-shutdown', fromMs: 0 });
    const id = idOf(await resize({ memoryMiB: 2048, restart: true }));
    await rig.run(119);
    rig.host().trouble({ kind: 'hang', fromMs: rig.clock.nowMs(), untilMs: rig.clock.nowMs() + 4000 });
    await rig.run(3);
    rig.kill();
    await rig.run(5);
    await rig.start();
    expect(await ended(id)).toMatchObject({ state: 'failed' });
    expect(await seen()).toMatchObject({ running: true, next: { memoryMiB: 128 }, now: { memoryMiB: 128 } });
    expect(flavor()?.memoryMiB).toBe(128);
    await rig.stop();
  });

  it('is not forgotten with the database: what the VM has is seen on its domain', async () => {
    await world();
    await resized({ vcpus: 2, memoryMiB: 256 });
    rig.kill();
    rig.store = rig.freshStore();
    await rig.start();
    await rig.run(5);
    expect(rig.engine.vms().map(({ record }) => record.flavor)).toMatchObject([
      { name: 'small', vcpus: 2, memoryMiB: 256 },
    ]);
    await rig.stop();
  });

  it('is ended by the deletion of the VM', async () => {
    await world();
    rig.host().trouble({ kind: 'ignores-shutdown', fromMs: 0 });
    const id = idOf(await resize({ memoryMiB: 2048, restart: true }));
    await rig.run(5);
    const deleted = idOf(await answer(rig.engine.deleteVm(1, ALICE)));
    expect(await ended(id)).toMatchObject({ state: 'cancelled' });
    expect(await ended(deleted)).toMatchObject({ state: 'succeeded' });
    expect(rig.running()).toEqual([]);
    await rig.stop();
  });

  it('is answered once for each key', async () => {
    await world();
    const caller = { owner: 'alice', key: 'k1', fingerprint: 'f1' };
    const first = await answer(rig.engine.hardware.resize(1, { vcpus: 2 }, caller));
    await ended(idOf(first));
    const again = await answer(rig.engine.hardware.resize(1, { vcpus: 2 }, caller));
    expect(idOf(again)).toBe(idOf(first));
    await rig.stop();
  });
});
