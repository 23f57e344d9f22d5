// Stories of virtual clusters: made, enlarged, made smaller, deleted, over restarts, by several owners.
// Not here: what nodes know of each other.

import { afterEach, describe, expect, it } from 'vitest';
import type { CreateRequest } from '../../src/core/operation.ts';
import type { NodeOutput, NodeProgram } from '../../src/engine/cluster-view.ts';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { Rig } from './rig.ts';

const ANN = { owner: 'ann' };
const BOB = { owner: 'bob' };
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

async function ended(result: CommandResult<OperationStatus>): Promise<OperationStatus['operation']> {
  if (!result.ok) throw new Error(`refused: ${result.reason}`);
  const { id } = result.value.operation;
  for (let waited = 0; waited < 600; waited += 1) {
    const status = await rig.engine.operation(id);
    if (status?.operation.endedAt !== undefined) return status.operation;
    await rig.run(0.1);
  }
  throw new Error(`operation ${id} has not ended`);
}

function create(name: string, nodes: number, over: Partial<CreateRequest> = {}, caller = ANN) {
  return rig.engine.clusters.create({ name, nodes, node: { flavor: 'small', ...over } }, caller);
}

function nodes(name = 'lab', owner = 'ann'): readonly string[] {
  return rig.engine.clusters.one(name, owner)?.nodes.map(({ name: node, vm }) => `${node} ${vm.record.name}`) ?? [];
}

/** What the guest of a node was told last, by VM name. */
function listening(): Map<string, string> {
  const told = new Map<string, string>();
  for (const host of rig.hosts) {
    host.programs.set('sh', (_, input, uuid) => {
      const name = host.domains(rig.clock.nowMs()).find((one) => one.uuid === uuid)?.name ?? '';
      told.set(name, input);
      return { exitCode: 0 };
    });
  }
  return told;
}

describe('nodes', () => {
  it('are on one network, and are told of each other and their key, again when that changes', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    const told = listening();
    await ended(await create('lab', 2, { placement: { algorithm: 'round-robin' }, sshKeys: [] }));
    await rig.run(3);
    const status = rig.engine.clusters.one('lab', 'ann');
    expect(status?.nodes.map(({ address, missing }) => ({ address, missing }))).toEqual([
      { address: '10.64.0.1', missing: undefined },
      { address: '10.64.0.2', missing: undefined },
    ]);
    const id = status?.cluster.id ?? '';
    expect(status?.nodes[1]?.vm.record.networks).toEqual([{ id, address: '10.64.0.2', prefixBits: 22 }]);
    expect([...told.keys()].sort()).toEqual(['lab-node1', 'lab-node2']);
    const first = told.get('lab-node1') ?? '';
    expect(first).toContain('\nhostname node1\n');
    expect(first).toContain('\n10.64.0.1 node1 lab-node1\n10.64.0.2 node2 lab-node2\n');
    expect(first).toContain('\nnode1:1\nnode2:1\n');
    expect(first).toContain(status?.cluster.sshKey.publicKey);
    told.clear();
    await rig.run(5);
    expect(told.size).toBe(0);
    await ended(await rig.engine.clusters.add('lab', 'ann', 1, ANN));
    // In service as soon as it runs; its agent comes later.
    await rig.run(6);
    expect([...told.keys()].sort()).toEqual(['lab-node1', 'lab-node2', 'lab-node3']);
    for (const script of told.values()) expect(script).toContain('10.64.0.3 node3');
    told.clear();
    const taking = rig.engine.snapshots.take([2], { name: 's', memory: true }, ANN);
    await rig.run(1);
    await ended(await taking);
    const reverting = rig.engine.snapshots.revert([2], 's', {}, ANN);
    await rig.run(1);
    await ended(await reverting);
    await rig.run(6);
    expect([...told.keys()]).toEqual(['lab-node2']);
    await ended(await rig.engine.clusters.remove('lab', 'ann', ['node1'], ANN));
    await rig.run(3);
    expect(told.get('lab-node2')).not.toContain('node1');
    await rig.stop();
  });

  it('of two clusters share neither addresses nor keys', async () => {
    rig = await new Rig().start();
    await ended(await create('lab', 1));
    await ended(await create('desk', 1, {}, BOB));
    const [one, two] = rig.engine.clusters.all();
    expect([one?.nodes[0]?.address, two?.nodes[0]?.address]).toEqual(['10.64.0.1', '10.64.4.1']);
    expect(one?.cluster.sshKey).not.toEqual(two?.cluster.sshKey);
    await rig.stop();
  });

  it('a guest that cannot be told says so, and the others go on', async () => {
    rig = await new Rig().start();
    await rig.run(2);
    const told = listening();
    rig.host().trouble({ kind: 'fail-call', call: 'exec', fault: 'refused', effect: 'before', fromMs: 0 });
    await ended(await create('lab', 2));
    await rig.run(3);
    const missing = () => rig.engine.clusters.one('lab', 'ann')?.nodes.map((node) => node.missing);
    expect(missing()?.filter((why) => why === undefined)).toHaveLength(1);
    expect(told.size).toBe(1);
    await rig.run(61);
    expect(missing()).toEqual([undefined, undefined]);
    rig.host().programs.set('sh', () => ({ exitCode: 1, stderr: 'mkdir: read-only file system\n' }));
    await ended(await rig.engine.clusters.add('lab', 'ann', 1, ANN));
    await rig.run(2);
    expect(missing()?.[0]).toBe('its guest could not take it: mkdir: read-only file system');
    await rig.stop();
  });
});

describe('a cluster', () => {
  it('is made whole: its nodes are numbered, and know whose they are', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    const operation = await ended(await create('lab', 4, { placement: { algorithm: 'round-robin' } }));
    expect(operation).toMatchObject({ kind: 'cluster.create', state: 'succeeded', owner: 'ann' });
    expect(nodes()).toEqual(['node1 lab-node1', 'node2 lab-node2', 'node3 lab-node3', 'node4 lab-node4']);
    const status = rig.engine.clusters.one('lab', 'ann');
    expect(status?.nodes.map(({ vm }) => vm.record.host).sort()).toEqual(['h1', 'h1', 'h2', 'h2']);
    expect(status?.operations).toEqual([]);
    expect(rig.running().sort()).toEqual(['lab-node1', 'lab-node2', 'lab-node3', 'lab-node4']);
    await rig.stop();
  });

  it('takes amounts in place of a flavor', async () => {
    rig = await new Rig().start();
    await ended(await create('lab', 1, { flavor: { vcpus: 2, memoryMiB: 300, diskGiB: 2 } }));
    expect(rig.engine.clusters.one('lab', 'ann')?.nodes[0]?.vm.record.flavor).toEqual({
      name: 'custom',
      vcpus: 2,
      memoryMiB: 300,
      diskGiB: 2,
    });
    await rig.stop();
  });

  it('that finds no room is not there afterwards, and nothing of it', async () => {
    rig = await new Rig().start();
    const operation = await ended(await create('lab', 200, { flavor: 'large' }));
    expect(operation).toMatchObject({ state: 'failed', failure: { type: 'no-capacity' } });
    await rig.run(5);
    expect(rig.engine.clusters.all()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });

  it('of one of whose nodes nothing comes is taken back whole', async () => {
    rig = await new Rig().start();
    await rig.run(2);
    rig.host().trouble({ kind: 'fail-call', call: 'define', fault: 'refused', effect: 'before', fromMs: 0 });
    const operation = await ended(await create('lab', 3));
    expect(operation.state).toBe('failed');
    await rig.run(10);
    expect(rig.running()).toEqual([]);
    expect(rig.engine.clusters.all()).toEqual([]);
    await rig.stop();
  });

  it('grows and shrinks; numbers are never given twice', async () => {
    rig = await new Rig().start();
    await ended(await create('lab', 2));
    await ended(await rig.engine.clusters.add('lab', 'ann', 2, ANN));
    expect(nodes()).toHaveLength(4);
    const removed = await ended(await rig.engine.clusters.remove('lab', 'ann', ['node4', 'node2'], ANN));
    expect(removed).toMatchObject({ kind: 'cluster.remove', state: 'succeeded' });
    await ended(await rig.engine.clusters.add('lab', 'ann', 1, ANN));
    expect(nodes()).toEqual(['node1 lab-node1', 'node3 lab-node3', 'node5 lab-node5']);
    await rig.stop();
  });

  it('is deleted whole, and its name is free again', async () => {
    rig = await new Rig().start();
    await ended(await create('lab', 3));
    const first = await rig.engine.clusters.delete('lab', 'ann', ANN);
    const again = await rig.engine.clusters.delete('lab', 'ann', ANN);
    expect(again).toMatchObject({ ok: true, value: { operation: { id: first.ok && first.value.operation.id } } });
    expect(await rig.engine.clusters.add('lab', 'ann', 1, ANN)).toMatchObject({ ok: false, refused: 'conflict' });
    expect(await ended(first)).toMatchObject({ kind: 'cluster.delete', state: 'succeeded' });
    await rig.run(2);
    expect(rig.engine.clusters.all()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    await ended(await create('lab', 1));
    expect(nodes()).toEqual(['node1 lab-node1']);
    await rig.stop();
  });

  it("is its owner's: another one has none of that name, and cannot reach it", async () => {
    rig = await new Rig().start();
    await ended(await create('lab', 1));
    expect(rig.engine.clusters.one('lab', 'bob')).toBeUndefined();
    expect(await rig.engine.clusters.delete('lab', 'bob', BOB)).toMatchObject({ ok: false, refused: 'not-found' });
    expect(rig.engine.clusters.all('bob')).toEqual([]);
    expect(await create('lab', 1)).toMatchObject({ ok: false, refused: 'conflict', where: 'name' });
    await rig.stop();
  });

  it('says what is wrong with a request', async () => {
    rig = await new Rig().start();
    await ended(await create('lab', 2));
    const { clusters } = rig.engine;
    expect(await create('Lab', 1)).toMatchObject({ refused: 'invalid', where: 'name' });
    expect(await create('huge', 257)).toMatchObject({ refused: 'invalid', where: 'nodes' });
    expect(await create('none', 0)).toMatchObject({ refused: 'invalid', where: 'nodes' });
    expect(await create('odd', 1, { flavor: 'odd' })).toMatchObject({ refused: 'invalid', where: 'flavor' });
    expect(await clusters.add('lab', 'ann', 255, ANN)).toMatchObject({ refused: 'invalid', where: 'nodes' });
    expect(await clusters.add('nobody', 'ann', 1, ANN)).toMatchObject({ refused: 'not-found' });
    expect(await clusters.remove('lab', 'ann', ['node1', 'node7'], ANN)).toMatchObject({
      refused: 'not-found',
      where: 'nodes.1',
    });
    expect(await clusters.remove('lab', 'ann', ['node1', 'node2'], ANN)).toMatchObject({ refused: 'conflict' });
    expect(nodes()).toHaveLength(2);
    await rig.stop();
  });

  it('is there after the daemon was killed, also in the middle of being made or deleted', async () => {
    rig = await new Rig().start();
    await rig.run(2);
    const begun = await create('lab', 3);
    await rig.run(0.3);
    rig.kill();
    await rig.start();
    expect(await ended(begun)).toMatchObject({ state: 'succeeded' });
    expect(nodes()).toHaveLength(3);
    const going = await rig.engine.clusters.delete('lab', 'ann', ANN);
    await rig.run(0.2);
    rig.kill();
    await rig.start();
    expect(await ended(going)).toMatchObject({ state: 'succeeded' });
    await rig.run(2);
    expect(rig.engine.clusters.all()).toEqual([]);
    await rig.stop();
  });

  it('while it waits to be placed it is cancelled, not deleted', async () => {
    rig = new Rig();
    rig.host().trouble({ kind: 'hang', fromMs: 0, untilMs: rig.clock.nowMs() + 3000 });
    await rig.start();
    const begun = await create('lab', 1);
    if (!begun.ok) throw new Error(begun.reason);
    expect(await rig.engine.clusters.delete('lab', 'ann', ANN)).toMatchObject({ ok: false, refused: 'conflict' });
    expect(await rig.engine.cancel(begun.value.operation.id)).toMatchObject({ ok: true });
    await rig.run(10);
    expect(rig.engine.clusters.all()).toEqual([]);
    await rig.stop();
  });
});

describe('programs on nodes', () => {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

  async function withNodes(count: number): Promise<void> {
    rig = await new Rig({ hosts: ['h1', 'h2'] }).start();
    await ended(await create('lab', count, { placement: { algorithm: 'round-robin' } }));
    await rig.run(6);
  }

  function run(program: Partial<NodeProgram> & Pick<NodeProgram, 'argv'>, signal = new AbortController().signal) {
    const out: string[] = [];
    const hear = ({ node, stream, bytes }: NodeOutput) => out.push(`${node} ${stream} ${text(bytes)}`);
    const ending = rig.engine.clusters.run('lab', 'ann', { timeoutMs: 60_000, ...program }, hear, signal);
    return { out, ending };
  }

  it('run on all or on some, and end as they do', async () => {
    await withNodes(3);
    const { ending, out } = run({ argv: ['echo', 'hello'] });
    await rig.run(1);
    expect(await ending).toEqual({
      ok: true,
      value: ['node1', 'node2', 'node3'].map((node) => ({ node, exitCode: 0 })),
    });
    expect(out.sort()).toEqual(['node1 stdout hello\n', 'node2 stdout hello\n', 'node3 stdout hello\n']);
    const some = run({ argv: ['cat'], nodes: ['node2', 'node2'], input: new TextEncoder().encode('in') });
    await rig.run(1);
    expect(await some.ending).toEqual({ ok: true, value: [{ node: 'node2', exitCode: 0 }] });
    expect(some.out).toEqual(['node2 stdout in']);
    expect(await run({ argv: ['true'], nodes: ['node9'] }).ending).toMatchObject({ refused: 'not-found' });
    await rig.stop();
  });

  it('are ended by whoever asked, and by their time-out', async () => {
    await withNodes(2);
    const stop = new AbortController();
    const { ending } = run({ argv: ['sleep', '100'] }, stop.signal);
    await rig.run(1);
    stop.abort();
    await rig.run(1);
    expect(await ending).toMatchObject({ ok: true, value: [{ problem: expect.any(String) }, { node: 'node2' }] });
    const late = run({ argv: ['sleep', '100'], timeoutMs: 2000 });
    await rig.run(4);
    expect(await late.ending).toMatchObject({ ok: true, value: [{ problem: expect.stringContaining('2000 ms') }, {}] });
    await rig.stop();
  });

  it('that run together end everywhere when a node is lost, and say which', async () => {
    await withNodes(3);
    const { ending } = run({ argv: ['sleep', '100'], nodes: ['node1'], together: true });
    const alone = run({ argv: ['sleep', '8'], nodes: ['node1'] });
    await rig.run(1);
    const third = rig.hosts.flatMap((host) => host.domains(rig.clock.nowMs())).find((one) => one.name === 'lab-node3');
    for (const host of rig.hosts) host.kill(third?.uuid ?? '');
    await rig.run(4);
    const why = expect.stringContaining('lab-node3 was lost');
    expect(await ending).toEqual({ ok: true, value: [{ node: 'node1', problem: why }] });
    await rig.run(6);
    expect(await alone.ending).toEqual({ ok: true, value: [{ node: 'node1', exitCode: 0 }] });
    await rig.stop();
  });

  it('files arrive whole on each node, or not at all', async () => {
    await withNodes(2);
    const files = new Map<string, string>();
    const shell = (host: string) => (words: readonly string[], input: string, uuid: string) => {
      const [, script = '', first = '', second = ''] = words;
      if (script.startsWith('cat') && host === 'h2' && files.get('full') === 'yes')
        return { exitCode: 1, stderr: 'cat: write error: No space left on device\n' };
      if (script.includes(': >')) files.set(`${uuid} ${first}`, '');
      if (script.startsWith('cat')) files.set(`${uuid} ${first}`, `${files.get(`${uuid} ${first}`)}${input}`);
      if (script.startsWith('chmod')) {
        files.set(`${uuid} ${second} ${script.split(' ')[1]}`, files.get(`${uuid} ${first}`) ?? '');
        files.delete(`${uuid} ${first}`);
      }
      return { exitCode: 0 };
    };
    for (const host of rig.hosts) {
      host.programs.set('sh', shell(host.name));
      host.programs.set('rm', ([, path], _, uuid) => {
        files.delete(`${uuid} ${path}`);
        return { exitCode: 0 };
      });
    }
    const large = new Uint8Array(1_200_000).fill(97);
    async function* bytes() {
      yield large.subarray(0, 10);
      yield large.subarray(10);
    }
    const put = () =>
      rig.engine.clusters.put('lab', 'ann', { path: '/root/x', mode: 0o755 }, bytes(), new AbortController().signal);
    const first = put();
    await rig.run(2);
    expect(await first).toMatchObject({ ok: true, value: [{ exitCode: 0 }, { exitCode: 0 }] });
    expect([...files.keys()].map((key) => key.split(' ').slice(1))).toEqual([
      ['/root/x', '755'],
      ['/root/x', '755'],
    ]);
    expect([...files.values()].map(({ length }) => length)).toEqual([large.length, large.length]);
    files.clear();
    files.set('full', 'yes');
    const second = put();
    await rig.run(2);
    expect(await second).toMatchObject({
      ok: true,
      value: expect.arrayContaining([
        { node: expect.any(String), problem: 'cat: write error: No space left on device' },
      ]),
    });
    expect([...files.keys()]).toEqual(['full']);
    await rig.stop();
  });
});
