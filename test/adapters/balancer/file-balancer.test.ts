// Balancers that read a file, the real ones: the contract, and what is special about files and commands.

import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileBalancer, type FileBalancerOptions } from '../../../src/adapters/balancer/file/file-balancer.ts';
import { FILE_HEAD, renderServers } from '../../../src/adapters/balancer/file/render.ts';
import { balancerContract } from '../../contracts/balancer.ts';
import { RealHaproxy } from './real-haproxy.ts';
import { RealNginx } from './real-nginx.ts';
import { underTest } from './under-test.ts';

const { signal } = new AbortController();
const one = { name: 'web-1', address: '10.0.0.1', port: 80, state: 'ready' } as const;
const two = { name: 'web 2', address: '::1', port: 8080, state: 'drain' } as const;

/** The old workers may take connections for a moment more. */
const SETTLE_MS = 4_000;

balancerContract('haproxy file', async () => {
  const haproxy = await RealHaproxy.start({ backendFile: true });
  const file = haproxy.backendFile;
  const reload = haproxy.reloadCommand;
  const balancer = new FileBalancer({
    name: 'front',
    file,
    format: 'haproxy',
    backend: 'web',
    reload,
    reloadPauseMs: 200,
  });
  const changes = async () => `${(await stat(file)).ino} ${await haproxy.ask('show info').then(processOf)}`;
  return underTest(balancer, haproxy, { countsSessions: false, settleMs: SETTLE_MS, changes });
});

balancerContract('nginx file', async () => {
  const nginx = await RealNginx.start();
  const file = nginx.upstreamFile;
  const reload = nginx.reloadCommand;
  const balancer = new FileBalancer({
    name: 'front',
    file,
    format: 'nginx',
    backend: 'web',
    reload,
    reloadPauseMs: 200,
  });
  return underTest(balancer, nginx, {
    countsSessions: false,
    settleMs: SETTLE_MS,
    changes: async () => String((await stat(file)).ino),
  });
});

function processOf(info: string): string {
  return /^Pid: \d+$/m.exec(info)?.[0] ?? '';
}

describe('what is written', () => {
  test('a backend section for HAProxy', () => {
    expect(renderServers('haproxy', 'web', [two, one])).toBe(`${FILE_HEAD}backend web
    server virtscale-web_20_2 [::1]:8080 check weight 0
    server virtscale-web-1 10.0.0.1:80 check
`);
  });

  test('an upstream for nginx', () => {
    expect(renderServers('nginx', 'web', [two, one])).toBe(`${FILE_HEAD}upstream web {
    server [::1]:8080 down; # virtscale-web_20_2
    server 10.0.0.1:80; # virtscale-web-1
}
`);
  });
});

describe('files and commands', () => {
  let folder: string;
  let file: string;
  let log: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vs-fb-'));
    file = join(folder, 'web.conf');
    log = join(folder, 'log');
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const make = (more: Partial<FileBalancerOptions> = {}) =>
    new FileBalancer({ name: 'front', file, format: 'nginx', backend: 'web', reloadPauseMs: 0, ...more });
  const logging = () => ({ reload: ['sh', '-c', `echo reloaded >> ${log}`] });
  const reloads = async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').length - 1;

  test('the command runs after each change and only then, and once for a daemon that has just started', async () => {
    const balancer = make(logging());
    await balancer.apply([one], signal);
    await balancer.apply([one], signal);
    expect(await reloads()).toBe(1);
    await balancer.apply([one, two], signal);
    expect(await reloads()).toBe(2);
    const next = make(logging());
    await next.apply([two, one], signal);
    await next.apply([two, one], signal);
    expect(await reloads()).toBe(3);
  });

  test('two commands never run close together', async () => {
    const balancer = make({ reload: ['sh', '-c', `date +%s%3N >> ${log}`], reloadPauseMs: 300 });
    await balancer.apply([one], signal);
    await balancer.apply([two], signal);
    const [first = 0, second = 0] = (await readFile(log, 'utf8')).split('\n').map(Number);
    expect(second - first).toBeGreaterThanOrEqual(295);
    const stopped = balancer.apply([one], AbortSignal.timeout(50));
    await expect(stopped).rejects.toMatchObject({ kind: 'aborted' });
  });

  test('what the command did not manage is tried again, although the file is right already', async () => {
    const balancer = make({ reload: ['sh', '-c', `echo reloaded >> ${log}; test -e ${folder}/well`] });
    await expect(balancer.apply([one], signal)).rejects.toMatchObject({ kind: 'refused' });
    await expect(balancer.apply([one], signal)).rejects.toMatchObject({ kind: 'refused' });
    await writeFile(join(folder, 'well'), '');
    await balancer.apply([one], signal);
    await balancer.apply([one], signal);
    expect(await reloads()).toBe(3);
  });

  test('what somebody changes in the file is set right', async () => {
    const balancer = make(logging());
    await balancer.apply([one], signal);
    const text = await readFile(file, 'utf8');
    await writeFile(file, `${FILE_HEAD}# mine\n`);
    await balancer.apply([one], signal);
    expect(await readFile(file, 'utf8')).toBe(text);
    expect(await reloads()).toBe(2);
    await rm(file);
    await balancer.apply([one], signal);
    expect(await readFile(file, 'utf8')).toBe(text);
  });

  test("somebody else's file is left alone", async () => {
    await writeFile(file, 'upstream web { server 10.9.9.9:80; }\n');
    await expect(make(logging()).apply([one], signal)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('not written by virtscale'),
    });
    expect(await readFile(file, 'utf8')).toContain('10.9.9.9');
    expect(await reloads()).toBe(0);
  });

  test('a link stays a link, a new file can be read by all, no draft is left', async () => {
    await writeFile(join(folder, 'target'), '');
    await symlink(join(folder, 'target'), file);
    await make().apply([one], signal);
    expect(await readFile(join(folder, 'target'), 'utf8')).toContain('10.0.0.1');
    expect((await stat(file)).mode & 0o444).toBe(0o444);
    expect((await readdir(folder)).toSorted()).toEqual(['target', 'web.conf']);
  });

  test('a folder that cannot be written to is refused with what to do', async () => {
    const balancer = make({ file: join(folder, 'not-there', 'web.conf') });
    await expect(balancer.apply([one], signal)).rejects.toMatchObject({
      kind: 'refused',
      advice: expect.stringContaining('must be able to write'),
    });
  });

  test("the command's own words are in the error, bounded", async () => {
    const talks = make({ reload: ['sh', '-c', 'seq 1 100000; echo because of this >&2; exit 3'] });
    const error = await talks.apply([one], signal).catch((reason: Error) => reason.message);
    expect(error).toContain('status 3');
    expect(error).toContain('because of this');
    expect(error?.length).toBeLessThan(2500);
    const absent = make({ reload: [join(folder, 'no-such-program')] });
    await expect(absent.apply([one], signal)).rejects.toMatchObject({ kind: 'refused' });
    await chmod(file, 0o644);
  });

  test('a command that hangs is killed at its deadline, and when nobody waits any more', async () => {
    const pidFile = join(folder, 'pid');
    const reload = ['sh', '-c', `echo $$ > ${pidFile}; exec sleep 60`];
    const hangs = make({ reload, reloadTimeoutMs: 200 });
    await expect(hangs.apply([one], signal)).rejects.toMatchObject({ kind: 'timed-out' });
    await expectEnded(Number(await readFile(pidFile, 'utf8')));
    const stop = new AbortController();
    const call = make({ reload }).apply([one], stop.signal);
    setTimeout(() => stop.abort(), 100);
    await expect(call).rejects.toMatchObject({ kind: 'aborted' });
    await expectEnded(Number(await readFile(pidFile, 'utf8')));
  });

  test('without a command the file alone is written', async () => {
    await make().apply([one], signal);
    expect(await readFile(file, 'utf8')).toContain('server 10.0.0.1:80;');
  });
});

async function expectEnded(pid: number): Promise<void> {
  await expect.poll(() => isAlive(pid), { timeout: 2000, interval: 10 }).toBe(false);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
