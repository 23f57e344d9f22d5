// Several embedded hosts of one daemon, from its configuration to VMs on each: side by side, none in another's way.
// Not here: one embedded host and its libvirtd's end and return (embedded-host.test.ts).

import { access, chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { stopEmbeddedHost } from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { findLayout, type Layout } from '../../src/adapters/hypervisor/embedded/layout.ts';
import { findLibvirtd, socketUri } from '../../src/adapters/hypervisor/embedded/libvirtd.ts';
import { processesWith } from '../../src/adapters/hypervisor/embedded/processes.ts';
import { NetworkProber } from '../../src/adapters/prober/network-prober.ts';
import { parseDaemonConfig } from '../../src/config/daemon-file.ts';
import type { Endpoint, Image } from '../../src/core/model.ts';
import type { Log } from '../../src/engine/log.ts';
import { Hosts } from '../../src/hosts.ts';
import { LibvirtClient, MigrateFlags } from '../../src/libvirt/index.ts';
import type { Hypervisor, VmSpec } from '../../src/ports/hypervisor.ts';
import { startEmbeddedBed } from '../bed/embedded-bed.ts';
import { eventually } from '../support/bed-eventually.ts';
import { bedImage, bedSpec, launch, remove } from '../support/bed-guest.ts';
import { BedProgram } from '../support/bed-program.ts';

const NAMES = ['a', 'b', 'c'] as const;
/** Addresses far from what other tests and people use; those given by default are the configuration's own tests' concern. */
const CONFIG = `hosts:
  - { name: a, embedded: true, network: { forward: 127.76.1 } }
  - { name: b, embedded: true, network: { forward: 127.76.2 } }
  - { name: c, embedded: true, network: { forward: 127.76.3 } }
`;
const READY = { http: { port: 80, path: '/' } };

const never = new AbortController().signal;
const said: string[] = [];
let stateDir: string;
let hosts: Hosts;
const built: Image[] = [];

const hypervisorOf = (name: string): Hypervisor => {
  const found = hosts.all.find(({ hypervisor }) => hypervisor.host === name);
  if (found === undefined) throw new Error(`no host ${name}`);
  return found.hypervisor;
};

async function layoutOf(name: string): Promise<Layout> {
  const layout = await findLayout(join(stateDir, name), process.getuid?.() === 0);
  if (layout === undefined) throw new Error(`host ${name} has no folder`);
  return layout;
}

async function asked<T>(name: string, ask: (client: LibvirtClient) => Promise<T>): Promise<T> {
  const client = new LibvirtClient({ uri: socketUri(await layoutOf(name)) });
  try {
    return await ask(client);
  } finally {
    await client.close();
  }
}

beforeAll(async () => {
  stateDir = await mkdtemp('/tmp/vst-');
  await chmod(stateDir, 0o755);
  const file = { path: join(stateDir, 'virtscale.yaml'), text: CONFIG };
  const parsed = parseDaemonConfig({ file, flags: { stateDir }, env: {}, homeDir: stateDir, cwd: stateDir });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const note = (_fields: object, line: string): void => void said.push(line);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  hosts = new Hosts(parsed.config, new SystemClock(), log, async (image) => void built.push(image));
  await hosts.prepare();
});

afterAll(async () => {
  await hosts?.close();
  for (const name of NAMES) await stopEmbeddedHost(join(stateDir, name));
  await rm(stateDir, { recursive: true, force: true, maxRetries: 5 });
});

test('all come up at once, each a libvirtd, a machine and addresses of its own; the image is built once', async () => {
  const facts = await Promise.all(
    NAMES.map(async (name) => {
      await hypervisorOf(name).info(never);
      const layout = await layoutOf(name);
      const capabilities = await asked(name, (client) => client.capabilities());
      const driver = await readFile(join(layout.dir, 'c/libvirt/qemu.conf'), 'utf8');
      return {
        pid: await findLibvirtd(layout),
        uuid: /<uuid>([^<]+)<\/uuid>/.exec(capabilities)?.[1],
        pool: layout.poolDir,
        migration: /^migration_host = "(.+)"$/m.exec(driver)?.[1],
      };
    }),
  );
  for (const key of ['pid', 'uuid', 'pool', 'migration'] as const) {
    expect(new Set(facts.map((fact) => fact[key])).size, key).toBe(NAMES.length);
  }
  expect(facts.map(({ migration }) => migration)).toEqual(['127.76.1.255', '127.76.2.255', '127.76.3.255']);
  expect(said.filter((line) => line.startsWith('building the guest image'))).toHaveLength(1);
  expect(new Set(built.map(({ name, path }) => `${name} ${path}`)).size).toBe(1);
});

test('a VM on each answers from its host’s addresses; one hung libvirtd is nobody else’s trouble', async () => {
  const image = built.find(({ name }) => name === 'backend');
  const { memoryMiB, userNetworkArgs } = await bedImage();
  if (image === undefined) throw new Error('no image');
  const vms = NAMES.map((name, index) => ({
    name,
    spec: bedSpec({ image, memoryMiB, userNetworkArgs }, index + 1),
  }));
  // No more than two boot at a time on two cores.
  const first = await Promise.all(vms.slice(0, 2).map(({ name, spec }) => serve(name, spec)));
  const endpoints = [...first, ...(await Promise.all(vms.slice(2).map(({ name, spec }) => serve(name, spec))))];
  expect(endpoints.map(({ address }) => address)).toEqual(['127.76.1.1', '127.76.2.1', '127.76.3.1']);
  for (const { name, spec } of vms) {
    const { domains } = await hypervisorOf(name).observe(never);
    expect(domains.map((domain) => domain.uuid)).toEqual([spec.uuid]);
  }

  const pid = await findLibvirtd(await layoutOf('b'));
  if (pid === undefined) throw new Error('b has no libvirtd');
  process.kill(pid, 'SIGSTOP');
  try {
    const hung = hypervisorOf('b').observe(AbortSignal.timeout(3_000));
    const failed = expect(hung).rejects.toMatchObject({ kind: expect.stringMatching(/aborted|timed-out|unreachable/) });
    const slowest = Math.max(...(await Promise.all(['a', 'c'].map(slowestObserve))));
    expect(slowest).toBeLessThan(1_000);
    await failed;
    // Its VM does not notice.
    expect(await new NetworkProber().probe(endpoints[1] as Endpoint, READY, 2_000, never)).toBe(true);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  expect((await eventually('answer of b', () => hypervisorOf('b').observe(never))).domains).toHaveLength(1);
  await Promise.all(vms.map(({ name, spec }) => remove(hypervisorOf(name), spec, never)));
});

test('a guest moves from one to another, and arrives at that one’s address', async () => {
  const uuid = '00000000-0000-4000-8000-0000000000aa';
  const xml = `<domain type='qemu'><name>wanderer</name><uuid>${uuid}</uuid><memory unit='MiB'>16</memory>
    <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><controller type='usb' model='none'/></devices></domain>`;
  const destUri = socketUri(await layoutOf('c'));
  await asked('a', async (client) => {
    const domain = await client.defineDomain(xml);
    await client.createDomain(domain);
    const flags = MigrateFlags.LIVE | MigrateFlags.PERSIST_DEST | MigrateFlags.UNDEFINE_SOURCE;
    await client.migrateP2p(domain, { destUri, flags }, { timeoutMs: 20_000 });
    expect(await client.listDomains()).toEqual([]);
  });
  await asked('c', async (client) => {
    const domain = await client.domainByUuid(uuid);
    expect(domain.id).toBeGreaterThan(0);
    await client.destroyDomain(domain);
    await client.undefineDomain(domain);
  });
});

test('when they are stopped no process and no guest of theirs is left', async () => {
  await hosts.close();
  const dirs = await Promise.all(NAMES.map(async (name) => (await layoutOf(name)).dir));
  // Letting go is not stopping: the next start would find them.
  expect((await Promise.all(dirs.map(processesWith))).every((found) => found.length > 0)).toBe(true);
  for (const name of NAMES) expect(await stopEmbeddedHost(join(stateDir, name))).toBe(true);
  expect((await Promise.all(dirs.map(processesWith))).flat()).toEqual([]);
});

test('by hand: a bed is up until Ctrl-C, with a configuration that a daemon takes', async () => {
  const program = await BedProgram.start('e', 2);
  try {
    const path = join(program.dir, 'virtscale.yaml');
    const file = { path, text: await readFile(path, 'utf8') };
    expect(program.text).toContain(file.text);
    const parsed = parseDaemonConfig({ file, env: {}, homeDir: program.dir, cwd: program.dir });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const uris = parsed.config.hosts.flatMap((host) => (host.kind === 'libvirt' ? [host.uri] : []));
    expect(uris).toHaveLength(2);
    for (const uri of uris) {
      const client = new LibvirtClient({ uri });
      expect(await client.listDomains()).toEqual([]);
      await client.close();
    }
  } finally {
    expect(await program.end('SIGINT')).toBe(0);
  }
  expect(await processesWith(`${program.dir}/`)).toEqual([]);
  await expect(access(program.dir)).rejects.toThrow('ENOENT');
});

test('by hand: what a killed one leaves behind, the next one removes', async () => {
  const program = await BedProgram.start('e', 1);
  const { dir } = program;
  await program.end('SIGKILL');
  const next = await startEmbeddedBed({ hosts: 1 });
  try {
    expect(await processesWith(`${dir}/`)).toEqual([]);
    await expect(access(dir)).rejects.toThrow('ENOENT');
  } finally {
    await next.stop();
  }
  await expect(access(next.dir)).rejects.toThrow('ENOENT');
});

/** Launches a VM and waits until it answers over HTTP. */
async function serve(host: string, spec: VmSpec): Promise<Endpoint> {
  const hypervisor = hypervisorOf(host);
  await launch(hypervisor, spec, never);
  const prober = new NetworkProber();
  return await eventually(`answer of ${spec.name}`, async () => {
    const endpoint = await hypervisor.endpoint(spec.uuid, 80, never);
    return endpoint !== undefined && (await prober.probe(endpoint, READY, 200, never)) ? endpoint : undefined;
  });
}

/** In ms, of twenty polls one after another. */
async function slowestObserve(host: string): Promise<number> {
  let slowest = 0;
  for (let count = 0; count < 20; count += 1) {
    const begun = performance.now();
    await hypervisorOf(host).observe(never);
    slowest = Math.max(slowest, performance.now() - begun);
  }
  return slowest;
}
