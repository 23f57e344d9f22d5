// Users in the real engine: names, what is whose, quotas under requests at once, handing over. Not here: HTTP, passwords (test/edge).

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommandResult } from '../../src/engine/view.ts';
import { Rig } from './rig.ts';

const KEEP = { keepAdmin: true };
const ALICE = { owner: 'alice' };
const VM = { flavor: 'small' };
let rig: Rig;

beforeEach(async () => {
  rig = await new Rig({ settings: { users: { signUp: true, quota: { vms: 3 } } } }).start();
  await rig.run(2);
});

afterEach(async () => {
  expect(rig.violations()).toEqual([]);
  expect(rig.bugs).toEqual([]);
  await rig.stop();
});

async function add(name: string, role: 'user' | 'admin' = 'user') {
  return rig.engine.users.add({ name, role, password: 'hash' }, KEEP);
}

async function refusal(work: Promise<CommandResult<unknown>>) {
  const result = await work;
  if (result.ok) throw new Error('it was not refused');
  return result;
}

async function people(...names: readonly string[]): Promise<void> {
  expect((await add('root', 'admin')).ok).toBe(true);
  for (const name of names) expect((await add(name)).ok).toBe(true);
}

/** A VM that runs. */
async function vmOf(owner: string, name: string): Promise<number> {
  const asked = await rig.engine.createVms({ ...VM, name }, { owner });
  if (!asked.ok) throw new Error(asked.reason);
  await rig.run(30);
  const vm = rig.engine.vms().find(({ record }) => record.name === name);
  if (vm?.record.phase !== 'in-service') throw new Error(`${name} does not run`);
  return vm.record.id;
}

describe('a user', () => {
  it('is kept over a restart, with the quota that new users get', async () => {
    await people('alice');
    rig.kill();
    await rig.start();
    expect(rig.engine.users.find('alice')).toMatchObject({
      user: { role: 'user' },
      quota: { vms: 3 },
      used: { vms: 0 },
    });
    expect(rig.engine.users.passwordOf('alice')).toBe('hash');
    expect(rig.engine.users.all.map(({ user }) => user.name)).toEqual(['alice', 'root']);
  });

  it('is never shown with his password’s hash', async () => {
    await people('alice');
    expect(JSON.stringify(rig.engine.users.all)).not.toContain('hash');
  });

  it.each(['Alice', 'a b', '', '-a', 'a'.repeat(33), 'anonymous', 'policy', 'unknown'])(
    'is not called %j',
    async (name) => {
      await people();
      expect((await refusal(add(name))).refused).toBe('invalid');
    },
  );

  it('must be an admin when he is the first, where nobody else could make another one', async () => {
    expect((await refusal(add('alice'))).reason).toContain('admin');
    expect((await rig.engine.users.add({ name: 'alice', role: 'user', password: '' }, { keepAdmin: false })).ok).toBe(
      true,
    );
  });

  it('is not given a name under which there is, or was, somebody or something', async () => {
    await people('alice');
    await vmOf('ci', 'a');
    await rig.engine.tokens.add({ name: 'deploy', scope: 'read', sha256: 'aa' });
    await rig.engine.users.remove('alice', KEEP);
    for (const name of ['alice', 'ci', 'deploy', 'root'])
      expect((await refusal(add(name))).refused, name).toBe('conflict');
    expect((await refusal(rig.engine.tokens.add({ name: 'alice', scope: 'read', sha256: 'bb' }))).refused).toBe(
      'conflict',
    );
    // Also when all that is left of it is an operation that ended.
    await rig.engine.deleteVm(1, { owner: 'ci' });
    await rig.run(30);
    expect(rig.engine.vms()).toEqual([]);
    expect((await refusal(add('ci'))).refused).toBe('conflict');
  });

  it('stays while he is the last admin', async () => {
    await people('alice');
    const { users } = rig.engine;
    expect((await refusal(users.remove('root', KEEP))).reason).toContain('last admin');
    expect((await refusal(users.change('root', { role: 'user' }, KEEP))).reason).toContain('last admin');
    expect((await refusal(users.change('root', { disabled: 'x' }, KEEP))).reason).toContain('last admin');
    await rig.engine.tokens.add({ name: 'ops', scope: 'admin', sha256: 'aa' });
    expect((await users.remove('root', KEEP)).ok).toBe(true);
  });
});

describe('what he may have', () => {
  it('counts requests that come at once together', async () => {
    await people('alice');
    const asked = await Promise.all(
      Array.from({ length: 8 }, (_, n) => rig.engine.createVms({ ...VM, name: `vm${n}` }, ALICE)),
    );
    expect(asked.filter(({ ok }) => ok)).toHaveLength(3);
    const [refused] = asked.filter(({ ok }) => !ok);
    expect(refused).toMatchObject({
      refused: 'conflict',
      reason: 'over the quota of 3 VMs: 3 in use, 1 more asked for',
    });
    await rig.run(60);
    expect(rig.running()).toHaveLength(3);
    expect(rig.engine.users.find('alice')?.used).toMatchObject({ vms: 3, vcpus: 3, memoryMiB: 384 });
  });

  it('is his own, whatever others have, and can be changed', async () => {
    await people('alice', 'bob');
    await vmOf('bob', 'b');
    const { users } = rig.engine;
    await users.change('alice', { quota: { vms: 1, memoryMiB: 256 } }, KEEP);
    expect((await rig.engine.createVms({ ...VM, name: 'a', count: 2 }, ALICE)).ok).toBe(false);
    await users.change('alice', { quota: { vms: null } }, KEEP);
    expect(users.find('alice')?.quota).toEqual({ memoryMiB: 256 });
    expect((await rig.engine.createVms({ ...VM, name: 'a', count: 2 }, ALICE)).ok).toBe(true);
    expect((await refusal(rig.engine.createVms({ ...VM, name: 'c' }, ALICE))).reason).toContain('256 MiB of memory');
  });

  it('begins nothing any more once he is disabled, though the request was let in before', async () => {
    await people('alice');
    await rig.engine.users.change('alice', { disabled: 'left' }, KEEP);
    expect((await refusal(rig.engine.createVms({ ...VM, name: 'a' }, ALICE))).reason).toBe('user alice is disabled');
  });
});

describe('images', () => {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(2048);
  }
  const upload = (name: string, owner: string) =>
    rig.engine.uploadImage(name, bytes(), { format: 'raw', signal: new AbortController().signal }, { owner });

  it('that a user brings are his; others cannot make VMs of them, nor learn their names', async () => {
    await people('alice', 'bob');
    expect((await upload('mine', 'alice')).ok).toBe(true);
    expect((await upload('shared', 'root')).ok).toBe(true);
    expect(rig.engine.image('mine')?.owner).toBe('alice');
    expect(rig.engine.image('shared')?.owner).toBeUndefined();
    const asked = (image: string, owner: string) =>
      refusal(rig.engine.createVms({ ...VM, name: 'x', image }, { owner }));
    const [other, none] = [await asked('mine', 'bob'), await asked('none', 'bob')];
    expect(other.reason.replace('mine', 'none')).toBe(none.reason);
    expect(other.reason).toContain('shared');
    expect((await rig.engine.createVms({ ...VM, name: 'x', image: 'mine' }, ALICE)).ok).toBe(true);
    await rig.run(30);
    expect(rig.events.filter((event) => event.type === 'image.added')).toMatchObject([
      { owner: 'alice' },
      { image: 'shared' },
    ]);
  });
});

describe('removing a user', () => {
  it('who has VMs or images is refused, unless another one gets them', async () => {
    await people('alice', 'bob');
    const id = await vmOf('alice', 'a');
    const { users } = rig.engine;
    expect((await refusal(users.remove('alice', KEEP))).reason).toContain('?to=NAME');
    expect((await refusal(users.remove('alice', { ...KEEP, to: 'nobody' }))).refused).toBe('invalid');
    expect((await refusal(users.remove('alice', { ...KEEP, to: 'alice' }))).refused).toBe('invalid');
    expect((await users.remove('alice', { ...KEEP, to: 'bob' })).ok).toBe(true);
    expect(rig.engine.vm(id)?.record.owner).toBe('bob');
    expect(rig.engine.users.find('bob')?.used.vms).toBe(1);
    await rig.run(5);
    expect(rig.running()).toEqual(['a']);
  });

  it('waits for what is under way', async () => {
    await people('alice', 'bob');
    await rig.engine.createVms({ ...VM, name: 'a' }, ALICE);
    expect((await refusal(rig.engine.users.remove('alice', { ...KEEP, to: 'bob' }))).reason).toContain('under way');
  });

  it('ends his tokens with him, and nobody else’s', async () => {
    await people('alice', 'bob');
    for (const user of ['alice', 'bob']) {
      await rig.engine.tokens.add({ name: 't', scope: 'read', sha256: `of ${user}`, user });
    }
    await rig.engine.users.remove('alice', KEEP);
    expect(rig.engine.tokens.all.map(({ name }) => name)).toEqual(['bob/t']);
    expect(rig.engine.tokens.find('of alice')).toBeUndefined();
    expect(rig.engine.tokens.find('of bob')).toBeDefined();
    expect(
      (await refusal(rig.engine.tokens.add({ name: 't', scope: 'read', sha256: 'x', user: 'alice' }))).refused,
    ).toBe('not-found');
  });
});

describe('sign-ins', () => {
  it('are twenty at a time: a new one takes the place of the oldest; a new password ends them', async () => {
    await people('alice');
    await rig.engine.tokens.add({ name: 'ci', scope: 'read', sha256: 'ci', user: 'alice' });
    for (let n = 0; n < 25; n += 1) {
      await rig.run(1);
      await rig.engine.tokens.add({ name: `s${n}`, scope: 'read', sha256: `s${n}`, user: 'alice', signIn: true });
    }
    expect(rig.engine.tokens.all).toHaveLength(21);
    expect(rig.engine.tokens.find('s4')).toBeUndefined();
    expect(rig.engine.tokens.find('s5')).toBeDefined();
    await rig.engine.users.change('alice', { password: 'other', keepToken: 'alice/s24' }, KEEP);
    expect(rig.engine.tokens.all.map(({ name }) => name).toSorted()).toEqual(['alice/ci', 'alice/s24']);
  });
});
