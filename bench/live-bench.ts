// load-step-to-decision and launch-cold-clone: the real daemon with real VMs on an embedded host.
// Not here: many domains (poll-bench), the decision alone (decide-bench).

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonApi } from '../demo/daemon-api.ts';
import { type DaemonProcess, freePort, startDaemon } from '../demo/daemon-process.ts';
import { serveArguments, writeDemoFiles } from '../demo/demo-config.ts';
import { type EventOf, Journal } from '../demo/journal.ts';
import { LoadClient } from '../demo/load-client.ts';
import { buildGuestImage, type GuestImage } from '../guest/build.mjs';
import { stopEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import type { EventType } from '../src/core/events.ts';
import { bootPlainQemu } from './plain-qemu.ts';
import { median, type Row, rowOf } from './row.ts';

const GROUP = 'bench';
const PATIENCE_MS = 60_000;
/** Costs about 10 ms on an emulated vCPU. */
const LOAD_N = 28;
const POLICY = `group: ${GROUP}
min: 1
max: 2
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
drain: { grace: 0s }
shutdown: { deadline: 10s }
scale:
  - { name: hot, type: threshold, metric: cpu, above: 75, for: 3s, add: 1, cooldown: 1s }
`;

export async function liveBench(rounds: number): Promise<readonly Row[]> {
  const files = await writeDemoFiles({ policy: { group: GROUP, text: POLICY } });
  const port = await freePort();
  const logs = { log: join(files.folder, 'log.ndjson'), errors: join(files.folder, 'stderr.txt') };
  const daemon = await startDaemon(serveArguments(files, port), logs);
  const bench = new LiveBench(daemon, `http://127.0.0.1:${port}`);
  try {
    await bench.start();
    const image = await buildGuestImage({ outDir: join(files.folder, 'image') });
    return [await bench.loadSteps(rounds), await bench.coldClones(rounds, image)];
  } finally {
    await bench.close();
    await daemon.stop();
    await stopEmbeddedHost(files.hostDir);
    await rm(files.folder, { recursive: true, force: true });
  }
}

class LiveBench {
  readonly #api: DaemonApi;
  readonly #journal = new Journal();
  readonly #client: LoadClient;
  readonly #ended = new AbortController();
  #accel: 'kvm' | 'qemu' = 'qemu';

  constructor(daemon: DaemonProcess, base: string) {
    this.#api = new DaemonApi(base);
    this.#client = new LoadClient({
      eventsUrl: `${base.replace('http', 'ws')}/v1/events`,
      group: GROUP,
      timeoutMs: PATIENCE_MS,
      onEvent: (event) => this.#journal.add(event),
      onRequest: () => {},
    });
    void daemon.ended.then((how) => this.#ended.abort(new Error(how)));
  }

  async start(): Promise<void> {
    await this.#api.ready(PATIENCE_MS, this.#ended.signal);
    await this.#client.connected(PATIENCE_MS);
    await this.#wait('vm.launched', 0);
    this.#accel = (await this.#api.hosts())[0]?.accel ?? 'qemu';
    await sleep(3000);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** Each step begins at a random moment between two polls. */
  async loadSteps(rounds: number): Promise<Row> {
    const values: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await sleep(2000 + Math.random() * 1000);
      const since = this.#lastSeq;
      const steppedAtMs = Date.now();
      this.#client.setLoad({ mode: 'high', n: LOAD_N, perSecond: 2000, maxOutstanding: 4 });
      const decided = await this.#wait('decision.made', since, (e) => e.decision.cause === 'rule');
      values.push(Date.parse(decided.at) - steppedAtMs);
      this.#client.setLoad(undefined);
      await this.#wait('vm.launched', since);
      await this.#backToOne(since);
    }
    return rowOf({
      name: 'load-step-to-decision',
      unit: 'ms',
      values,
      goal: { of: 'p50', atMost: 4500 },
      note: 'from the first request to decision.made; polls each second, for: 3s; steps at random moments between polls',
    });
  }

  /** Alternates with plain QEMU, so that whatever else the machine does meets both. */
  async coldClones(rounds: number, image: GuestImage): Promise<Row> {
    const values: number[] = [];
    const floor: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const since = this.#lastSeq;
      await this.#api.setDesired(GROUP, 2);
      const decided = await this.#wait('decision.made', since);
      const launched = await this.#wait('vm.launched', since);
      values.push(Date.parse(launched.at) - Date.parse(decided.at));
      await this.#backToOne(since);
      floor.push(await bootPlainQemu(image, this.#accel));
      await sleep(500);
    }
    return rowOf({
      name: 'launch-cold-clone',
      unit: 'ms',
      values,
      baseline: median(floor),
      goal: { of: 'ratio', atMost: 1.25 },
      note: `from decision.made to vm.launched (first HTTP 200), ${this.#accel === 'kvm' ? 'KVM' : 'emulated'}; baseline: the same guest with plain QEMU, in turn`,
    });
  }

  get #lastSeq(): number {
    return this.#journal.events.at(-1)?.seq ?? 0;
  }

  async #backToOne(since: number): Promise<void> {
    await this.#api.setDesired(GROUP, 1);
    await this.#wait('vm.removed', since);
  }

  #wait<T extends EventType>(
    type: T,
    since: number,
    also: (event: EventOf<T>) => boolean = () => true,
  ): Promise<EventOf<T>> {
    const options = { timeoutMs: PATIENCE_MS, signal: this.#ended.signal, what: type };
    return this.#journal.waitFor(type, (event) => event.seq > since && also(event), options);
  }
}
