// Whole hosts in namespaces of their own: every way to reach a libvirtd, a VM on a bridge with an address by DHCP, quotas,
// and what befalls hosts. One bed for the whole file, in the order of its life.
// Needs root; where there is none this file says so and tests nothing.

import { access } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { processesWith } from '../../src/adapters/hypervisor/embedded/processes.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import type { Endpoint } from '../../src/core/model.ts';
import { LibvirtClient } from '../../src/libvirt/index.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import type { BedHost } from '../bed/bed-host.ts';
import { BEDS_FOLDER } from '../bed/bed-name.ts';
import { run } from '../bed/command.ts';
import { bedCgroups } from '../bed/cpu-quota.ts';
import { type HostBed, startHostBed } from '../bed/host-bed.ts';
import { removeAbandonedHostBeds } from '../bed/reaper.ts';
import { canHoldHosts } from '../bed/requirements.ts';
import { BED_CLIENT, type HttpAnswer, type SeenByClient } from '../support/bed-client.ts';
import { BOOT_LIMIT_MS, eventually } from '../support/bed-eventually.ts';
import { type BedImage, bedImage, bedSpec, launch } from '../support/bed-guest.ts';
import { BedProgram } from '../support/bed-program.ts';

/** While VMs boot; `HOST_PERCENT` is for measuring. */
const BOOT_PERCENT = 150;
const HOST_PERCENT = 20;
const VM_PERCENT = 60;

const verdict = await canHoldHosts();
// A machine without the packages must fail: those can be had. One without the rights or the kernel cannot be helped.
const reason = verdict.ok || verdict.lacks === 'programs' ? undefined : verdict.reason;
if (reason !== undefined) console.warn(`\n*** test/real/bed-hosts.test.ts TESTS NOTHING HERE: ${reason} ***\n`);

describe('whole hosts', () => {
  if (reason === undefined) wholeHosts();
  else it(`NOT TESTED: this machine cannot hold them: ${reason}`, () => expect(reason).not.toBe(''));
});

function wholeHosts(): void {
  const never = new AbortController().signal;
  let bed: HostBed;
  let built: BedImage;
  let h1: BedHost;
  let h2: BedHost;
  let hypervisor: LibvirtHypervisor;
  let spec: VmSpec;
  let endpoint: Endpoint;

  beforeAll(async () => {
    built = await bedImage();
    bed = await startHostBed({ hosts: 2, quotas: { hostPercent: BOOT_PERCENT, vmPercent: VM_PERCENT } });
    const [first, second] = bed.hosts;
    if (first === undefined || second === undefined) throw new Error('no hosts');
    [h1, h2] = [first, second];
    hypervisor = new LibvirtHypervisor({
      host: 'h1',
      uri: h1.uris.unix,
      clock: new SystemClock(),
      pool: { name: 'virtscale' },
      network: { kind: 'bridge', name: 'br0' },
      accel: { kind: 'qemu', reason: 'for the test' },
    });
    spec = bedSpec(built, 1);
  });

  afterAll(async () => {
    await hypervisor?.close();
    await bed?.stop();
  });

  const askFromInside = async <T>(...args: string[]): Promise<T> => {
    const text = await bed.ctl([process.execPath, BED_CLIENT, ...args], { timeoutMs: BOOT_LIMIT_MS });
    return JSON.parse(text) as T;
  };

  it('are reached by their unix sockets from outside, each a host of its own with a pool', async () => {
    const uuids = await Promise.all(
      bed.hosts.map(async ({ name, uris }) => {
        const client = new LibvirtClient({ uri: uris.unix });
        try {
          expect(await client.hostname()).toBe(name);
          expect(await client.listVolumes(await client.lookupPoolByName('virtscale'))).toEqual([]);
          return /<uuid>([^<]+)<\/uuid>/.exec(await client.capabilities())?.[1];
        } finally {
          await client.close();
        }
      }),
    );
    expect(new Set(uuids).size).toBe(2);
  });

  it('have a network that this machine itself is not in', async () => {
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []);
    expect(addresses.filter((address) => address.startsWith('10.77.0.'))).toEqual([]);
    expect(await run(['ip', '-brief', 'link'])).not.toMatch(/\b(v1|up0)@/);
  });

  it.each(['tcp', 'tls', 'ssh'] as const)('are reached by %s from inside', async (transport) => {
    const seen = await Promise.all(
      bed.hosts.map(({ uris }) => askFromInside<SeenByClient>('libvirt', uris[transport])),
    );
    expect(seen).toEqual(
      ['h1', 'h2'].map((hostname) => ({ hostname, libvirt: expect.any(Number), domains: [], volumes: [] })),
    );
  });

  it('let nobody in by tls or ssh who has no certificate or key of this bed', async () => {
    const tls = h1.uris.tls.replace(/pkipath=.*/, `pkipath=${join(bed.dir, 'h1')}`);
    const ssh = h1.uris.ssh.replace(/keyfile=[^&]*/, `keyfile=${join(bed.dir, 'ssh/host')}`);
    await Promise.all(
      [tls, ssh].map((uri) => expect(askFromInside('libvirt', uri)).rejects.toThrow('ConnectionError')),
    );
  });

  it('give a VM on the bridge an address by DHCP, where it answers', async () => {
    await launch(hypervisor, spec, never);
    endpoint = await eventually('address', () => hypervisor.endpoint(spec.uuid, 80, never));
    expect(endpoint).toEqual({ address: expect.stringMatching(/^10\.77\.0\.\d+$/), port: 80 });
    const answer = await askFromInside<HttpAnswer>('http', `http://${endpoint.address}/10`, '20000');
    expect(answer).toEqual({ status: 200, body: { input: 10, result: 55, server: spec.name } });
  });

  it('hold their quotas: that of a VM, and that of a host', async () => {
    expect(bed.quotas.reason).not.toBe('');
    if (!bed.quotas.inForce) return console.warn(`\n*** CPU quotas are NOT tested here: ${bed.quotas.reason} ***\n`);
    // Little enough that a machine with other things to do would give more.
    await h2.limitCpu(HOST_PERCENT);
    expect(await busyHostPercent(h2)).toBeLessThan(HOST_PERCENT * 1.3);
    expect(await h2.throttledPeriods()).toBeGreaterThan(5);
    expect(await busyVmPercent()).toBeLessThan(VM_PERCENT * 1.15);
    expect(await h1.throttledPeriods(spec.name)).toBeGreaterThan(0);
  });

  it('hang, lose and regain their libvirtd; VMs and the other host do not notice', async () => {
    await h1.stopLibvirtd();
    expect(await h1.answers(300)).toBe(false);
    expect(await h2.answers()).toBe(true);
    await h1.continueLibvirtd();
    expect(await h1.answers()).toBe(true);

    await h1.hold();
    expect(await h1.answers(300)).toBe(false);
    const [answer] = await Promise.all([
      askFromInside<HttpAnswer>('http', `http://${endpoint.address}/`, '2000'),
      expect(askFromInside('libvirt', h1.uris.tcp)).rejects.toThrow(),
    ]);
    expect(answer.status).toBe(200);
    await h1.release(never);
    const found = await eventually('running VM', async () => {
      const { domains } = await hypervisor.observe(never);
      return domains.find(({ state }) => state === 'running');
    });
    expect(found.uuid).toBe(spec.uuid);
  });

  it('are gone with everything when switched off, and come back with their disks', async () => {
    const qemus = async () => (await processesWith(`${bed.dir}/h1/pool/`)).length;
    expect(await qemus()).toBe(1);
    await h1.powerOff();
    // The kernel takes a moment to take a killed QEMU's memory apart.
    await eventually('host without a QEMU', async () => (await qemus()) === 0 || undefined);
    expect(await h1.answers(300)).toBe(false);
    expect(await h2.answers()).toBe(true);
    await Promise.all([
      expect(askFromInside('http', `http://${endpoint.address}/`, '600')).rejects.toThrow(),
      expect(askFromInside('libvirt', h1.uris.tcp)).rejects.toThrow(),
    ]);
    await h1.powerOn(never);
    const { domains } = await eventually('poll', () => hypervisor.observe(never));
    expect(domains).toMatchObject([{ uuid: spec.uuid, state: 'stopped' }]);
    expect(await eventually('disks', () => hypervisor.listDisks(never))).toEqual([spec.name]);
  });

  it('leave nothing when the bed is stopped', async () => {
    await hypervisor.close();
    await bed.stop();
    expect(await tracesOf(bed.name)).toEqual([]);
  });

  it('die with the one who started them, and the next bed removes the rest', async () => {
    const program = await BedProgram.start('h', 1);
    const { name } = program;
    expect(await tracesOf(name)).not.toEqual([]);
    await program.end('SIGKILL');
    await eventually(
      'end of its hosts',
      async () => (await processesWith(`${name}/`)).length === 0 || undefined,
      5_000,
    );
    expect(await removeAbandonedHostBeds()).toContain(name);
    expect(await tracesOf(name)).toEqual([]);
  });

  /** Of one CPU, by the VM while it computes. */
  async function busyVmPercent(): Promise<number> {
    const load = askFromInside('http', `http://${endpoint.address}/45`, '1500').catch(() => undefined);
    const read = async () => {
      const [domain] = (await hypervisor.observe(never)).domains;
      return { ns: domain?.cpuTimeNs ?? 0, atMs: domain?.readAtMs ?? 0 };
    };
    await sleep(1_000);
    const before = await read();
    await sleep(1_500);
    const after = await read();
    await load;
    return ((after.ns - before.ns) / 1e6 / (after.atMs - before.atMs)) * 100;
  }
}

/** Of one CPU, by two programs on the host that do nothing but count. */
async function busyHostPercent(host: BedHost): Promise<number> {
  const count = "timeout 2 sh -c 'while :; do :; done' &";
  const begun = performance.now();
  const text = await host.in(['sh', '-c', `${count} ${count} wait; times`]);
  const elapsedMs = performance.now() - begun;
  // The second line is of the children: user and system, such as 0m1.230s 0m0.010s.
  const times = [...(text.trim().split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  const usedMs = times.reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000,
    0,
  );
  return (usedMs / elapsedMs) * 100;
}

/** Whatever on this machine carries the bed's name. */
async function tracesOf(name: string): Promise<readonly string[]> {
  const spaces = (await run(['ip', 'netns', 'list'])).split('\n');
  const folder = join(BEDS_FOLDER, name);
  const there = await access(folder).then(
    () => [folder],
    () => [],
  );
  const processes = (await processesWith(`${name}/`)).map(({ argv }) => argv.join(' '));
  return [...spaces, ...(await bedCgroups())].filter((trace) => trace.includes(name)).concat(there, processes);
}
