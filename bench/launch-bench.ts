// launch-fork, launch-paused, launch-saved, launch-burst-8 and load-step-to-serving: from a decision (a step of the load) to a VM that
// serves, by every way there is, with the real daemon on an embedded host. Not here: cold clones one by one (live-bench).

import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DemoFiles, writeDemoFiles } from '../demo/demo-config.ts';
import type { EventOf } from '../demo/journal.ts';
import { LoadClient } from '../demo/load-client.ts';
import { percentile } from '../demo/statistics.ts';
import { stopEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import { findLayout } from '../src/adapters/hypervisor/embedded/layout.ts';
import { socketUri } from '../src/adapters/hypervisor/embedded/libvirtd.ts';
import type { LoggedEvent } from '../src/core/events.ts';
import { DomainCreateFlags, LibvirtClient } from '../src/libvirt/index.ts';
import { BenchDaemon } from './bench-daemon.ts';
import type { BenchOptions } from './options.ts';
import { median, type Row, rowOf } from './row.ts';

/** Eight at once are too many vCPUs for two cores, otherwise: they would be eight of nothing. */
const CONFIG = `hosts:
  - { name: local, embedded: true, overcommit: { cpus: 8 } }
`;
const PATIENCE_MS = 120_000;
const BURST = 8;
const FLOOR_ROUNDS = 7;
/** Costs about 10 ms on an emulated vCPU. */
const LOAD_N = 28;
/** So that what one launch leaves behind (a disk deleted, a standby filled) does not meet the next. */
const REST_MS = 1_500;

function policy(group: string, max: number, capacity: string, scale = ''): string {
  return `group: ${group}
min: 1
max: ${max}
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
capacity: ${capacity}
drain: { grace: 0s }
shutdown: { deadline: 10s }
${scale}`;
}

function hot(seconds: number): string {
  return `scale:
  - { name: hot, type: threshold, metric: cpu, above: 75, for: ${seconds}s, add: 1, cooldown: 1s }
`;
}

export async function launchBench({
  rounds,
  say,
  signal,
}: BenchOptions & { readonly rounds: number }): Promise<readonly Row[]> {
  const files = await writeDemoFiles({ config: CONFIG });
  const daemon = await BenchDaemon.start(files, signal);
  const bench = new LaunchBench(daemon, files, say);
  try {
    const floorMs = await bench.begin();
    const rows = [
      await bench.launches('fork', '{ fork: true }', 3 * rounds, floorMs, { of: 'p50', atMost: 600 }),
      await bench.launches('paused', '{ paused: 1 }', rounds, floorMs, { of: 'p50', atMost: 50 }),
      await bench.launches('saved', '{ saved: 1 }', rounds, floorMs, { of: 'p50', atMost: 600 }),
      await bench.bursts(Math.max(1, Math.round(rounds / 4))),
    ];
    rows.push(await bench.loadSteps({ seconds: 3, way: 'fork', rounds: 2 * rounds, goalMs: 5000 }));
    rows.push(await bench.loadSteps({ seconds: 1, way: 'paused', rounds: 2 * rounds, goalMs: 2000 }));
    // A poll each second alone may take 1.75 s to tell; this is what it takes without a standby.
    rows.push(await bench.loadSteps({ seconds: 1, way: 'fork', rounds }));
    return rows;
  } finally {
    await daemon.stop();
    await stopEmbeddedHost(files.hostDir);
    await rm(files.folder, { recursive: true, force: true });
  }
}

interface LoadSteps {
  /** For so long the CPU is above the bound. */
  readonly seconds: number;
  readonly way: 'fork' | 'paused';
  readonly rounds: number;
  readonly goalMs?: number;
}

class LaunchBench {
  readonly #daemon: BenchDaemon;
  readonly #files: DemoFiles;
  readonly #say: (line: string) => void;

  constructor(daemon: BenchDaemon, files: DemoFiles, say: (line: string) => void) {
    this.#daemon = daemon;
    this.#files = files;
    this.#say = say;
  }

  /** A first VM, and how long libvirt takes to start one like it with its vCPUs stopped: no way to a new QEMU is shorter. */
  async begin(): Promise<number> {
    await this.#group('first', 1, '{}');
    const layout = await findLayout(this.#files.hostDir, process.getuid?.() === 0);
    if (layout === undefined) throw new Error('there is no embedded host');
    const client = new LibvirtClient({ uri: socketUri(layout) });
    const options = { timeoutMs: 20_000 };
    const values: number[] = [];
    try {
      const domains = await client.listDomains(0, options);
      const first = domains.find(({ name }) => name.startsWith('first-'));
      if (first === undefined) throw new Error('there is no VM to measure the floor with');
      const xml = await client.domainXml(first, 0, options);
      for (let round = 0; round < FLOOR_ROUNDS; round += 1) {
        const startedMs = performance.now();
        const domain = await client.createDomainXml(bare(xml, round), DomainCreateFlags.START_PAUSED, options);
        values.push(performance.now() - startedMs);
        await client.destroyDomain(domain, 0, options);
      }
    } finally {
      await client.close();
    }
    await this.#remove('first');
    this.#say(`floor: a domain started with its vCPUs stopped, ${median(values).toFixed(0)} ms`);
    return median(values);
  }

  /** One after another, each from `decision.made` to `vm.launched`. */
  async launches(
    way: 'fork' | 'paused' | 'saved',
    capacity: string,
    rounds: number,
    floorMs: number,
    goal: { readonly of: 'p50'; readonly atMost: number },
  ): Promise<Row> {
    const group = `by-${way}`;
    await this.#group(group, 2, capacity);
    const values: number[] = [];
    let isReadySince = 0;
    for (let round = 0; round < rounds; round += 1) {
      if (way === 'fork') await this.#templateReady(group);
      else isReadySince = (await this.#wait('vm.standby', isReadySince, (event) => event.group === group)).seq;
      await sleep(REST_MS);
      const since = this.#daemon.lastSeq;
      await this.#desired(group, 2);
      const decided = await this.#wait('decision.made', since, (event) => event.group === group);
      const launched = await this.#wait('vm.launched', since, (event) => event.group === group);
      if (launched.way !== way) throw new Error(`VM ${launched.vm.name} was launched by way of ${launched.way}`);
      values.push(Date.parse(launched.at) - Date.parse(decided.at));
      await this.#desired(group, 1);
      await this.#wait('vm.removed', since, (event) => event.group === group);
    }
    await this.#remove(group);
    const p99 = percentile(values, 99);
    this.#say(`${group}: ${values.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    return rowOf({
      name: `launch-${way}`,
      unit: 'ms',
      values,
      baseline: floorMs,
      goal,
      note: `from decision.made to vm.launched (first HTTP 200), p99 ${p99?.toFixed(0)} ms; baseline: the same domain started with its vCPUs stopped`,
    });
  }

  /** Eight at once, by fork and cold in turn, until all serve. */
  async bursts(rounds: number): Promise<Row> {
    const forks: number[] = [];
    const colds: number[] = [];
    await this.#group('burst-fork', BURST + 1, '{ fork: true }');
    await this.#group('burst-cold', BURST + 1, '{}');
    await this.#templateReady('burst-fork');
    for (let round = 0; round < rounds; round += 1) {
      for (const [group, values] of [
        ['burst-fork', forks],
        ['burst-cold', colds],
      ] as const) {
        await sleep(REST_MS);
        values.push(await this.#burst(group));
        this.#say(`${group}: ${BURST} VMs serve after ${((values.at(-1) ?? 0) / 1000).toFixed(1)} s`);
      }
    }
    for (const group of ['burst-fork', 'burst-cold']) await this.#remove(group);
    return rowOf({
      name: `launch-burst-${BURST}`,
      unit: 'ms',
      values: forks,
      baseline: median(colds),
      goal: { of: 'ratio', atMost: 0.25 },
      note: `from decision.made until all ${BURST} serve, by fork; baseline: as many cold boots, in turn`,
    });
  }

  async #burst(group: string): Promise<number> {
    const since = this.#daemon.lastSeq;
    await this.#desired(group, BURST + 1);
    const decided = await this.#wait('decision.made', since, (event) => event.group === group);
    const launched = await this.#count('vm.launched', group, since);
    await this.#desired(group, 1);
    await this.#count('vm.removed', group, since);
    return Date.parse(launched.at) - Date.parse(decided.at);
  }

  /** From the first request of more load than one VM can carry until the second serves; steps at random moments between polls. */
  async loadSteps({ goalMs, rounds, seconds, way }: LoadSteps): Promise<Row> {
    const group = `load-${seconds}s-${way}`;
    await this.#group(group, 2, way === 'fork' ? '{ fork: true }' : '{ paused: 1 }', hot(seconds));
    if (way === 'fork') await this.#templateReady(group);
    let standbySince = 0;
    const client = new LoadClient({
      eventsUrl: `${this.#daemon.url.replace('http', 'ws')}/v1/events`,
      group,
      timeoutMs: PATIENCE_MS,
      onEvent: () => {},
      onRequest: () => {},
    });
    const values: number[] = [];
    try {
      await client.connected(PATIENCE_MS);
      for (let round = 0; round < rounds; round += 1) {
        if (way === 'paused')
          standbySince = (await this.#wait('vm.standby', standbySince, (event) => event.group === group)).seq;
        await sleep(2_000 + Math.random() * 1_000);
        const since = this.#daemon.lastSeq;
        const steppedAtMs = Date.now();
        client.setLoad({ mode: 'high', n: LOAD_N, perSecond: 2000, maxOutstanding: 4 });
        const launched = await this.#wait('vm.launched', since, (event) => event.group === group);
        values.push(Date.parse(launched.at) - steppedAtMs);
        client.setLoad(undefined);
        await this.#desired(group, 1);
        await this.#wait('vm.removed', since, (event) => event.group === group);
      }
    } finally {
      await client.close();
    }
    await this.#remove(group);
    return rowOf({
      name: `load-step-to-serving-${seconds}s${way === 'fork' ? '' : `-${way}`}`,
      unit: 'ms',
      values,
      ...(goalMs !== undefined && { goal: { of: 'p95', atMost: goalMs } }),
      note: `from the first request to vm.launched, by way of ${way}; polls each second, for: ${seconds}s; p95 ${percentile(values, 95)?.toFixed(0)} ms`,
    });
  }

  async #group(group: string, max: number, capacity: string, scale = ''): Promise<void> {
    const since = this.#daemon.lastSeq;
    await writeFile(join(this.#files.policies, `${group}.yaml`), policy(group, max, capacity, scale));
    await this.#wait('vm.launched', since, (event) => event.group === group);
  }

  /** The group ends with all its VMs, so that they do not disturb what comes. */
  async #remove(group: string): Promise<void> {
    const since = this.#daemon.lastSeq;
    await rm(join(this.#files.policies, `${group}.yaml`));
    // Whoever is removed before would be replaced.
    await this.#wait('policy.removed', since, (event) => event.group === group);
    const { vms } = await this.#daemon.call<{ readonly vms: readonly { readonly id: number }[] }>(
      'GET',
      `/v1/vms?group=${group}`,
    );
    for (const { id } of vms) await this.#daemon.call('DELETE', `/v1/vms/${id}`);
    for (const { id } of vms) await this.#wait('vm.removed', since, ({ vm }) => vm.id === id);
  }

  async #templateReady(group: string): Promise<void> {
    for (let tries = 0; tries < PATIENCE_MS / 250; tries += 1) {
      const { templates } = await this.#daemon.call<{ readonly templates: readonly { readonly state: string }[] }>(
        'GET',
        `/v1/groups/${group}`,
      );
      if (templates.some(({ state }) => state === 'ready')) return;
      await sleep(250);
    }
    throw new Error(`there is no template for group ${group} after ${PATIENCE_MS / 1000} s`);
  }

  #desired(group: string, desired: number): Promise<unknown> {
    return this.#daemon.call('PATCH', `/v1/groups/${group}`, { desired });
  }

  #wait<T extends 'decision.made' | 'policy.removed' | 'vm.launched' | 'vm.removed' | 'vm.standby'>(
    type: T,
    since: number,
    also: (event: EventOf<T>) => boolean,
  ): Promise<EventOf<T>> {
    const fits = (event: EventOf<T>) => (event as LoggedEvent).seq > since && also(event);
    return this.#daemon.journal.waitFor(type, fits, this.#daemon.waiting(type, PATIENCE_MS));
  }

  /** The last of as many as a burst has. */
  async #count(type: 'vm.launched' | 'vm.removed', group: string, since: number): Promise<LoggedEvent> {
    let last: LoggedEvent | undefined;
    for (let seen = 0; seen < BURST; seen += 1) {
      const after = last?.seq ?? since;
      last =
        type === 'vm.launched'
          ? await this.#wait('vm.launched', after, (event) => event.group === group)
          : await this.#wait('vm.removed', after, (event) => event.group === group);
    }
    if (last === undefined) throw new Error('a burst of none');
    return last;
  }
}

/** The domain without what can be there only once: disk, forwarded port, log. */
function bare(xml: string, round: number): string {
  return xml
    .replace(/<name>[^<]*<\/name>/, `<name>floor-${round}</name>`)
    .replace(/<uuid>[^<]*<\/uuid>/, `<uuid>${randomUUID()}</uuid>`)
    .replace(/<domain ([^>]*)id='\d+'/, '<domain $1')
    .replace(/<metadata>[\s\S]*?<\/metadata>/, '')
    .replace(/<disk [\s\S]*?<\/disk>/g, '')
    .replace(/<log [^>]*\/>/g, '')
    .replace(/<qemu:commandline>[\s\S]*?<\/qemu:commandline>/, '');
}
