// Virtual clusters over /v1 and from the command line, against an engine in memory: what reaches it, whose cluster is meant, how it is told.

import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { folder, Interrupts, liveFabric } from './command-runner.ts';
import { edgeApp } from './edge-app.ts';

const json = (method: string, body: unknown) => ({
  method,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

describe('/v1/clusters', () => {
  it('an answer leads to the operation, and the cluster is there with its nodes', async () => {
    const { app } = edgeApp();
    const asked = await app.request('/v1/clusters', json('POST', { name: 'lab', nodes: 2, flavor: 'small' }));
    expect(asked.status).toBe(202);
    expect(asked.headers.get('location')).toMatch(/^\/v1\/operations\//);
    expect(await asked.json()).toMatchObject({ kind: 'cluster.create' });
    expect(await (await app.request('/v1/clusters/lab')).json()).toMatchObject({
      name: 'lab',
      owner: 'anonymous',
      node: { flavor: 'small' },
      nodes: [
        { name: 'node1', vm: { name: 'lab-node1' } },
        { name: 'node2', vm: { name: 'lab-node2' } },
      ],
      operations: [],
    });
  });

  it("somebody else's cluster is found when only one is called so; with several it must be said whose", async () => {
    const { app, engine } = edgeApp();
    const make = (owner: string) =>
      engine.clusters.create({ name: 'lab', nodes: 1, node: { flavor: 'small' } }, { owner });
    await make('ann');
    await new Promise(setImmediate);
    expect(await (await app.request('/v1/clusters/lab')).json()).toMatchObject({ owner: 'ann' });
    await make('bob');
    await new Promise(setImmediate);
    const answer = await app.request('/v1/clusters/lab');
    expect(answer.status).toBe(409);
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('ann, bob') });
    expect(await (await app.request('/v1/clusters/lab?owner=bob')).json()).toMatchObject({ owner: 'bob' });
    expect(await (await app.request('/v1/clusters?owner=bob')).json()).toMatchObject({ clusters: [{ owner: 'bob' }] });
  });

  it.each<[string, unknown, string]>([
    ['neither flavor nor size', { name: 'lab', nodes: 1 }, 'body'],
    ['both', { name: 'lab', nodes: 1, flavor: 'small', size: { vcpus: 1, memoryMiB: 128 } }, 'body'],
    ['no nodes', { name: 'lab', nodes: 0, flavor: 'small' }, 'body.nodes'],
    ['too many nodes', { name: 'lab', nodes: 257, flavor: 'small' }, 'body.nodes'],
    ['a name that is no host name', { name: 'my_lab', nodes: 1, flavor: 'small' }, 'body.name'],
    ['a count', { name: 'lab', nodes: 1, count: 2, flavor: 'small' }, 'body'],
    ['half a VM', { name: 'lab', nodes: 1, size: { vcpus: 0.5, memoryMiB: 128 } }, 'body.size.vcpus'],
  ])('refuses %s, and says where', async (_, body, where) => {
    const { app, engine } = edgeApp();
    const answer = await app.request('/v1/clusters', json('POST', body));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ errors: [{ where }] });
    expect(engine.commands).toEqual([]);
  });
});

describe('virtscale cluster', () => {
  it('create, show, add, remove, list, delete', async () => {
    const { engine, virtscale } = await liveFabric();
    const made = await virtscale(
      'cluster create lab --nodes 2 --vcpus 2 --memory 512M --disk 2G -i backend -a round-robin',
    );
    expect(made.status).toBe(0);
    expect(engine.commands[0]).toBe(
      'create cluster lab 2 {"image":"backend","placement":{"algorithm":"round-robin"},"flavor":{"vcpus":2,"memoryMiB":512,"diskGiB":2}}',
    );
    const shown = (await virtscale('cluster show lab')).out;
    expect(shown).toMatch(/^each node +2 vCPUs, 512 MiB, backend$/m);
    expect(shown).toMatch(/^node2 +10\.64\.0\.2 +\d+ +lab-node2 +local +in-service +running/m);
    await virtscale('cluster add lab --nodes 2');
    await virtscale('cluster remove lab node2 node3 --yes --grace 5s');
    expect((await virtscale('cluster')).out).toMatch(/^lab +anonymous +2 +2 vCPUs, 512 MiB, backend +local/m);
    expect(JSON.parse((await virtscale('cluster show lab --json')).out)).toMatchObject({
      nodes: [{ name: 'node1' }, { name: 'node4' }],
    });
    await virtscale('cluster delete lab -y');
    expect((await virtscale('cluster list')).out).toBe('No clusters.\n');
    expect(engine.commands.slice(1)).toEqual([
      'add 2 to cluster lab of anonymous',
      'remove node2 of cluster lab of anonymous 5000',
      'remove node3 of cluster lab of anonymous 5000',
      'delete cluster lab of anonymous undefined',
    ]);
  });

  it('sends public keys, and nobody who is not sure loses a cluster', async () => {
    const { engine, virtscale } = await liveFabric();
    const at = folder({ 'id.pub': 'ssh-ed25519 AAAA me\n' });
    await virtscale(`cluster create lab --nodes 1 --flavor small --ssh-key ${at('id.pub')}`);
    expect(engine.commands[0]).toContain('"sshKeys":["ssh-ed25519 AAAA me"]');
    expect(await virtscale('cluster delete lab')).toMatchObject({ status: 2 });
    expect(await virtscale('cluster remove lab node1')).toMatchObject({ status: 2 });
    expect(engine.commands).toHaveLength(1);
  });

  it.each([
    ['cluster create lab --nodes 2', '--flavor NAME, or --vcpus'],
    ['cluster create lab --nodes 2 --vcpus 2', '--flavor NAME, or --vcpus'],
    ['cluster create lab --nodes 2 --flavor small --memory 1G', 'either --flavor'],
    ['cluster create lab --nodes 2 --vcpus 1 --memory 512', 'is not a size'],
    ['cluster create lab --flavor small', '--nodes'],
    ['cluster create lab --nodes 0 --flavor small', 'at least 1'],
    ['cluster show none', 'there is no cluster'],
    ['cluster shrink lab', 'unknown command'],
    ['cluster delete lab --grace soon -y', 'It '],
  ])('%s: status 2, and why', async (text, why) => {
    const { engine, virtscale } = await liveFabric();
    expect(await virtscale(text)).toMatchObject({ status: 2, out: '', err: expect.stringContaining(why) });
    expect(engine.commands).toEqual([]);
  });
});

describe('programs on nodes', () => {
  const withCluster = async () => {
    const live = await liveFabric();
    await live.virtscale('cluster create lab --nodes 2 --flavor small');
    const { programs } = live.engine.clusters;
    programs.set('uname', (node) => ({ out: `Linux ${node}\nno end`, exitCode: 0 }));
    programs.set('false', (node) => ({ exitCode: node === 'node2' ? 3 : 0 }));
    return live;
  };

  it('exec tells each line with its node, and how it ended', async () => {
    const { virtscale } = await withCluster();
    expect(await virtscale('cluster exec lab -- uname -r')).toEqual({
      status: 0,
      out: 'node1  Linux node1\nnode2  Linux node2\nnode1  no end\nnode2  no end\n',
      err: '',
    });
    expect((await virtscale('cluster exec lab --node node2 -- uname')).out).toBe('node2  Linux node2\nnode2  no end\n');
    expect(await virtscale('cluster exec lab -- false')).toEqual({
      status: 1,
      out: '',
      err: 'virtscale: node2: ended with status 3\n',
    });
    const told = JSON.parse((await virtscale('cluster exec lab --json -- false')).out);
    expect(told).toEqual([
      { node: 'node1', exitCode: 0 },
      { node: 'node2', exitCode: 3 },
    ]);
    expect(await virtscale('cluster exec none -- true')).toMatchObject({ status: 2 });
    expect(await virtscale('cluster exec lab')).toMatchObject({ status: 2 });
  });

  it('Ctrl-C ends it on all nodes', async () => {
    const { engine, virtscale } = await withCluster();
    const ctrlC = new Interrupts();
    const ended = new Promise((resolve) => {
      engine.clusters.programs.set('forever', () => {
        resolve(true);
        return { exitCode: 0 };
      });
    });
    const running = virtscale('cluster exec lab -- forever', { onInterrupt: ctrlC.onInterrupt });
    await setTimeout(200);
    ctrlC.press();
    expect(await running).toMatchObject({ status: 130, err: 'virtscale: interrupted: it was ended on all nodes\n' });
    expect(await ended).toBe(true);
  });

  it('run sends a source, has it compiled on each node, and starts the ranks from the first', async () => {
    const { engine, virtscale } = await withCluster();
    const asked: unknown[] = [];
    const { programs, files } = engine.clusters;
    programs.set('mpicc', (node, { argv }) => {
      asked.push([node, ...argv]);
      return { exitCode: 0 };
    });
    programs.set('sh', (node, { argv, together }) => {
      asked.push([node, ...argv.slice(2), together]);
      return { out: '[0] pi is 3.14\n', exitCode: 0 };
    });
    programs.set('cat', (_, { argv }) => ({ out: `what is in ${argv[1]}`, exitCode: 0 }));
    const at = folder({ 'pi.c': 'int main() { return 0; }\n' });
    const { status, out, err } = await virtscale(`cluster run lab ${at('pi.c')} --np 3 -- 1000 x`);
    expect(err).toBe('compiling pi.c with mpicc on each node\n');
    expect({ status, out }).toEqual({ status: 0, out: '[0] pi is 3.14\n' });
    expect([...files.keys()]).toEqual(['node1 /root/pi.c 644', 'node2 /root/pi.c 644']);
    const start = 'cd /root && exec mpirun -f /etc/virtscale/nodes -n 3 -prepend-rank "$0" "$@"';
    expect(asked).toEqual([
      ['node1', 'mpicc', '-o', '/root/pi', '/root/pi.c'],
      ['node2', 'mpicc', '-o', '/root/pi', '/root/pi.c'],
      ['node1', start, '/root/pi', '1000', 'x', true],
    ]);
    programs.set('sh', () => ({ out: '[1] assertion failed\n', exitCode: 6 }));
    expect(await virtscale(`cluster run lab ${at('pi.c')}`)).toMatchObject({
      status: 1,
      out: '[1] assertion failed\n',
      err: expect.stringContaining('pi: node1: ended with status 6'),
    });
    programs.set('mpicc', (node) => ({ out: 'pi.c:1: error', exitCode: node === 'node2' ? 1 : 0 }));
    expect(await virtscale(`cluster run lab ${at('pi.c')}`)).toMatchObject({
      status: 1,
      err: expect.stringMatching(/it does not compile:\nnode2: ended with status 1/),
    });
    expect(await virtscale('cluster run lab nowhere.c')).toMatchObject({ status: 2 });
  });
});
