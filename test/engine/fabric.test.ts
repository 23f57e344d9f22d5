// Stories of the fabric: VMs that people ask for, over several simulated hosts. Not here: groups (engine.test), HTTP (test/edge).

import { afterEach, describe, expect, it } from 'vitest';
import type { CreateRequest, OperationState } from '../../src/core/operation.ts';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { Fault } from '../../src/ports/fault.ts';
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

async function create(request: Partial<CreateRequest> & { name: string }): Promise<string> {
  return id(await rig.engine.createVms({ flavor: 'small', ...request }, ALICE));
}

/** Lets time pass until the operation has ended (or `seconds` are over) and says how it stands. */
async function ended(operation: string, seconds = 120): Promise<OperationStatus['operation']> {
  for (let waited = 0; waited < seconds * 10; waited += 1) {
    const status = await rig.engine.operation(operation);
    if (status?.operation.endedAt !== undefined) return status.operation;
    await rig.run(0.1);
  }
  throw new Error(`operation ${operation} has not ended: ${JSON.stringify(await rig.engine.operation(operation))}`);
}

describe('creating VMs', () => {
  it('takes a request through its four steps and reports each', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2', 'h3'] }).start();
    const operation = await ended(await create({ name: 'test_vm' }));
    expect(operation).toMatchObject({
      state: 'succeeded',
      owner: 'alice',
      vms: [{ id: 1, name: 'test_vm', outcome: 'done' }],
    });
    expect(operation.history.map(({ text }) => text)).toEqual([
      'verified',
      'queued',
      'placed by least-loaded: test_vm on host h1',
      'being carried out',
      'test_vm runs on host h1',
      'succeeded',
    ]);
    expect(rig.running()).toEqual(['test_vm']);
    expect(rig.engine.vm(1)).toMatchObject({ state: 'running', desired: 'running', record: { kind: 'blank' } });
    expect(rig.events.filter(({ type }) => type === 'operation.changed')).toHaveLength(3);
    await rig.stop();
  });

  it('spreads a hundred creates at once over the hosts and never overbooks one', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2', 'h3'] }).start();
    await rig.run(2);
    const { memoryMiB = 0 } = rig.engine.host('h1')?.capacity ?? {};
    const fit = Math.floor(memoryMiB / 1024);
    const asked = await Promise.all(
      Array.from({ length: 100 }, (_, index) => create({ name: `vm${index}`, flavor: 'large' })),
    );
    const operations: Awaited<ReturnType<typeof ended>>[] = [];
    for (const one of asked) operations.push(await ended(one, 600));
    const failed = operations.filter(({ state }) => state === 'failed');
    for (const host of ['h1', 'h2', 'h3']) {
      const vms = rig.engine.vms().filter(({ record }) => record.host === host);
      expect(vms.length).toBeLessThanOrEqual(fit);
      expect(vms.length).toBeGreaterThan(0);
    }
    expect(failed.length + rig.running().length).toBe(100);
    for (const { failure } of failed) expect(failure).toMatchObject({ type: 'no-capacity', hosts: { length: 3 } });
    await rig.stop();
  });

  it('makes all of several or none, when asked', async () => {
    rig = await new Rig().start();
    await rig.run(2);
    const none = await ended(await create({ name: 'all', flavor: 'large', count: 400, allOrNothing: true }));
    expect(none).toMatchObject({ state: 'failed', failure: { type: 'no-capacity' }, vms: [] });
    expect(rig.engine.vms()).toEqual([]);
    const all = await ended(await create({ name: 'few', count: 3, allOrNothing: true }));
    expect(all.state).toBe('succeeded');
    expect(rig.running()).toEqual(['few-1', 'few-2', 'few-3']);
    await rig.stop();
  });

  it('undoes the others of an all-or-nothing request when one fails', async () => {
    rig = await new Rig().start();
    rig.host().strangerDefines({ uuid: 'a0000000-0000-4000-8000-000000000001', name: 'crew-2' });
    await rig.run(2);
    const operation = await create({ name: 'crew', count: 3, allOrNothing: true }).catch(String);
    // The name is known already: refused before anything is made.
    expect(operation).toContain('crew-2');
    await rig.run(1);
    rig.host().strangerRemoves('a0000000-0000-4000-8000-000000000001');
    await rig.run(3);
    const asked = await create({ name: 'crew', count: 3, allOrNothing: true });
    rig.host().trouble({ kind: 'fail-call', call: 'define', fault: 'conflict', effect: 'before', times: 1, fromMs: 0 });
    const ending = await ended(asked);
    expect(ending.state).toBe('failed');
    expect(ending.vms.map(({ outcome }) => outcome).toSorted()).toEqual(['cancelled', 'cancelled', 'failed']);
    await rig.run(10);
    expect(rig.engine.vms()).toEqual([]);
    expect(rig.running()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });

  it.each([
    [{ name: '../etc/passwd' }, 'invalid', 'name'],
    [{ name: '<name/>' }, 'invalid', 'name'],
    [{ name: 'a'.repeat(64) }, 'invalid', 'name'],
    [{ name: 'vm', flavor: 'nano' }, 'invalid', 'flavor'],
    [{ name: 'vm', image: 'nothing' }, 'invalid', 'image'],
    [{ name: 'vm', count: 0 }, 'invalid', 'count'],
    [{ name: 'vm', count: 1.5 }, 'invalid', 'count'],
    [{ name: 'vm', flavor: 'giant' }, 'no-capacity', 'flavor'],
    [{ name: 'vm', placement: { algorithm: 'magic' } }, 'invalid', 'placement.algorithm'],
    [{ name: 'vm', placement: { host: 'h9' } }, 'invalid', 'placement.host'],
    [{ name: 'vm', sshKeys: ['command="x" ssh-rsa AAAA'] }, 'invalid', 'sshKeys.0'],
    [{ name: 'vm', userData: 'rm -rf /' }, 'invalid', 'userData'],
  ] as const)('refuses %j before it becomes an operation', async (request, refused, where) => {
    rig = await new Rig().start();
    await rig.run(2);
    const result = await rig.engine.createVms({ flavor: 'small', ...request }, ALICE);
    expect(result).toMatchObject({ ok: false, refused, where });
    expect(await rig.engine.operations({ limit: 10 })).toEqual([]);
    await rig.stop();
  });

  it('holds an owner to the quota', async () => {
    rig = await new Rig({ settings: { quota: { vms: 2 } } }).start();
    await create({ name: 'one' });
    expect(await rig.engine.createVms({ name: 'more', flavor: 'small', count: 2 }, ALICE)).toMatchObject({
      refused: 'conflict',
      reason: expect.stringContaining('quota'),
    });
    expect((await rig.engine.createVms({ name: 'more', flavor: 'small', count: 2 }, { owner: 'bob' })).ok).toBe(true);
    await rig.run(20);
    await rig.stop();
  });

  it('answers a repeated key with the operation it first brought, also after a restart, and refuses another request', async () => {
    rig = await new Rig().start();
    const caller = { ...ALICE, key: 'k1', fingerprint: 'f1' };
    const first = id(await rig.engine.createVms({ name: 'once', flavor: 'small' }, caller));
    expect(id(await rig.engine.createVms({ name: 'once', flavor: 'small' }, caller))).toBe(first);
    await ended(first);
    rig.kill();
    await rig.start();
    expect(id(await rig.engine.createVms({ name: 'once', flavor: 'small' }, caller))).toBe(first);
    expect(
      await rig.engine.createVms({ name: 'once', flavor: 'small' }, { ...caller, fingerprint: 'f2' }),
    ).toMatchObject({
      refused: 'key-reused',
    });
    expect(rig.running()).toEqual(['once']);
    await rig.stop();
  });

  it.each([0.01, 0.05, 0.1, 0.2, 0.5, 1, 2])(
    'a daemon killed %d s into a creation makes each VM once, and reports the end',
    async (seconds) => {
      rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
      await rig.run(2);
      const asked = await create({ name: 'vm', count: 4 });
      await rig.run(seconds);
      rig.kill();
      await rig.run(1);
      await rig.start();
      expect((await ended(asked)).state).toBe('succeeded');
      expect(rig.running()).toEqual(['vm-1', 'vm-2', 'vm-3', 'vm-4']);
      expect(rig.disks()).toEqual(['vm-1', 'vm-2', 'vm-3', 'vm-4']);
      await rig.stop();
    },
  );

  it.each([0, 0.02, 0.1, 0.3, 1, 2])('a creation cancelled after %d s leaves nothing behind', async (seconds) => {
    rig = await new Rig().start();
    await rig.run(2);
    const asked = await create({ name: 'vm', count: 3, allOrNothing: true });
    if (seconds > 0) await rig.run(seconds);
    const result = await rig.engine.cancel(asked);
    if (!result.ok) {
      expect(result.refused).toBe('conflict');
      expect((await ended(asked)).state).toBe('succeeded');
    } else {
      expect((await ended(asked)).state).toBe('cancelled');
      await rig.run(5);
      expect(rig.engine.vms()).toEqual([]);
      expect(rig.running()).toEqual([]);
      expect(rig.disks()).toEqual([]);
    }
    await rig.stop();
  });

  it('takes no cordoned host, and none at all when all are', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    await rig.engine.cordon('h1', 'maintenance', ALICE);
    const operation = await ended(await create({ name: 'vm', count: 4 }));
    expect(operation.vms.map(({ host }) => host)).toEqual(['h2', 'h2', 'h2', 'h2']);
    await rig.engine.cordon('h2', 'maintenance', ALICE);
    const refused = await ended(await create({ name: 'other' }));
    expect(refused.failure?.hosts?.map(({ text }) => text)).toEqual(['cordoned: maintenance', 'cordoned: maintenance']);
    rig.kill();
    await rig.start();
    expect(rig.engine.host('h1')?.traits.cordoned).toBe('maintenance');
    await rig.engine.uncordon('h1', ALICE);
    expect((await ended(await create({ name: 'third' }))).vms).toMatchObject([{ host: 'h1' }]);
    await rig.stop();
  });
});

describe('images', () => {
  const bytes = Buffer.alloc(8192, 7);

  it('imports one, waits for it, brings it to each host once, and removes it when nothing needs it', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    rig.images.sources.set('http://images/debian', bytes);
    const source = { kind: 'url', url: 'http://images/debian' } as const;
    const imported = id(await rig.engine.importImage('debian', source, {}, ALICE));
    const asked = await create({ name: 'vm', count: 4, image: 'debian' });
    expect((await ended(imported)).state).toBe('succeeded');
    expect((await ended(asked)).state).toBe('succeeded');
    expect(rig.engine.image('debian')).toMatchObject({ id: 1, hosts: ['h1', 'h2'], vms: 4, state: 'ready' });
    expect(rig.events.filter(({ type }) => type === 'image.placed')).toHaveLength(2);

    expect(await rig.engine.deleteImage('debian')).toMatchObject({ refused: 'conflict' });
    for (const vm of [1, 2, 3, 4]) {
      expect((await ended(id(await rig.engine.deleteVm(vm, ALICE)))).state).toBe('succeeded');
    }
    expect(await rig.engine.deleteImage('debian')).toMatchObject({ ok: true });
    await rig.run(130);
    expect(rig.events.filter(({ type }) => type === 'image.unplaced')).toHaveLength(2);
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });

  it('tells each guest of one its name, and what else was asked, through cloud-init; none where the kernel is given', async () => {
    rig = await new Rig().start();
    rig.images.sources.set('/images/stock', bytes);
    await ended(id(await rig.engine.importImage('stock', { kind: 'path', path: '/images/stock' }, {}, ALICE)));
    await ended(await create({ name: 'plain_1', image: 'stock' }));
    const userData = '#cloud-config\nruncmd: [true]\n';
    await ended(await create({ name: 'told', image: 'stock', userData }));
    await ended(await create({ name: 'blank' }));
    expect(rig.engine.vms().map(({ record }) => record.cloudInit)).toEqual([
      { hostname: 'plain-1', sshKeys: [] },
      { hostname: 'told', sshKeys: [], userData },
      undefined,
    ]);
    const source = policyOf({}).source;
    if (source.kind !== 'template') throw new Error('a policy without a template');
    const image = rig.engine.readyImages.find(({ name }) => name === 'stock');
    if (image === undefined) throw new Error('no image');
    const setup = { sshKeys: [], userData };
    const policy = policyOf({ min: 1, source: { ...source, template: { ...source.template, image, setup } } });
    await rig.engine.setPolicy({ policy, file: 'web.yaml' });
    await rig.until('vm.launched');
    const web = rig.engine.vms().find(({ record }) => record.group === 'web');
    expect(web?.record.cloudInit).toEqual({ hostname: web?.record.name, ...setup });
    await rig.stop();
  });

  it('fails what waits for an image that cannot be had', async () => {
    rig = await new Rig().start();
    rig.images.sources.set('http://images/gone', new Fault('unreachable', 'no route to images'));
    await rig.run(2);
    const source = { kind: 'url', url: 'http://images/gone' } as const;
    const imported = id(await rig.engine.importImage('gone', source, {}, ALICE));
    expect((await ended(imported)).failure?.detail).toContain('no route to images');
    expect(rig.engine.image('gone')).toBeUndefined();
    await rig.stop();
  });

  it('takes an upload, and keeps nothing of a broken one', async () => {
    rig = await new Rig().start();
    const signal = new AbortController().signal;
    async function* pieces(all: Buffer) {
      yield all.subarray(0, 100);
      yield all.subarray(100);
    }
    expect(await rig.engine.uploadImage('good', pieces(bytes), { signal }, ALICE)).toMatchObject({
      ok: true,
      value: { name: 'good', state: 'ready' },
    });
    const bad = await rig.engine.uploadImage('bad', pieces(Buffer.alloc(200, 0xff)), { signal }, ALICE);
    expect(bad).toMatchObject({ ok: false, reason: expect.stringContaining('broken') });
    expect(rig.engine.images().map(({ name }) => name)).toEqual(['good']);
    await rig.stop();
  });
});

describe('the life of a VM', () => {
  async function made(): Promise<void> {
    rig = await new Rig().start();
    await ended(await create({ name: 'vm' }));
  }
  async function power(verb: Parameters<typeof rig.engine.power>[1], options = {}): Promise<OperationState> {
    return (await ended(id(await rig.engine.power(1, verb, ALICE, options)), 400)).state;
  }

  it('is paused, resumed, rebooted, reset, shut down, started and stopped', async () => {
    await made();
    for (const [verb, state] of [
      ['pause', 'paused'],
      ['resume', 'running'],
      ['reboot', 'running'],
      ['reset', 'running'],
      ['shutdown', 'stopped'],
      ['start', 'running'],
      ['stop', 'stopped'],
    ] as const) {
      expect([verb, await power(verb)]).toEqual([verb, 'succeeded']);
      await rig.run(3);
      expect([verb, rig.engine.vm(1)?.state]).toEqual([verb, state]);
      expect(rig.engine.vm(1)?.difference).toBeUndefined();
    }
    await rig.stop();
  });

  it('says why a VM is not what it should be, and leaves it so', async () => {
    await made();
    const uuid = rig.engine.vm(1)?.record.uuid ?? '';
    rig.host().strangerRemoves(uuid);
    await rig.run(5);
    expect(rig.engine.vm(1)).toMatchObject({
      state: 'absent',
      desired: 'running',
      difference: expect.stringContaining('gone'),
    });
    expect((await ended(id(await rig.engine.deleteVm(1, ALICE)))).state).toBe('succeeded');
    expect(rig.engine.vm(1)).toBeUndefined();
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });

  it('is deleted with its disk, and its id never comes back', async () => {
    await made();
    expect((await ended(id(await rig.engine.deleteVm(1, ALICE)))).state).toBe('succeeded');
    expect(rig.running()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    expect((await ended(await create({ name: 'vm' }))).vms).toMatchObject([{ id: 2 }]);
    await rig.stop();
  });

  it('belongs to its group, when it has one: only deleting is possible, and the group replaces it', async () => {
    rig = await new Rig({ policies: [policyOf({ min: 1 })] }).start();
    await rig.until('vm.launched');
    expect(await rig.engine.power(1, 'stop', ALICE)).toMatchObject({ refused: 'conflict' });
    expect((await ended(id(await rig.engine.deleteVm(1, ALICE)))).state).toBe('succeeded');
    await rig.run(20);
    expect(rig.running()).toEqual(['web-2']);
    await rig.stop();
  });

  it('of somebody else is adopted, survives a lost database as such, and is let go unharmed', async () => {
    rig = await new Rig().start();
    const uuid = 'a0000000-0000-4000-8000-000000000001';
    rig.host().strangerDefines({ uuid, name: 'theirs' });
    await rig.run(2);
    expect((await ended(id(await rig.engine.adopt('h1', 'theirs', ALICE)))).state).toBe('succeeded');
    expect(rig.engine.vm(1)).toMatchObject({ state: 'stopped', desired: 'stopped', record: { kind: 'adopted' } });
    expect(await rig.engine.adopt('h1', 'theirs', ALICE)).toMatchObject({ refused: 'conflict' });

    rig.kill();
    rig.store = rig.freshStore();
    await rig.start();
    await rig.until('vm.adopted');
    expect(rig.engine.vm(1)).toMatchObject({ record: { kind: 'adopted', name: 'theirs' } });
    expect((await ended(id(await rig.engine.deleteVm(1, ALICE)))).state).toBe('succeeded');
    await rig.run(5);
    expect(rig.engine.vms()).toEqual([]);
    expect(
      rig
        .host()
        .domains(rig.clock.nowMs())
        .map(({ name }) => name),
    ).toEqual(['theirs']);
    await rig.stop();
  });

  it('comes back as it was after a lost database', async () => {
    await made();
    rig.kill();
    rig.store = rig.freshStore();
    await rig.start();
    await rig.until('vm.adopted');
    expect(rig.engine.vm(1)).toMatchObject({
      state: 'running',
      record: { kind: 'blank', owner: 'alice', flavor: { name: 'small' } },
    });
    await rig.stop();
  });

  it('a host that dies in the middle of a creation fails it, and what it left is removed when it comes back', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    await rig.run(2);
    const asked = await create({ name: 'vm', placement: { host: 'h1' } });
    await rig.run(0.005);
    rig.host('h1').trouble({ kind: 'unreachable', fromMs: rig.clock.nowMs() });
    await rig.run(700);
    expect((await ended(asked)).state).toBe('failed');
    rig.host('h1').heal(rig.clock.nowMs());
    await rig.run(60);
    expect(rig.engine.vms()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });
});

describe('numbers', () => {
  it('stay with what they were given to, in whatever order things are listed later', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    expect(rig.engine.hosts().map(({ name, id: number }) => [name, number])).toEqual([
      ['h1', 1],
      ['h2', 2],
    ]);
    expect(rig.engine.flavors().map(({ name, id: number }) => [name, number])).toEqual([
      ['small', 1],
      ['large', 2],
      ['giant', 3],
    ]);
    await rig.engine.configure({ ...rig.settings, flavors: [...rig.settings.flavors].reverse() });
    expect(rig.engine.flavors().map(({ name, id: number }) => [name, number])).toEqual([
      ['giant', 3],
      ['large', 2],
      ['small', 1],
    ]);
    expect(rig.engine.hostById(2)?.name).toBe('h2');
    await rig.stop();
  });
});
