// The daemon on real libvirt and QEMU on its bad days: killed in the middle of things, its libvirtd killed, its guests killed.
// Whatever happens, what libvirt has in the end is what was asked for: no orphan, no second copy, no gap in the log.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestDaemon } from '../support/daemon.ts';

const POLICY = `
group: web
min: 1
max: 3
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
drain: { grace: 200ms }
scale:
  - { name: hot, type: threshold, metric: cpu, above: 90, for: 3s, add: 1, cooldown: 20s }
`;

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.prepare(POLICY);
  await daemon.start();
  await daemon.inService(1);
});

afterAll(() => daemon.remove());

async function expectTidy(count: number): Promise<void> {
  const vms = await daemon.inService(count);
  const names = vms.map(({ name }) => name).sort();
  const real = await daemon.reality();
  expect(real.domains).toEqual(names);
  for (const files of [real.disks, real.consoles]) {
    expect(files).toEqual(names.map((name) => expect.stringContaining(name)));
  }
  for (const { name, endpoint } of vms) {
    const answer = await fetch(`http://${endpoint?.address}:${endpoint?.port}/10`, {
      signal: AbortSignal.timeout(5000),
    });
    expect(await answer.json()).toEqual({ input: 10, result: 55, server: name });
  }
  const seqs = (await daemon.events()).map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
}

describe('the daemon killed with SIGKILL', () => {
  it.each([2, 30, 80, 300, 1200])('%d ms into a scale-out: finished by the next one', async (ms) => {
    await daemon.setDesired(2);
    await sleep(ms);
    await daemon.end('SIGKILL');
    await daemon.start();
    await expectTidy(2);
    await daemon.setDesired(1);
    await expectTidy(1);
  });

  it.each([100, 400])('%d ms into a scale-in: finished by the next one', async (ms) => {
    await daemon.setDesired(2);
    await daemon.inService(2);
    await daemon.setDesired(1);
    await sleep(ms);
    await daemon.end('SIGKILL');
    await daemon.start();
    await expectTidy(1);
  });
});

describe('other bad days', () => {
  it('SIGTERM ends it within 5 s and leaves the VMs running; the next start finds them', async () => {
    const [before] = await daemon.inService(1);
    expect(await daemon.end('SIGTERM')).toBeLessThan(5000);
    expect((await daemon.reality()).domains).toEqual([before?.name]);
    await daemon.start();
    expect(await daemon.inService(1)).toMatchObject([{ uuid: before?.uuid }]);
  });

  it('a changed policy is in force without a restart; a bad one is refused with its line and the old one stays', async () => {
    const file = join(daemon.dir, 'policies/web.yaml');
    const maxOf = async () => (await daemon.get<{ max: number }>('/v1/groups/web')).max;
    await writeFile(file, POLICY.replace('max: 3', 'max: 4'));
    await daemon.eventually('new max', async () => (await maxOf()) === 4 || undefined, 10);
    await writeFile(file, POLICY.replace('max: 3', 'max: 0'));
    const refused = await daemon.eventually('policy.rejected', async () => {
      return (await daemon.events()).find((event) => event.type === 'policy.rejected');
    });
    expect(refused).toMatchObject({ line: 4, reason: expect.stringContaining('max') });
    expect(await maxOf()).toBe(4);
    await writeFile(file, POLICY);
    await daemon.eventually('old max', async () => (await maxOf()) === 3 || undefined, 10);
  });

  it('libvirtd killed under load: VMs serve on, the daemon says so and goes on scaling', async () => {
    const [vm] = await daemon.inService(1);
    let failed = 0;
    let served = 0;
    let loading = true;
    const load = (async () => {
      while (loading) {
        const ok = await fetch(`http://${vm?.endpoint?.address}:${vm?.endpoint?.port}/20`, {
          signal: AbortSignal.timeout(5000),
        })
          .then(async (response) => (await response.text()).includes('6765'))
          .catch(() => false);
        if (ok) served += 1;
        else failed += 1;
      }
    })();
    await daemon.setDesired(2);
    process.kill(await daemon.libvirtdPid(), 'SIGKILL');
    await daemon.inService(2);
    loading = false;
    await load;
    expect(served).toBeGreaterThan(10);
    expect(failed).toBe(0);
    await daemon.setDesired(1);
    await expectTidy(1);
  });

  it('libvirtd that hangs is reported within 15 s, costs the API nothing, and is taken back when it answers', async () => {
    const pid = await daemon.libvirtdPid();
    const eventsOf = async (type: string) => (await daemon.events()).filter((event) => event.type === type).length;
    const [before, vms] = [await eventsOf('host.unreachable'), await daemon.inService(1)];
    process.kill(pid, 'SIGSTOP');
    try {
      await daemon.eventually(
        'host.unreachable',
        async () => (await eventsOf('host.unreachable')) > before || undefined,
        15,
      );
      const asked = performance.now();
      expect(await daemon.vms()).toMatchObject([{ name: vms[0]?.name, phase: 'in-service', state: 'unknown' }]);
      expect(performance.now() - asked).toBeLessThan(1000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await expectTidy(1);
    await daemon.eventually('host.up', async () => (await daemon.vms())[0]?.state === 'running' || undefined);
    expect(await daemon.inService(1)).toMatchObject([{ uuid: vms[0]?.uuid }]);
  });

  it('a VM removed behind its back is reported lost and replaced', async () => {
    const [before] = await daemon.inService(1);
    const real = await daemon.reality();
    expect(real.domains).toEqual([before?.name]);
    await daemon.destroyBehindItsBack(before?.uuid ?? '');
    const after = await daemon.eventually('replacement', async () => {
      const [vm, ...others] = await daemon.vms();
      return vm && others.length === 0 && vm.phase === 'in-service' && vm.uuid !== before?.uuid ? vm : undefined;
    });
    expect(after.name).not.toBe(before?.name);
    expect((await daemon.events()).map(({ type }) => type)).toContain('vm.lost');
    await expectTidy(1);
  });
});

describe('virtscale embedded stop', () => {
  it('is refused while the daemon runs, and leaves no process behind when it does not', async () => {
    await daemon.inService(1);
    const [libvirtd, refused] = [await daemon.libvirtdPid(), await daemon.stopEmbedded()];
    expect(refused).toEqual({ status: 1, said: expect.stringContaining('virtscale.db') });
    expect(await daemon.inService(1)).toHaveLength(1);
    await daemon.end('SIGTERM');
    const qemus = await processesOf(daemon.dir);
    expect(qemus.length).toBeGreaterThan(0);
    expect(await daemon.stopEmbedded()).toEqual({ status: 0, said: expect.stringContaining('host local: ended') });
    expect(() => process.kill(libvirtd, 0)).toThrow('ESRCH');
    expect(await processesOf(daemon.dir)).toEqual([]);
  });
});

/** Command lines of processes that have to do with a folder. */
async function processesOf(dir: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(dir));
}
