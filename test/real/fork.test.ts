// Forks on a real host: a hundred of one template, each its own; and a template only counts when it is whole, whatever dies meanwhile.
// Not here: the port's contract of templates and forks (contracts/hypervisor-forks.ts), the form of saved memory (test/adapters).

import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { macAddress } from '../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { GuestAgent } from '../../src/adapters/hypervisor/libvirt/guest-agent.ts';
import type { Endpoint } from '../../src/core/model.ts';
import type { Hypervisor, TemplateSpec, VmSpec } from '../../src/ports/hypervisor.ts';
import { identityOf } from '../contracts/hypervisor-forks.ts';
import { type RealHypervisor, realFixture } from '../support/real-hypervisor.ts';

const READY = { http: { port: 80, path: '/' } };
const FORKS = 100;
const AT_ONCE = 2;
const TCP_ADDRESS = '127.77.3.1';
const never = new AbortController().signal;
let real: RealHypervisor;
let agent: GuestAgent;
let count = 0;

beforeAll(async () => {
  real = await realFixture({ tcpAddress: TCP_ADDRESS });
  agent = new GuestAgent(real.client);
});
afterAll(() => real?.dispose());

function templateSpec(memoryMiB = real.memoryMiB): TemplateSpec {
  return { image: real.images.good, flavor: { name: 'small', vcpus: 1, memoryMiB }, ready: READY };
}

function aSpec(template: string): VmSpec {
  count += 1;
  return {
    ...templateSpec(),
    name: `web-${count}`,
    uuid: `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`,
    template,
    metadata: { id: count, group: 'web', owner: 'o', operation: `d-${count}`, image: 'backend', flavor: 'small' },
  };
}

const isReady = async (endpoint: Endpoint | undefined, signal: AbortSignal): Promise<boolean> =>
  endpoint !== undefined && (await real.prober.probe(endpoint, READY, 200, signal));
const make = (by: Hypervisor = real.hypervisor, spec = templateSpec()) => by.makeTemplate(spec, isReady, never);
const keysOf = async (by: Hypervisor = real.hypervisor): Promise<readonly string[]> =>
  (await by.listTemplates(never)).map(({ key }) => key);
const filesOf = async (key: string): Promise<readonly string[]> =>
  (await readdir(real.testHost.host.poolDir)).filter((name) => name.startsWith(`virtscale-template-${key}.`));

async function launch(spec: VmSpec, by: Hypervisor = real.hypervisor): Promise<Endpoint> {
  await by.createDisk(spec, never);
  const { endpoint } = await by.define(spec, never);
  await by.fork(spec, never);
  await untilOwn(spec, by);
  if (endpoint === undefined) throw new Error('no endpoint');
  return endpoint;
}

async function untilOwn(spec: VmSpec, by: Hypervisor): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await by.personalise(spec.uuid, identityOf(spec), never);
    } catch (error) {
      // Nobody answers yet: on a busy machine that may take some seconds.
      if (tries === 10 || !(error instanceof Error && 'kind' in error && error.kind === 'busy')) throw error;
    }
  }
}

async function remove(spec: VmSpec): Promise<void> {
  await real.hypervisor.destroy(spec.uuid, never);
  await real.hypervisor.undefine(spec.uuid, never);
  await real.hypervisor.deleteDisk(spec.name, never);
}

async function answerOf({ address, port }: Endpoint, path = '/'): Promise<unknown> {
  const endMs = performance.now() + real.patienceMs;
  while (!(await real.prober.probe({ address, port }, READY, 200, never))) {
    if (performance.now() > endMs) throw new Error('never ready');
    await sleep(20);
  }
  return (await fetch(`http://${address}:${port}${path}`)).json();
}

/** What a guest says of itself, and within which time. */
async function inside(uuid: string) {
  const script =
    'for f in /proc/sys/kernel/hostname /etc/machine-id /sys/class/net/eth0/address; do read -r x <$f; echo $x; done;' +
    'od -An -tx1 -N16 /dev/urandom; date +%s';
  const call = { timeoutMs: 20_000 };
  const fromMs = Date.now();
  const { output } = await agent.run(uuid, { path: '/bin/sh', args: ['-c', script], output: true }, call);
  const [hostname = '', machineId = '', mac = '', random = '', seconds = ''] = output.trim().split('\n');
  return { hostname, machineId, mac, random: random.trim(), atMs: Number(seconds) * 1000, fromMs, toMs: Date.now() };
}

test(`${FORKS} forks of one template: each has its own uuid, card, machine id, host name and random bytes, and the right time`, async () => {
  const { key } = await make();
  const seen: (Awaited<ReturnType<typeof inside>> & { readonly uuid: string })[] = [];
  const specs = Array.from({ length: FORKS }, () => aSpec(key)).values();
  const work = async (): Promise<void> => {
    for (const spec of specs) {
      await launch(spec);
      seen.push({ uuid: spec.uuid, ...(await inside(spec.uuid)) });
      await remove(spec);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  expect(seen).toHaveLength(FORKS);
  for (const what of ['uuid', 'hostname', 'machineId', 'mac', 'random'] as const) {
    expect(new Set(seen.map((each) => each[what])).size, what).toBe(FORKS);
  }
  for (const { atMs, fromMs, hostname, mac, machineId, random, toMs, uuid } of seen) {
    expect(machineId).toBe(uuid.replaceAll('-', ''));
    expect(mac).toBe(macAddress(uuid));
    expect(random).toMatch(/^[0-9a-f]{2}( [0-9a-f]{2}){15}$/);
    // Whole seconds are told.
    expect(atMs, hostname).toBeGreaterThan(fromMs - 2000);
    expect(atMs, hostname).toBeLessThan(toMs + 1000);
  }
  expect(await keysOf()).toEqual([key]);
}, 400_000);

test('a template is kept by the next daemon, and another is made for another flavor', async () => {
  const { key } = await make();
  const other = real.open();
  const startedMs = performance.now();
  expect((await make(other)).key).toBe(key);
  expect(performance.now() - startedMs).toBeLessThan(1000);
  const larger = await make(other, templateSpec(real.memoryMiB + 16));
  expect(larger.key).not.toBe(key);
  expect(await keysOf(other)).toEqual([key, larger.key].sort());
  await other.removeTemplate(larger.key, never);
  expect(await filesOf(larger.key)).toEqual([]);
  await other.close();
});

test('far from here, with nothing but libvirt, a fork is the same; and it is a VM like any other', async () => {
  const far = real.open({ uri: `qemu+tcp://${TCP_ADDRESS}/session` });
  // Nothing can be told of the image's file from there, so it has a template of its own.
  const { key } = await make(far);
  const spec = aSpec(key);
  const endpoint = await launch(spec, far);
  expect(await answerOf(endpoint, '/5')).toEqual({ input: 5, result: 5, server: spec.name });
  expect(await inside(spec.uuid)).toMatchObject({ hostname: spec.name, mac: macAddress(spec.uuid) });
  // Seen by the poll with its name and its metadata, running and defined.
  const { domains } = await far.observe(never);
  const seen = domains.find(({ uuid }) => uuid === spec.uuid);
  expect(seen).toMatchObject({ name: spec.name, state: 'running', metadata: { ...spec.metadata, endpoint } });
  const domain = await real.client.domainByUuid(spec.uuid);
  expect((await real.client.call('DOMAIN_IS_PERSISTENT', { dom: domain })).persistent).toBe(1);
  // Its console is its own.
  await agent.run(
    spec.uuid,
    { path: '/bin/sh', args: ['-c', 'echo from within >/dev/console'] },
    { timeoutMs: 20_000 },
  );
  await expect.poll(() => consoleOf(spec), { timeout: 5000 }).toContain('from within');
  // Saved and started it goes on; booted anew it serves from its own disk.
  await agent.run(spec.uuid, { path: '/bin/sh', args: ['-c', 'echo kept >/root/kept; sync'] }, { timeoutMs: 20_000 });
  await far.save(spec.uuid, never);
  await far.start(spec.uuid, never);
  await far.personalise(spec.uuid, identityOf(spec, 'woken'), never);
  expect(await answerOf(endpoint)).toEqual({ server: spec.name });
  await far.destroy(spec.uuid, never);
  await far.start(spec.uuid, never);
  expect(await answerOf(endpoint)).toEqual({ server: spec.name });
  expect(await agent.comes(spec.uuid, 20_000, {})).toBe(true);
  const kept = { path: '/bin/cat', args: ['/root/kept'], output: true };
  expect((await agent.run(spec.uuid, kept, { timeoutMs: 20_000 })).output).toBe('kept\n');
  await remove(spec);
  await far.removeTemplate(key, never);
  await far.close();
}, 180_000);

async function consoleOf(spec: VmSpec): Promise<string> {
  return Buffer.from(await real.hypervisor.console(spec.uuid, 10_000, never)).toString();
}

test('libvirtd killed while it saves: no template, and the next try removes what is left and makes one', async () => {
  const spec = templateSpec(real.memoryMiB + 32);
  const key = await real.hypervisor.templateKey(spec, never);
  const isSaving = async (): Promise<boolean> => (await filesOf(key)).some((name) => name.endsWith('.memory'));
  const killing = (async () => {
    while (!(await isSaving())) await sleep(2);
    process.kill(real.testHost.host.pid, 'SIGKILL');
  })();
  await expect(make(real.hypervisor, spec)).rejects.toMatchObject({ name: 'Fault' });
  await killing;
  await expect.poll(() => keysOf().catch(() => ['unreachable']), { timeout: 10_000 }).not.toContain('unreachable');
  expect(await keysOf()).not.toContain(key);
  const made = await make(real.hypervisor, spec);
  expect(made.key).toBe(key);
  expect((await filesOf(key)).filter((name) => /\.(memory|qcow2)$/.test(name))).toHaveLength(2);
  // Cut short, as by a host that lost its power: none any more, and replaced.
  const memory = (await filesOf(key)).find((name) => name.endsWith('.memory')) ?? '';
  const path = join(real.testHost.host.poolDir, memory);
  const bytes = (await readFile(path)).length;
  await truncate(path, bytes - 4096);
  const other = real.open();
  expect(await keysOf(other)).not.toContain(key);
  await expect(other.createDisk(aSpec(key), never)).rejects.toMatchObject({ kind: 'refused' });
  // A marker alone, or files without one, are none either.
  const stray = join(real.testHost.host.poolDir, 'virtscale-template-00000000000000aa');
  await writeFile(`${stray}.10.10.0123abcd.ok`, '', { mode: 0o666 });
  await writeFile(`${stray}.0123abcd.qcow2`, '', { mode: 0o666 });
  expect(await keysOf(other)).not.toContain('00000000000000aa');
  await other.removeTemplate('00000000000000aa', never);
  await other.removeTemplate(key, never);
  expect(await filesOf(key)).toEqual([]);
  expect((await readdir(real.testHost.host.poolDir)).filter((name) => name.includes('00000000000000aa'))).toEqual([]);
  await other.close();
}, 180_000);
