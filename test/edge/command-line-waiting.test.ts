// Waiting for what was asked for, Ctrl-C, and connections that are lost on the way.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Collected, folder, Interrupts, liveFabric } from './command-runner.ts';
import { aLoneVm } from './fake-engine.ts';

describe('waiting', () => {
  it('shows each step as a line where there is no terminal', async () => {
    const { engine, virtscale } = await liveFabric();
    engine.work.pace = 'manual';
    const stderr = new Collected();
    const ran = virtscale('vms create job -f small', { stderr });
    await stderr.until('verified');
    for (let step = 0; step < 3; step += 1) engine.work.advance();
    expect((await ran).status).toBe(0);
    expect(stderr.text.match(/Z {2}(.*)$/gm)?.map((line) => line.slice(3))).toEqual([
      'verified',
      'placed',
      'running',
      'succeeded',
    ]);
  });

  it('shows one line that changes on a terminal, and takes it away at the end', async () => {
    const { engine, virtscale } = await liveFabric();
    engine.work.pace = 'manual';
    const stderr = new Collected(true);
    const ran = virtscale('vms create job -f small -i backend --count 4', { stderr });
    await stderr.until('0:00  verified');
    engine.work.advance();
    engine.work.advance();
    await stderr.until('running  cloning: 0 of 4 (0 %)');
    engine.work.advance();
    expect((await ran).out).toContain('VM 4 job-4 on local: created\n');
    expect(stderr.text).not.toContain('\n');
    expect(stderr.text.endsWith('\r\u001b[K')).toBe(true);
  });

  it('Ctrl-C leaves the operation running and says how to get back to it', async () => {
    const { engine, virtscale } = await liveFabric();
    engine.work.pace = 'manual';
    const [stderr, keys] = [new Collected(), new Interrupts()];
    const ran = virtscale('vms create job -f small', { stderr, onInterrupt: keys.onInterrupt });
    await stderr.until('verified');
    keys.press();
    expect(await ran).toMatchObject({ status: 130, out: '' });
    expect(stderr.text).toContain(
      'virtscale: operation op-1 goes on. Watch it: virtscale operations wait op-1. Cancel it: virtscale operations cancel op-1\n',
    );
    expect(engine.work.get('op-1')?.operation.state).toBe('queued');
    expect(() => keys.press()).toThrow('nobody waits');
  });
});

describe('the program itself', () => {
  it('ends with 130 at Ctrl-C while it waits, and asks nobody when there is no terminal', async () => {
    const { engine, url } = await liveFabric({ vms: [aLoneVm()] });
    engine.work.pace = 'manual';
    const waiting = program('vms', 'create', 'job', '--flavor', 'small', '--url', url);
    await waiting.err.until('verified');
    waiting.child.kill('SIGINT');
    expect(await waiting.ended).toEqual([130, null]);
    expect(waiting.err.text).toContain('operation op-1 goes on');
    const asking = program('vms', 'delete', 'lone', '--url', url);
    expect(await asking.ended).toEqual([2, null]);
    expect(asking.err.text).toContain('say --yes');
  });
});

function program(...words: string[]) {
  const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
  const child = spawn(process.execPath, [cli, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const err = new Collected();
  child.stderr.pipe(err);
  return { child, err, ended: once(child, 'close') };
}

describe('a connection that is lost', () => {
  it('a write whose answer never came is sent again and done once', async () => {
    const { engine, url, virtscale } = await liveFabric();
    const lossy = await cuttingProxy(url, 2);
    const ran = await virtscale('vms create job -f small', { env: { VIRTSCALE_URL: lossy.url } });
    expect(ran).toMatchObject({ status: 0, out: 'VM 1 job on local: created\n' });
    expect(lossy.cut).toBe(2);
    expect(engine.vms()).toHaveLength(1);
  });

  it('is given up after a while', async () => {
    const { url, virtscale } = await liveFabric();
    const lossy = await cuttingProxy(url, 100);
    const ran = await virtscale('hosts uncordon local', { env: { VIRTSCALE_URL: lossy.url } });
    expect(ran).toMatchObject({ status: 1, out: '', err: expect.stringContaining('no daemon at') });
    expect(lossy.cut).toBe(6);
  });

  it('an upload begins again', async () => {
    const { engine, url, virtscale } = await liveFabric();
    const lossy = await cuttingProxy(url, 1);
    const at = folder({ 'disk.raw': new Uint8Array(1024 * 1024) });
    const ran = await virtscale(`images add mine ${at('disk.raw')}`, { env: { VIRTSCALE_URL: lossy.url } });
    expect(ran).toMatchObject({ status: 0 });
    expect(engine.image('mine')?.state).toBe('ready');
  });
});

/** Hands requests on, and cuts the first `cuts` connections just as the answer comes. */
async function cuttingProxy(url: string, cuts: number) {
  const state = { cut: 0, url: '' };
  const server = createTcpServer((socket) => {
    const upstream = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
    socket.pipe(upstream);
    upstream.on('data', (chunk) => {
      if (state.cut >= cuts) return void socket.write(chunk);
      state.cut += 1;
      socket.destroy();
      upstream.destroy();
    });
    upstream.on('end', () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return state;
}
