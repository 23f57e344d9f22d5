/**
 * The embedded host as it is: a real libvirtd and a real guest from the image. One host for the whole file, in the order
 * of its life: it starts, boots a guest, loses libvirtd, is found again, and goes without a trace.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedHost, stopEmbeddedHost } from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { probeKvm } from '../../src/adapters/hypervisor/embedded/kvm-probe.ts';
import { isRunning, processesWith } from '../../src/adapters/hypervisor/embedded/processes.ts';
import { type Domain, DomainState, LibvirtClient } from '../../src/libvirt/index.ts';
import { startTestHost, type TestHost } from '../support/embedded-host.ts';

const BOOT_LIMIT_MS = 60_000;

let bed: TestHost;
let client: LibvirtClient;
let guest: Domain;
let port: number;

async function freePort(): Promise<number> {
  const server = createServer();
  const bound = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return bound;
}

/** Asks until the guest answers: the forwarded port is open long before anybody listens behind it. */
async function ask(path: string): Promise<{ status: number; body: unknown }> {
  const deadline = performance.now() + BOOT_LIMIT_MS;
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2_000) });
      return { status: answer.status, body: await answer.json() };
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

async function waitFor(what: string, limitMs: number, seen: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await seen())) {
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(20);
  }
}

async function guestXml(name: string, disk: string): Promise<string> {
  const image = JSON.parse(await readFile(join(bed.imageDir, 'image.json'), 'utf8'));
  const file = (key: string): string => join(bed.imageDir, image[key]);
  const forward = `user,id=fw0,hostfwd=tcp:127.0.0.1:${port}-:${image.httpPort}`;
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>${name}</name>
    <memory unit='MiB'>${image.memoryMiB.suggested}</memory><vcpu>1</vcpu>
    <sysinfo type='smbios'><system><entry name='serial'>${name}</entry></system></sysinfo>
    <os><type arch='x86_64' machine='pc'>hvm</type><kernel>${file('kernel')}</kernel><initrd>${file('initrd')}</initrd>
      <cmdline>${image.kernelArgs} ${image.userNetworkArgs}</cmdline><smbios mode='sysinfo'/></os>
    <features><acpi/><apic/></features>
    <devices>
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
      <controller type='virtio-serial' index='0'/>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <serial type='pty'><target port='0'/></serial><controller type='usb' model='none'/>
    </devices>
    <qemu:commandline><qemu:arg value='-netdev'/><qemu:arg value='${forward}'/>
      <qemu:arg value='-device'/><qemu:arg value='virtio-net-pci,netdev=fw0,romfile=,bus=pci.0,addr=0x10'/></qemu:commandline>
  </domain>`;
}

beforeAll(async () => {
  bed = await startTestHost({ withImage: true });
  client = new LibvirtClient({ uri: bed.uri });
  port = await freePort();
}, 180_000);

afterAll(async () => {
  await client?.close();
  await bed?.stop();
});

describe('embedded host', () => {
  it('runs an unprivileged libvirtd of its own that answers', async () => {
    expect(bed.host.reused).toBe(false);
    expect(await client.listDomains()).toEqual([]);
    const status = await readFile(`/proc/${bed.host.pid}/status`, 'utf8');
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
    expect(uid).toBe(bed.host.runAs?.uid ?? process.getuid?.());
    expect(uid).not.toBe(0);
  });

  it('boots the guest image from a linked clone, and the guest computes', { timeout: 2 * BOOT_LIMIT_MS }, async () => {
    const pool = await client.definePool(
      `<pool type='dir'><name>disks</name><target><path>${bed.host.poolDir}</path></target></pool>`,
    );
    await client.createPool(pool);
    const volume = await client.createVolume(
      pool,
      `<volume><name>guest-1.qcow2</name><capacity>67108864</capacity><target><format type='qcow2'/></target>
        <backingStore><path>${join(bed.imageDir, 'root.qcow2')}</path><format type='qcow2'/></backingStore></volume>`,
    );
    guest = await client.defineDomain(await guestXml('guest-1', volume.key));
    await client.createDomain(guest);
    expect(await ask('/10')).toEqual({ status: 200, body: { input: 10, result: 55, server: 'guest-1' } });
    expect(await ask('/')).toEqual({ status: 200, body: { server: 'guest-1' } });
    expect(await ask('/46')).toMatchObject({ status: 400 });
    expect(await ask('/elsewhere')).toMatchObject({ status: 404 });
  });

  it('answers / at once while its CPU is busy, and resets no connection of a crowd', { timeout: 60_000 }, async () => {
    const crowd = Promise.all(Array.from({ length: 150 }, () => ask('/24')));
    await sleep(100);
    const started = performance.now();
    await ask('/');
    const waitedMs = performance.now() - started;
    const answers = await crowd;
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(waitedMs).toBeLessThan(performance.now() - started);
    expect(waitedMs).toBeLessThan(2_000);
  });

  it('starts libvirtd again when it was killed; the guest goes on', { timeout: 30_000 }, async () => {
    const exits: number[] = [];
    const off = bed.host.onExit(({ pid }) => exits.push(pid));
    const before = bed.host.pid;
    process.kill(before, 'SIGKILL');
    expect(await ask('/1')).toMatchObject({ status: 200 });
    await waitFor('another libvirtd', 15_000, () => bed.host.pid !== before);
    expect(exits).toEqual([before]);
    off();
    const again = new LibvirtClient({ uri: bed.uri });
    expect((await again.domainState(guest)).state).toBe(DomainState.RUNNING);
    await again.close();
  });

  it('is found running by the next start, with its guest', { timeout: 30_000 }, async () => {
    const second = await startEmbeddedHost({ stateDir: bed.stateDir });
    expect(second.reused).toBe(true);
    expect([second.pid, second.uri, second.dir]).toEqual([bed.host.pid, bed.uri, bed.host.dir]);
    // Two watch it now, and one of them did not start it: whoever is first brings it back, once.
    process.kill(second.pid, 'SIGKILL');
    const before = second.pid;
    await waitFor('both see another libvirtd', 15_000, () => second.pid !== before && bed.host.pid !== before);
    expect(second.pid).toBe(bed.host.pid);
    second.release();
    expect(await ask('/2')).toMatchObject({ status: 200 });
  });

  it('starts a new libvirtd when the one there hangs', { timeout: 60_000 }, async () => {
    const hung = bed.host.pid;
    process.kill(hung, 'SIGSTOP');
    const other = await startEmbeddedHost({ stateDir: bed.stateDir });
    expect(other.pid).not.toBe(hung);
    other.release();
    await waitFor('the first one follows', 15_000, () => bed.host.pid === other.pid);
    expect(await ask('/3')).toMatchObject({ status: 200 });
  });

  it('powers the guest off through ACPI', { timeout: 30_000 }, async () => {
    const again = new LibvirtClient({ uri: bed.uri });
    await again.shutdownDomain(guest);
    await waitFor('shut off', 20_000, async () => (await again.domainState(guest)).state === DomainState.SHUTOFF);
    await again.createDomain(guest);
    expect(await ask('/4')).toMatchObject({ status: 200 });
    await again.close();
  });

  it('leaves no process when all is stopped, its own or found by its folder', { timeout: 60_000 }, async () => {
    const { host } = bed;
    const mark = `${host.dir}/`;
    expect((await processesWith(mark)).length).toBeGreaterThanOrEqual(3); // tini, libvirtd, QEMU
    await host.stop();
    expect(await isRunning(host.pid, host.dir)).toBe(false);
    expect(await ask('/5')).toMatchObject({ status: 200 }); // stop() is libvirtd's end only
    expect(await stopEmbeddedHost(bed.stateDir)).toBe(true);
    expect(await processesWith(mark)).toEqual([]);
    expect(await processesWith(host.uri.split('=')[1]?.replace(/r\/libvirt.*/, '') ?? 'none')).toEqual([]);
    expect(await stopEmbeddedHost(join(bed.stateDir, 'no-such-host'))).toBe(false);
  });

  it('says why guests are emulated, or that they are not', async () => {
    expect(bed.host.accelReason).not.toBe('');
    const verdict = await probeKvm({ qemu: '/bin/false', qemuVersion: '0', account: undefined, dir: bed.stateDir });
    expect(verdict.accel).toBe('qemu'); // a QEMU that runs no guest proves no KVM
  });
});
