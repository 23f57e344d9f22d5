// The libvirt adapter on a real host, beyond the port's contract: stuck guests, far hosts, leftovers, sizes.
// Not here: the contract (hypervisor-contract.test.ts).

import { readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { emptyLargeLogs } from '../../src/adapters/hypervisor/libvirt/console-logs.ts';
import { METADATA_URI, readMetadata } from '../../src/adapters/hypervisor/libvirt/vm-metadata.ts';
import { cloudInitFiles } from '../../src/adapters/images/cloud-init.ts';
import { seedIso } from '../../src/adapters/images/seed-iso.ts';
import { AffectFlags, MetadataType } from '../../src/libvirt/index.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { type RealHypervisor, realFixture } from '../support/real-hypervisor.ts';

const READY = { http: { port: 80, path: '/' } };
const never = new AbortController().signal;
const TCP_ADDRESS = '127.77.2.1';
let real: RealHypervisor;
let count = 0;

beforeAll(async () => {
  real = await realFixture({ tcpAddress: TCP_ADDRESS });
});
afterAll(() => real?.dispose());

function aSpec(changes: Partial<VmSpec> = {}): VmSpec {
  count += 1;
  return {
    name: `web-${count}`,
    uuid: `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`,
    image: real.images.good,
    flavor: { name: 'small', vcpus: 1, memoryMiB: real.memoryMiB },
    ready: READY,
    metadata: { id: count, group: 'web', owner: 'o', operation: `d-${count}`, image: 'backend', flavor: 'small' },
    ...changes,
  };
}
const diskPath = (spec: VmSpec): string => join(real.testHost.host.poolDir, `vs-${spec.name}.qcow2`);

async function launch(spec: VmSpec): Promise<void> {
  await real.hypervisor.createDisk(spec, never);
  await real.hypervisor.define(spec, never);
  await real.hypervisor.start(spec.uuid, never);
}
async function remove(spec: VmSpec): Promise<void> {
  await real.hypervisor.destroy(spec.uuid, never);
  await real.hypervisor.undefine(spec.uuid, never);
  await real.hypervisor.deleteDisk(spec.name, never);
}

/** The QEMU of this VM, as its own libvirtd has noted it. */
async function qemuOf(name: string): Promise<number> {
  return Number(await readFile(join(real.testHost.host.dir, 'r/libvirt/qemu/run', `${name}.pid`), 'utf8'));
}

test('a disk that libvirt was never told of is found and replaced; the overlay is as large as the flavor says', async () => {
  const spec = aSpec({ flavor: { name: 'large', vcpus: 1, memoryMiB: real.memoryMiB, diskGiB: 3 } });
  await real.hypervisor.listDisks(never);
  await real.leaveHalfMadeDisk(spec.name);
  await real.hypervisor.createDisk(spec, never);
  const pool = await real.client.lookupPoolByName('virtscale');
  const volume = await real.client.volumeByName(pool, `vs-${spec.name}.qcow2`);
  expect(await real.client.volumeInfo(volume)).toMatchObject({ capacityBytes: 3 * 1024 ** 3 });
  await real.hypervisor.deleteDisk(spec.name, never);
  await expect(readFile(diskPath(spec))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('on a far host, whose files nobody here can look at, libvirt itself refuses absent and corrupt images', async () => {
  const far = real.open({ uri: `qemu+tcp://${TCP_ADDRESS}/session` });
  try {
    for (const image of [real.images.absent, real.images.corrupt]) {
      const spec = aSpec({ image });
      await expect(far.createDisk(spec, never)).rejects.toMatchObject({
        kind: 'refused',
        message: expect.stringContaining(image.path ?? 'a path'),
        advice: expect.any(String),
      });
      expect(await far.listDisks(never)).not.toContain(spec.name);
    }
    const good = aSpec();
    await far.createDisk(good, never);
    await far.deleteDisk(good.name, never);
  } finally {
    await far.close();
  }
});

test('on a far host it is the overlay that tells how large the image is', async () => {
  const far = real.open({ uri: `qemu+tcp://${TCP_ADDRESS}/session` });
  const flavor = { name: 'narrow', vcpus: 1, memoryMiB: real.memoryMiB, diskGiB: 1 };
  const narrow = aSpec({ image: real.images.large, flavor });
  await expect(far.createDisk(narrow, never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/\b1 GiB\b.*\b2 GiB\b/),
  });
  expect(await far.listDisks(never)).not.toContain(narrow.name);
  const wide = aSpec({ image: real.images.large, flavor: { ...flavor, diskGiB: 3 } });
  await far.createDisk(wide, never);
  const pool = await real.client.lookupPoolByName('virtscale');
  const volume = await real.client.volumeByName(pool, `vs-${wide.name}.qcow2`);
  expect(await real.client.volumeInfo(volume)).toMatchObject({ capacityBytes: 3 * 1024 ** 3 });
  await far.deleteDisk(wide.name, never);
  await far.close();
});

test('the seed image says what cloud-init asks for, is of the VM alone, and goes with its disk', async () => {
  const cloudInit = { hostname: 'web-9', sshKeys: [], userData: '#cloud-config\nruncmd: [echo]\n' };
  const spec = aSpec({ cloudInit });
  await real.hypervisor.createDisk(spec, never);
  const path = join(real.testHost.host.poolDir, `vs-${spec.name}.seed.iso`);
  const expected = seedIso(cloudInitFiles({ ...cloudInit, instanceId: spec.uuid }));
  expect((await readFile(path)).equals(expected)).toBe(true);
  expect((await stat(path)).mode & 0o077).toBe(0);
  await real.hypervisor.define(spec, never);
  await expect(real.hypervisor.deleteDisk(spec.name, never)).rejects.toMatchObject({ kind: 'conflict' });
  expect((await readFile(path)).equals(expected)).toBe(true);
  await remove(spec);
  await expect(readFile(path)).rejects.toMatchObject({ code: 'ENOENT' });
});

test("a console's log: its end, also across a full one and a hole; gone with the disk", async () => {
  const spec = aSpec();
  await real.hypervisor.define(spec, never);
  const path = join(real.testHost.host.poolDir, `vs-${spec.name}.console.log`);
  const tail = async (bytes: number): Promise<string> =>
    Buffer.from(await real.hypervisor.console(spec.uuid, bytes, never)).toString();
  expect(await tail(100)).toBe('');
  // As virtlogd leaves it: readable to its own account alone, which is who libvirtd runs as.
  await writeFile(path, 'a new line\n', { mode: 0o666 });
  expect(await tail(100)).toBe('a new line\n');
  expect(await tail(5)).toBe('line\n');
  await writeFile(`${path}.0`, 'an old line\n', { mode: 0o666 });
  await real.client.refreshPool(await real.client.lookupPoolByName('virtscale'));
  expect(await tail(16)).toBe('line\na new line\n');
  await truncate(path, 0);
  await truncate(path, 20);
  await writeFile(path, 'x', { flag: 'a' });
  expect(await tail(10)).toContain('x');
  expect(await tail(10)).not.toContain('\0');
  const elsewhere = join(real.testHost.stateDir, 'elsewhere');
  await writeFile(elsewhere, 'x'.repeat(1000));
  const link = join(real.testHost.host.poolDir, 'vs-a.console.log');
  await symlink(elsewhere, link);
  await emptyLargeLogs(real.testHost.host.poolDir, 100);
  expect((await stat(path)).size).toBe(0);
  expect((await stat(elsewhere)).size).toBe(1000);
  await rm(link);
  await remove(spec);
  expect((await readdir(real.testHost.host.poolDir)).filter((name) => name.includes(spec.name))).toEqual([]);
});

test("somebody else's domain is adopted where it runs and where it is defined, and let go in both", async () => {
  const { metadata, name, uuid } = aSpec();
  await real.strangerDefines({ uuid, name });
  const domain = await real.client.createDomain({ uuid, name, id: -1 });
  const written = (flags: number): Promise<string | undefined> =>
    real.client.getMetadata(domain, { type: MetadataType.ELEMENT, uri: METADATA_URI, flags }).then(
      (xml) => xml,
      () => undefined,
    );
  await real.hypervisor.adopt(uuid, { ...metadata, adopted: true }, never);
  for (const flags of [AffectFlags.AFFECT_LIVE, AffectFlags.AFFECT_CONFIG]) {
    expect(readMetadata((await written(flags)) ?? '')).toEqual({ ...metadata, adopted: true });
  }
  await expect(real.hypervisor.undefine(uuid, never)).rejects.toMatchObject({ kind: 'conflict' });
  await real.hypervisor.release(uuid, never);
  expect(await written(AffectFlags.AFFECT_LIVE)).toBeUndefined();
  expect(await written(AffectFlags.AFFECT_CONFIG)).toBeUndefined();
  await expect(real.hypervisor.destroy(uuid, never)).rejects.toMatchObject({ kind: 'conflict' });
  await real.client.destroyDomain(domain);
  await real.strangerUndefines(uuid);
});

test('a pool is made where it is asked for; without a path it is refused', async () => {
  const path = join(real.testHost.host.poolDir, 'another');
  const spec = aSpec();
  const without = real.open({ pool: { name: 'another' } });
  await expect(without.createDisk(spec, never)).rejects.toMatchObject({
    kind: 'refused',
    advice: expect.stringContaining('another'),
  });
  await without.close();
  const other = real.open({ pool: { name: 'another', path } });
  // Both at once: one makes it, the other waits.
  await Promise.all([other.createDisk(spec, never), other.createDisk(aSpec(), never)]);
  expect(await readdir(path)).toHaveLength(2);
  for (const name of await other.listDisks(never)) await other.deleteDisk(name, never);
  expect(await readdir(path)).toEqual([]);
  await other.close();
});

test('one QEMU that is stopped holds up neither polls nor other VMs, and can be destroyed', async () => {
  const stuck = aSpec();
  await launch(stuck);
  const pid = await qemuOf(stuck.name);
  process.kill(pid, 'SIGSTOP');
  try {
    // Somebody's monitor command now waits for it for ever.
    const statistics = real.client.allDomainStats({ stats: 0, flags: 0 }).catch(() => undefined);
    const startedMs = performance.now();
    const seen = await real.hypervisor.observe(never);
    expect(seen.domains.find(({ uuid }) => uuid === stuck.uuid)).toMatchObject({ state: 'running' });
    const other = aSpec();
    await real.hypervisor.createDisk(other, never);
    await real.hypervisor.define(other, never);
    await real.hypervisor.undefine(other.uuid, never);
    await real.hypervisor.deleteDisk(other.name, never);
    expect(performance.now() - startedMs).toBeLessThan(3000);
    const askedMs = performance.now();
    expect(await real.hypervisor.addresses(stuck.uuid, never)).toMatchObject([{ source: 'forward' }]);
    expect(performance.now() - askedMs).toBeLessThan(2600);
    await remove(stuck);
    expect((await real.hypervisor.observe(never)).domains.map(({ uuid }) => uuid)).not.toContain(stuck.uuid);
    await statistics;
  } finally {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // It is gone, as it should be.
    }
  }
});

test('the guest knows its name, and answers from the address it was given', async () => {
  const spec = aSpec();
  await launch(spec);
  const endpoint = await real.hypervisor.endpoint(spec.uuid, 80, never);
  if (endpoint === undefined) throw new Error('no endpoint');
  const endMs = performance.now() + real.patienceMs;
  while (!(await real.prober.probe(endpoint, READY, 150, never))) {
    if (performance.now() > endMs) throw new Error('never ready');
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  const answer = await fetch(`http://${endpoint.address}:${endpoint.port}/5`);
  expect(await answer.json()).toEqual({ input: 5, result: 5, server: spec.name });
  await remove(spec);
});
