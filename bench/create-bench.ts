// create-100, create-100-count: so many linked clones on 3 embedded hosts through /v1/vms, against a shell loop over virsh that makes
// the same domains on the same hosts. Not here: that loop (shell-loop).

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PublicOperation } from '../src/edge/fabric-schemas.ts';
import type { PublicVm } from '../src/edge/schemas.ts';
import { BenchDaemon } from './bench-daemon.ts';
import type { BenchOptions } from './options.ts';
import { installPackages } from './peers.ts';
import { asked, FLAVOR, inTurn, PrivateHosts } from './private-hosts.ts';
import { median, type Row, rowOf } from './row.ts';
import { removeLoopDomains, runShellLoop, type Template, templateOn, writeDomainFiles } from './shell-loop.ts';

const HOSTS = 3;
const ROUNDS = 3;
/** Of one VM, on a machine that does much else. */
const PATIENCE_PER_VM_MS = 5_000;
const PATIENCE_MS = 60_000;
/** Resident memory of one of the QEMUs, and what the machine keeps for others. */
const QEMU_MIB = 60;
const SPARE_MIB = 1024;
const CALLS_AT_A_TIME = 4;
/** The firmware has to come as far as the first sector. */
const SETTLE_MS = 3_000;
const IDLE_MS = 3_000;
/** More than this, of a core for each guest, and the guests were measured instead of their creation. */
const IDLE_MOST = 0.02;

type Way = 'requests' | 'count';

export async function createBench(options: BenchOptions & { readonly creates: number }): Promise<readonly Row[]> {
  const { creates, say, signal } = options;
  await mustHaveMemory(creates);
  if (!(await installPackages(['libvirt-clients']))) throw new Error('there is no virsh to compare with');
  const hosts = await PrivateHosts.start(HOSTS, options);
  try {
    const bench = new CreateBench(hosts, creates, say, signal);
    return await bench.run();
  } finally {
    await hosts.stop();
  }
}

class CreateBench {
  readonly #hosts: PrivateHosts;
  readonly #count: number;
  readonly #say: (line: string) => void;
  readonly #signal: AbortSignal;
  readonly #patienceMs: number;
  readonly #took = { requests: [] as number[], count: [] as number[], loop: [] as number[] };
  #idle = 0;

  constructor(hosts: PrivateHosts, count: number, say: (line: string) => void, signal: AbortSignal) {
    this.#hosts = hosts;
    this.#count = count;
    this.#say = say;
    this.#signal = signal;
    this.#patienceMs = PATIENCE_MS + count * PATIENCE_PER_VM_MS;
  }

  async run(): Promise<readonly Row[]> {
    const templates = await this.#withDaemon((daemon) => this.#templates(daemon));
    for (let round = 1; round <= ROUNDS; round += 1) {
      this.#say(`round ${round} of ${ROUNDS}`);
      await this.#withDaemon(async (daemon) => {
        // Whoever comes first in a round is not always the same.
        const ways: readonly Way[] = round % 2 === 1 ? ['requests', 'count'] : ['count', 'requests'];
        for (const way of ways) this.#took[way].push(await this.#throughApi(daemon, way, `r${round}-${way}`));
      });
      // With no daemon beside it.
      this.#took.loop.push(await this.#byShell(templates));
    }
    return this.#rows();
  }

  #rows(): readonly Row[] {
    const { count, loop, requests } = this.#took;
    const where = `linked clones on ${HOSTS} embedded hosts, from the first request until all run`;
    const baseline = median(loop);
    const peer = `baseline: a shell loop over virsh (vol-create, define, start, one VM after the other) that makes the same domains there; guests idle afterwards (at most ${(this.#idle * 100).toFixed(1)} % of a core each)`;
    return [
      rowOf({
        name: `create-${this.#count}`,
        unit: 'ms',
        values: requests,
        baseline,
        goal: { of: 'ratio', atMost: 1 },
        note: `${this.#count} requests of one VM, one after the other: ${where}; ${peer}`,
      }),
      rowOf({
        name: `create-${this.#count}-count`,
        unit: 'ms',
        values: count,
        baseline,
        note: `one request of ${this.#count} VMs: ${where}; the same baseline`,
      }),
    ];
  }

  async #withDaemon<T>(work: (daemon: BenchDaemon) => Promise<T>): Promise<T> {
    const daemon = await BenchDaemon.start(this.#hosts.files, this.#signal);
    try {
      return await work(daemon);
    } finally {
      await daemon.stop();
    }
  }

  /** One VM on each host, as virtscale defines it. They also warm the hosts up: libvirt asks QEMU what it can. */
  async #templates(daemon: BenchDaemon): Promise<readonly Template[]> {
    const templates: Template[] = [];
    for (const { embedded, name: host } of this.#hosts.all) {
      const name = `bench-template-${host}`;
      const request = { name, flavor: FLAVOR.name, image: 'halt', placement: { host } };
      const { id } = await daemon.call<PublicOperation>('POST', '/v1/vms', request);
      await daemon.succeeded([id], PATIENCE_MS);
      const { vms } = await daemon.call<{ readonly vms: readonly PublicVm[] }>('GET', `/v1/vms?name=${name}`);
      const address = vms[0]?.endpoint?.address;
      if (address === undefined) throw new Error(`${name} has no address`);
      templates.push(await templateOn(embedded.uri, name, address));
    }
    await this.#deleteAll(daemon);
    return templates;
  }

  async #throughApi(daemon: BenchDaemon, way: Way, name: string): Promise<number> {
    const count = this.#count;
    const request = { name, flavor: FLAVOR.name, image: 'halt' };
    const requests =
      way === 'count' && count > 1
        ? [{ ...request, count }]
        : Array.from({ length: count }, (_, index) => ({ ...request, name: `${name}-${index + 1}` }));
    const ids: string[] = [];
    const startedMs = performance.now();
    for (const body of requests) ids.push((await daemon.call<PublicOperation>('POST', '/v1/vms', body)).id);
    await daemon.succeeded(ids, this.#patienceMs);
    const tookMs = performance.now() - startedMs;
    await this.#allIdle();
    this.#say(`${way}: ${count} VMs in ${(tookMs / 1000).toFixed(1)} s; removing them`);
    await this.#deleteAll(daemon);
    return tookMs;
  }

  async #deleteAll(daemon: BenchDaemon): Promise<void> {
    const { vms } = await daemon.call<{ readonly vms: readonly PublicVm[] }>('GET', '/v1/vms?limit=1000');
    const ids: string[] = [];
    await inTurn(vms, CALLS_AT_A_TIME, async (vm) => {
      ids.push((await daemon.call<PublicOperation>('DELETE', `/v1/vms/${vm.id}`)).id);
    });
    await daemon.succeeded(ids, this.#patienceMs);
  }

  async #byShell(templates: readonly Template[]): Promise<number> {
    const folder = await writeDomainFiles(this.#hosts, templates, this.#count);
    try {
      const tookMs = await runShellLoop(this.#hosts, folder, this.#patienceMs, this.#signal);
      await this.#allIdle();
      this.#say(`shell loop: ${this.#count} VMs in ${(tookMs / 1000).toFixed(1)} s; removing them`);
      return tookMs;
    } finally {
      await removeLoopDomains(this.#hosts);
    }
  }

  /** That all of them run, and do nothing. */
  async #allIdle(): Promise<void> {
    await sleep(SETTLE_MS, undefined, { signal: this.#signal });
    const before = await this.#cpuSeconds();
    const startedMs = performance.now();
    await sleep(IDLE_MS, undefined, { signal: this.#signal });
    const after = await this.#cpuSeconds();
    if (after.running !== this.#count) throw new Error(`${after.running} VMs run instead of ${this.#count}`);
    const used = (after.seconds - before.seconds) / ((performance.now() - startedMs) / 1000) / this.#count;
    this.#idle = Math.max(this.#idle, used);
    if (used > IDLE_MOST) throw new Error(`each guest uses ${(used * 100).toFixed(1)} % of a core: they do not idle`);
  }

  async #cpuSeconds(): Promise<{ readonly running: number; readonly seconds: number }> {
    const perHost = await Promise.all(
      this.#hosts.all.map(({ embedded }) =>
        asked(embedded.uri, async (client) => {
          const domains = (await client.listDomains()).filter(({ id }) => id >= 0);
          return (await client.domainsInfo(domains)).map(({ info }) => Number(info?.cpuTimeNs ?? 0) / 1e9);
        }),
      ),
    );
    const all = perHost.flat();
    return { running: all.length, seconds: all.reduce((sum, seconds) => sum + seconds, 0) };
  }
}

async function mustHaveMemory(count: number): Promise<void> {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1];
  const needMiB = SPARE_MIB + count * QEMU_MIB;
  if (Number(kib) / 1024 >= needMiB) return;
  throw new Error(`${count} VMs need ${needMiB} MiB of free memory; choose fewer with --creates`);
}
