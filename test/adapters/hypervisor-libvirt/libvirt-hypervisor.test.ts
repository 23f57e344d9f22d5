// The libvirt adapter against a scripted daemon that answers what no healthy one does.
// Not here: the port's contract on real libvirt (test/real).

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SystemClock } from '../../../src/adapters/clock/system-clock.ts';
import {
  LibvirtHypervisor,
  type LibvirtHypervisorOptions,
} from '../../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { metadataXml } from '../../../src/adapters/hypervisor/libvirt/vm-metadata.ts';
import type { VmMetadata } from '../../../src/core/model.ts';
import { DomainState, ErrorCode } from '../../../src/libvirt/index.ts';
import { FakeLibvirtd, fakeDomain } from '../../support/fake-libvirtd.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const never = new AbortController().signal;
const metadataOf = (id: number): VmMetadata => ({
  id,
  group: 'web',
  owner: 'o',
  operation: 'd',
  image: 'i',
  flavor: 'f',
});

let daemon: FakeLibvirtd;
let hypervisor: LibvirtHypervisor;
let domains = [fakeDomain(1), fakeDomain(2), fakeDomain(3, -1)];

const open = (changes: Partial<LibvirtHypervisorOptions> = {}): LibvirtHypervisor =>
  new LibvirtHypervisor({
    host: 'h1',
    uri: daemon.uri,
    clock: new SystemClock(),
    pool: { name: 'virtscale' },
    network: { kind: 'network', name: 'default' },
    accel: { kind: 'qemu', reason: 'asked for' },
    ...changes,
  });

beforeEach(async () => {
  domains = [fakeDomain(1), fakeDomain(2), fakeDomain(3, -1)];
  daemon = await FakeLibvirtd.start();
  daemon.on('CONNECT_LIST_ALL_DOMAINS', (call) => call.reply({ domains, ret: domains.length }));
  daemon.on('DOMAIN_GET_INFO', (call) => {
    const running = domains.find(({ uuid }) => uuid === call.args.dom.uuid)?.id !== -1;
    const state = running ? DomainState.RUNNING : DomainState.SHUTOFF;
    call.reply({ state, maxMem: 131_072n, memory: 131_072n, nrVirtCpu: 2, cpuTime: 1_230_000_000n });
  });
  daemon.on('DOMAIN_GET_STATE', (call) => call.reply({ state: DomainState.RUNNING, reason: 1 }));
  daemon.on('DOMAIN_IS_ACTIVE', (call) => call.reply({ active: 1 }));
  daemon.on('DOMAIN_LOOKUP_BY_UUID', (call) => {
    const dom = domains.find(({ uuid }) => uuid === call.args.uuid);
    if (dom === undefined) call.fail({ code: ErrorCode.NO_DOMAIN, message: 'no domain' });
    else call.reply({ dom });
  });
  daemon.on('DOMAIN_GET_METADATA', (call) => call.reply({ metadata: metadataXml(metadataOf(1)).xml }));
  daemon.on('NODE_GET_INFO', (call) =>
    call.reply({ model: 'x86_64', memory: 1000n, cpus: 2, mhz: 1000, nodes: 1, sockets: 1, cores: 2, threads: 1 }),
  );
  daemon.on('NODE_GET_MEMORY_STATS', (call) => {
    const params = [
      { field: 'total', value: 8_388_608n },
      { field: 'free', value: 1_048_576n },
      { field: 'cached', value: 2_097_152n },
    ];
    call.reply({ params: call.args.nparams === 0 ? [] : params, nparams: params.length });
  });
  daemon.on('STORAGE_POOL_LOOKUP_BY_NAME', (call) =>
    call.fail({ code: ErrorCode.NO_STORAGE_POOL, message: 'no pool' }),
  );
  hypervisor = open();
});

afterEach(async () => {
  await hypervisor.close();
  await daemon.stop();
});

describe('observe', () => {
  test('memory is that of the node memory stats; a host without a pool has no disk space, and is seen all the same', async () => {
    const { capacity, domains: seen } = await hypervisor.observe(never);
    expect(capacity).toEqual({ cpus: 2, memoryMiB: 8192, memoryFreeMiB: 3072, diskGiB: 0, diskFreeGiB: 0 });
    expect(
      seen.map(({ cpuTimeNs, memoryMiB, name, state, vcpus }) => [name, state, cpuTimeNs, vcpus, memoryMiB]),
    ).toEqual([
      ['vm1', 'running', 1_230_000_000, 2, 128],
      ['vm2', 'running', 1_230_000_000, 2, 128],
      ['vm3', 'stopped', undefined, 2, 128],
    ]);
  });

  test.each([
    [DomainState.PAUSED, 'running'],
    [DomainState.SHUTDOWN, 'running'],
    [DomainState.PMSUSPENDED, 'running'],
    [DomainState.CRASHED, 'running'],
    [DomainState.SHUTOFF, 'stopped'],
    [DomainState.NOSTATE, 'unknown'],
    [42, 'unknown'],
  ])("libvirt's state %i of a domain with a QEMU is %s", async (state, expected) => {
    domains = [fakeDomain(1)];
    daemon.on('DOMAIN_GET_INFO', (call) => call.reply({ state, maxMem: 1024n, memory: 0n, nrVirtCpu: 1, cpuTime: 0n }));
    expect((await hypervisor.observe(never)).domains).toMatchObject([{ state: expected }]);
  });

  test('one that somebody suspended runs, and is told to be paused', async () => {
    domains = [fakeDomain(1), fakeDomain(2)];
    daemon.on('DOMAIN_GET_INFO', (call) => {
      const state = call.args.dom.uuid === fakeDomain(1).uuid ? DomainState.PAUSED : DomainState.RUNNING;
      call.reply({ state, maxMem: 1024n, memory: 0n, nrVirtCpu: 1, cpuTime: 0n });
    });
    const { domains: seen } = await hypervisor.observe(never);
    expect(seen[0]).toMatchObject({ state: 'running', paused: true });
    expect(seen[1]).not.toHaveProperty('paused');
  });

  test("others' domains that nobody watches are counted at every fifth poll, but seen to start and stop at each", async () => {
    daemon.on('DOMAIN_GET_METADATA', (call) => {
      if (call.args.dom.uuid === fakeDomain(1).uuid) call.reply({ metadata: metadataXml(metadataOf(1)).xml });
      else call.fail({ code: ErrorCode.NO_DOMAIN_METADATA, message: 'none' });
    });
    domains = Array.from({ length: 10 }, (_, n) => fakeDomain(n + 1));
    const watched = fakeDomain(2).uuid;
    const poll = () => hypervisor.observe(never, { isWatched: (uuid) => uuid === watched });
    // Whose they are is known after the first polls, which race the resync of the events.
    for (let n = 0; n < 3; n += 1) await poll();
    const connection = await daemon.connection(0);
    const asked = () => connection.calls('DOMAIN_GET_INFO').length;
    const before = asked();
    let seen = await poll();
    for (let n = 1; n < 10; n += 1) seen = await poll();
    // Ours and the watched one ten times, the eight others twice.
    expect(asked() - before).toBe(10 * 2 + 8 * 2);
    expect(seen.domains.map(({ cpuTimeNs, name }) => [name, cpuTimeNs])).toEqual(
      domains.map(({ name }) => [name, 1_230_000_000]),
    );
    domains[4] = fakeDomain(5, -1);
    domains[5] = fakeDomain(6, 77);
    const stopped = await poll();
    expect(stopped.domains[4]).toMatchObject({ name: 'vm5', state: 'stopped' });
    expect(stopped.domains[4]).not.toHaveProperty('cpuTimeNs');
    expect(stopped.domains[5]?.readAtMs).toBeGreaterThanOrEqual(stopped.startedAtMs);
    const everybody = asked();
    await hypervisor.observe(never);
    expect(asked() - everybody).toBe(10);
  });

  test('other counters are read aside, for those that somebody wants; a stuck one delays no poll', async () => {
    const wanted = { wantsStats: (uuid: string) => uuid !== fakeDomain(2).uuid };
    let isStuck = true;
    daemon.on('DOMAIN_GET_CONTROL_INFO', (call) => call.reply({ state: 0, details: 0, stateTime: 0n }));
    daemon.on('CONNECT_GET_ALL_DOMAIN_STATS', (call) => {
      if (isStuck) return;
      const param = (field: string, value: bigint) => ({ field, value: { type: 'ullong' as const, value } });
      const params = [
        param('balloon.available', 1000n),
        param('balloon.usable', 250n),
        { field: 'block.count', value: { type: 'uint' as const, value: 2 } },
        param('block.0.rd.bytes', 5n),
        param('block.1.wr.bytes', 7n),
        { field: 'net.count', value: { type: 'uint' as const, value: 1 } },
        { field: 'vcpu.maximum', value: { type: 'uint' as const, value: 2 } },
        param('vcpu.1.delay', 9n),
      ];
      call.reply({ retStats: call.args.doms.map((dom) => ({ dom, params })) });
    });
    const clock = new VirtualClock();
    const timed = open({ clock });
    const startedMs = performance.now();
    for (let n = 0; n < 3; n += 1) {
      for (const domain of (await timed.observe(never, wanted)).domains) expect(domain).not.toHaveProperty('stats');
    }
    expect(performance.now() - startedMs).toBeLessThan(2000);
    await timed.close();

    isStuck = false;
    const well = open();
    await well.observe(never, wanted);
    const statsOf = async (n: number) => (await well.observe(never, wanted)).domains[n]?.stats;
    await expect.poll(() => statsOf(0)).toBeDefined();
    // Without counters of its card there is none of the network.
    expect(await statsOf(0)).toEqual({ readAtMs: expect.any(Number), memoryPercent: 75, diskBytes: 12, delayNs: 9 });
    expect(await statsOf(1)).toBeUndefined();
    expect(await statsOf(2)).toBeUndefined();
    expect((await well.observe(never)).domains[0]).not.toHaveProperty('stats');
    await well.close();
  });

  test('the CPUs in use are those between two readings, and start anew with the host', async () => {
    let times = { kernel: 0n, user: 0n, idle: 0n, iowait: 0n };
    daemon.on('NODE_GET_CPU_STATS', (call) => {
      const params = Object.entries(times).map(([field, value]) => ({ field, value }));
      call.reply({ params: call.args.nparams === 0 ? [] : params, nparams: params.length });
    });
    const ratio = async () => (await hypervisor.observe(never)).capacity.cpuRatio;
    expect(await ratio()).toBeUndefined();
    const second = 1_000_000_000n;
    times = { kernel: second / 4n, user: second / 2n, idle: second, iowait: second / 4n };
    expect(await ratio()).toBe(0.375);
    // Too soon to tell anything new.
    times = { ...times, user: times.user + 10_000_000n };
    expect(await ratio()).toBe(0.375);
    times = { ...times, user: times.user + 5n * second };
    expect(await ratio()).toBe(1);
    times = { kernel: 0n, user: 1n, idle: 0n, iowait: 0n };
    expect(await ratio()).toBeUndefined();
    times = { ...times, idle: 4n * second };
    expect(await ratio()).toBe(0);
  });

  test('a domain that went away since it was listed is left out; one whose counter cannot be read is not', async () => {
    const answer = { state: 1, maxMem: 131_072n, memory: 0n, nrVirtCpu: 2, cpuTime: 1n };
    await hypervisor.observe(never);
    daemon.on('DOMAIN_GET_INFO', (call) => {
      if (call.args.dom.uuid === fakeDomain(1).uuid) call.fail({ code: ErrorCode.NO_DOMAIN, message: 'gone' });
      else if (call.args.dom.uuid === fakeDomain(2).uuid) {
        call.fail({ code: ErrorCode.OPERATION_FAILED, message: 'cannot read cputime for domain' });
      } else call.reply(answer);
    });
    const { domains: seen } = await hypervisor.observe(never);
    expect(seen.map(({ name }) => name)).toEqual(['vm2', 'vm3']);
    expect(seen[0]).toMatchObject({ state: 'running', vcpus: 2, memoryMiB: 128 });
    expect(seen[0]).not.toHaveProperty('cpuTimeNs');
  });

  test('a domain whose very state cannot be told is unknown, not gone', async () => {
    domains = [fakeDomain(1)];
    const fail = { code: ErrorCode.INTERNAL_ERROR, message: 'internal error: strange' };
    daemon.on('DOMAIN_GET_INFO', (call) => call.fail(fail));
    daemon.on('DOMAIN_GET_STATE', (call) => call.fail(fail));
    expect((await hypervisor.observe(never)).domains).toMatchObject([{ name: 'vm1', state: 'unknown' }]);
  });

  test('when one domain of many is not answered for, the poll fails: never a shorter list', async () => {
    await hypervisor.close();
    hypervisor = open({ callTimeoutMs: 150 });
    await hypervisor.observe(never);
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    await expect(hypervisor.observe(never)).rejects.toMatchObject({ name: 'Fault', kind: 'timed-out' });
  });
});

describe('metadata', () => {
  const asked = async (): Promise<number> => (await daemon.connection(0)).calls('DOMAIN_GET_METADATA').length;

  test('is read once, and again when the domain is defined anew; one entry a poll is read again anyway', async () => {
    await hypervisor.observe(never);
    // The first poll races the resync that comes with the events' registration.
    await hypervisor.observe(never);
    await hypervisor.observe(never);
    const before = await asked();
    expect((await hypervisor.observe(never)).domains[0]?.metadata).toEqual(metadataOf(1));
    expect(await asked()).toBe(before + 1);
    const connection = await daemon.connection(0);
    for (const domain of domains) connection.lifecycle(domain, 0);
    daemon.on('DOMAIN_GET_METADATA', (call) => call.reply({ metadata: metadataXml(metadataOf(2)).xml }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const { domains: seen } = await hypervisor.observe(never);
    expect(seen.map(({ metadata }) => metadata?.id)).toEqual([2, 2, 2]);
  });

  test('that could not be read is asked for again at the next poll', async () => {
    domains = [fakeDomain(1)];
    daemon.on('DOMAIN_GET_METADATA', (call) => call.fail({ code: ErrorCode.OPERATION_TIMEOUT, message: 'locked' }));
    expect((await hypervisor.observe(never)).domains[0]).not.toHaveProperty('metadata');
    daemon.on('DOMAIN_GET_METADATA', (call) => call.reply({ metadata: metadataXml(metadataOf(5)).xml }));
    expect((await hypervisor.observe(never)).domains[0]?.metadata?.id).toBe(5);
    // What was known before is believed while it cannot be read.
    daemon.on('DOMAIN_GET_METADATA', (call) => call.fail({ code: ErrorCode.OPERATION_TIMEOUT, message: 'locked' }));
    for (let poll = 0; poll < 3; poll += 1) {
      expect((await hypervisor.observe(never)).domains[0]?.metadata?.id).toBe(5);
    }
  });

  test("that is not there makes the domain somebody else's: it is not destroyed", async () => {
    daemon.on('DOMAIN_GET_METADATA', (call) => call.fail({ code: ErrorCode.NO_DOMAIN_METADATA, message: 'none' }));
    await expect(hypervisor.destroy(fakeDomain(1).uuid, never)).rejects.toMatchObject({ kind: 'conflict' });
    await expect(hypervisor.undefine(fakeDomain(1).uuid, never)).rejects.toMatchObject({ kind: 'conflict' });
    expect((await daemon.connection(0)).calls('DOMAIN_DESTROY_FLAGS')).toEqual([]);
  });
});

test('a libvirt before 9.0 is refused, with what to do', async () => {
  daemon.on('CONNECT_GET_LIB_VERSION', (call) => call.reply({ lib_ver: 8_000_000n }));
  daemon.on('CONNECT_GET_VERSION', (call) => call.reply({ hv_ver: 6_002_000n }));
  await expect(hypervisor.info(never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('8.0.0'),
    advice: expect.stringContaining('9.0.0'),
  });
  daemon.on('CONNECT_GET_LIB_VERSION', (call) => call.reply({ lib_ver: 9_000_000n }));
  expect(await hypervisor.info(never)).toEqual({
    libvirt: '9.0.0',
    qemu: '6.2.0',
    accel: 'qemu',
    accelReason: 'asked for',
  });
});

test('the CPU is told as far as libvirt knows it', async () => {
  daemon.on('CONNECT_GET_LIB_VERSION', (call) => call.reply({ lib_ver: 9_000_000n }));
  daemon.on('CONNECT_GET_VERSION', (call) => call.reply({ hv_ver: 7_002_000n }));
  const answers = (cpu: string): void =>
    daemon.on('CONNECT_GET_CAPABILITIES', (call) =>
      call.reply({ capabilities: `<capabilities><host><uuid>x</uuid><cpu>${cpu}</cpu></host></capabilities>` }),
    );
  answers("<arch>x86_64</arch><model>Skylake-Server-IBRS</model><model fallback='allow'>other</model>");
  expect(await hypervisor.info(never)).toMatchObject({ arch: 'x86_64', cpuModel: 'Skylake-Server-IBRS' });
  answers('<arch>riscv64</arch>');
  const info = await hypervisor.info(never);
  expect(info.arch).toBe('riscv64');
  expect(info).not.toHaveProperty('cpuModel');
});

describe('addresses', () => {
  const nic = (addr: string) => ({ name: 'eth0', hwaddr: '52:54:00:00:00:01', addrs: [{ type: 0, addr, prefix: 24 }] });

  test('come from whoever knows any, each with its source; loopback and repetitions are left out', async () => {
    daemon.on('DOMAIN_GET_METADATA', (call) =>
      call.reply({ metadata: metadataXml({ ...metadataOf(1), endpoint: { address: '127.0.1.9', port: 8080 } }).xml }),
    );
    daemon.on('DOMAIN_INTERFACE_ADDRESSES', (call) => {
      if (call.args.source === 0) call.fail({ code: ErrorCode.NO_SUPPORT, message: 'no leases' });
      else if (call.args.source === 1) call.reply({ ifaces: [nic('10.0.0.5'), nic('10.0.0.5'), nic('127.0.0.1')] });
      else call.reply({ ifaces: [nic('10.0.0.5')] });
    });
    const rest = { interface: 'eth0', mac: '52:54:00:00:00:01' };
    expect(await hypervisor.addresses(fakeDomain(1).uuid, never)).toEqual([
      { address: '127.0.1.9', source: 'forward' },
      { address: '10.0.0.5', source: 'agent', ...rest },
      { address: '10.0.0.5', source: 'arp', ...rest },
    ]);
  });

  test('a source that hangs is waited for two seconds, all together', async () => {
    daemon.on('DOMAIN_INTERFACE_ADDRESSES', (call) => {
      if (call.args.source === 0) call.reply({ ifaces: [nic('10.0.0.6')] });
    });
    const startedMs = performance.now();
    const found = await hypervisor.addresses(fakeDomain(1).uuid, never);
    expect(found).toMatchObject([{ address: '10.0.0.6', source: 'lease' }]);
    expect(performance.now() - startedMs).toBeLessThan(2600);
  });
});

test('undefine gives up the flags a libvirt does not know, one by one', async () => {
  daemon.on('DOMAIN_IS_ACTIVE', (call) => call.reply({ active: 0 }));
  const tried: number[] = [];
  daemon.on('DOMAIN_UNDEFINE_FLAGS', (call) => {
    tried.push(call.args.flags);
    if (call.args.flags > 3) call.fail({ code: ErrorCode.INVALID_ARG, message: 'unsupported flags' });
    else call.reply({});
  });
  await hypervisor.undefine(fakeDomain(1).uuid, never);
  expect(tried).toEqual([1 | 2 | 4 | 16, 1 | 2 | 4, 1 | 2]);
});

describe('shutdown', () => {
  test('is done when either way works, and does not wait for an agent that hangs', async () => {
    daemon.on('DOMAIN_SHUTDOWN_FLAGS', (call) => {
      if (call.args.flags === 1) call.reply({});
    });
    await hypervisor.shutdown(fakeDomain(1).uuid, never);
    daemon.on('DOMAIN_SHUTDOWN_FLAGS', (call) => {
      if (call.args.flags === 2) call.reply({});
      else call.fail({ code: ErrorCode.OPERATION_UNSUPPORTED, message: 'no ACPI' });
    });
    await hypervisor.shutdown(fakeDomain(1).uuid, never);
  });

  test('fails when neither works and the domain still runs', async () => {
    daemon.on('DOMAIN_SHUTDOWN_FLAGS', (call) => call.fail({ code: ErrorCode.OPERATION_TIMEOUT, message: 'locked' }));
    await expect(hypervisor.shutdown(fakeDomain(1).uuid, never)).rejects.toMatchObject({ kind: 'busy' });
    daemon.on('DOMAIN_IS_ACTIVE', (call) => call.reply({ active: 0 }));
    await hypervisor.shutdown(fakeDomain(1).uuid, never);
  });

  test('a guest that does not hear is asked again, but not after it was started anew', async () => {
    const clock = new VirtualClock();
    await hypervisor.close();
    hypervisor = open({ clock });
    const pressed: string[] = [];
    daemon.on('DOMAIN_SHUTDOWN_FLAGS', (call) => {
      if (call.args.flags !== 1) return;
      pressed.push(call.args.dom.name);
      call.reply({});
    });
    await Promise.all([1, 2].map((n) => hypervisor.shutdown(fakeDomain(n).uuid, never)));
    domains[1] = fakeDomain(2, 77);
    expect(pressed.toSorted()).toEqual(['vm1', 'vm2']);
    // Virtual pauses, real answers: time goes on in small steps until all has happened that ever will.
    for (let step = 0; step < 100; step += 1) {
      await clock.run(clock.nowMs() + 500);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(pressed.slice(2)).toEqual(['vm1', 'vm1', 'vm1']);
    expect(clock.pending).toBe(0);
  });
});

test('a host without the pool refuses disks, and says how to make one', async () => {
  const image = { name: 'i', path: process.execPath, format: 'raw' as const };
  const spec = {
    name: 'web-1',
    uuid: fakeDomain(9).uuid,
    image,
    flavor: { name: 'f', vcpus: 1, memoryMiB: 128 },
    ready: { http: { port: 80, path: '/' } },
    metadata: metadataOf(1),
  };
  await expect(hypervisor.createDisk(spec, never)).rejects.toMatchObject({
    kind: 'refused',
    advice: expect.stringContaining('pool-define-as virtscale'),
  });
  expect(await hypervisor.listDisks(never)).toEqual([]);
});

test('nobody listening is unreachable, and says what to look at; a daemon that comes back is used again', async () => {
  await daemon.down();
  await expect(hypervisor.observe(never)).rejects.toMatchObject({ kind: 'unreachable', advice: expect.any(String) });
  await daemon.listen();
  const endMs = performance.now() + 5000;
  for (;;) {
    const seen = await hypervisor.observe(never).catch((error: unknown) => error);
    if (!(seen instanceof Error)) break;
    expect(seen).toMatchObject({ name: 'Fault', kind: 'unreachable' });
    if (performance.now() > endMs) throw seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});
