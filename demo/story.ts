// The story that the demo plays: the order of its parts, and what is gathered on the way.
// Not here: starting and stopping the daemon (main), judging what was gathered (summary).

import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findLayout } from '../src/adapters/hypervisor/embedded/layout.ts';
import { socketUri } from '../src/adapters/hypervisor/embedded/libvirtd.ts';
import type { EventType, EventVm } from '../src/core/events.ts';
import type { PublicHost } from '../src/edge/schemas.ts';
import { LibvirtClient } from '../src/libvirt/index.ts';
import { type Calibration, calibrate } from './calibration.ts';
import { CpuSampler } from './cpu-sampler.ts';
import type { DaemonApi } from './daemon-api.ts';
import type { Front, FrontReport } from './front.ts';
import { type EventOf, Journal } from './journal.ts';
import { killVm } from './kill-vm.ts';
import { machineText, recentText } from './live-text.ts';
import { LoadClient } from './load-client.ts';
import { GROUP, type Pace } from './pace.ts';
import type { Span } from './plots/story-marks.ts';
import type { Step } from './progress.ts';
import { CSV_HEADER, csvLine, type Mode, type RequestRecord } from './request-record.ts';

const DAEMON_READY_MS = 60_000;
/** Booting a VM and saving its memory. */
const TEMPLATE_MS = 40_000;
const HELLO_MS = 5000;
const REQUEST_TIMEOUT_MS = 15_000;
const LIVE_MS = 1000;
/** The new VM shows that it serves. */
const AFTER_KILL_MS = 4000;
/** A guest that answers has not finished booting: its agent is still starting. */
const BOOT_TAIL_MS = 1500;

/** One VM cannot do this, two can with room to spare, even where two busy VMs share two cores with everything else. */
const OVERLOAD = 1.15;
const HIGH_OUTSTANDING = 32;
/** All of them may be on one VM when the other was killed: more new connections at once than that lose packets in QEMU's port forwarding. */
const FRONT_OUTSTANDING = 16;
const LOW_PER_SECOND = 8;
const LOW_OUTSTANDING = 4;
/** How much smaller N is in low mode: each step costs about 1.6 times less. */
const LOW_STEPS = 6;

export interface StoryOptions {
  readonly base: string;
  readonly api: DaemonApi;
  readonly pace: Pace;
  readonly outputFolder: string;
  /** Of the embedded host, to ask its libvirt itself. */
  readonly hostDir: string;
  /** HAProxy in front of the VMs: the client knows nothing else, and one VM is killed by hand. */
  readonly front?: Front;
  readonly signal: AbortSignal;
}

export class Story {
  readonly journal = new Journal();
  readonly requests: RequestRecord[] = [];
  readonly spans: Span[] = [];
  readonly cpu: CpuSampler;
  host: PublicHost | undefined;
  stillThere: boolean | undefined;
  killed: { readonly vm: EventVm; readonly atMs: number } | undefined;
  frontReport: FrontReport | undefined;
  readonly #options: StoryOptions;
  #client: LoadClient | undefined;
  #calibration: Calibration | undefined;
  readonly #eventsFile: WriteStream;
  readonly #csvFile: WriteStream;

  constructor(options: StoryOptions) {
    this.#options = options;
    this.cpu = new CpuSampler(options.api);
    this.#eventsFile = createWriteStream(join(options.outputFolder, 'events.ndjson'));
    this.#csvFile = createWriteStream(join(options.outputFolder, 'client.csv'));
    this.#csvFile.write(CSV_HEADER);
  }

  get isBehindFront(): boolean {
    return this.#options.front !== undefined;
  }

  /** The parts in their order. */
  steps(): readonly Step[] {
    const { front } = this.#options;
    const kill: Step = { title: 'A VM is killed by hand', run: (say) => this.#kill(say) };
    const askFront: Step = { title: 'Ask HAProxy as well', run: () => this.#askFront() };
    return [
      { title: 'Start virtscale with a libvirt host of its own', run: () => this.#daemon() },
      { title: 'First VM', run: (say) => this.#firstVm(say) },
      { title: 'A template that others are forked from', run: (say) => this.#template(say) },
      { title: 'How much can one VM do?', run: (say) => this.#calibrate(say) },
      { title: 'Low load', run: (say) => this.#lowLoad(say) },
      { title: 'High load: CPU above the threshold', run: (say) => this.#overload(say) },
      { title: 'A second VM', run: (say) => this.#secondVm(say) },
      { title: 'Two VMs share the load', run: (say) => this.#shared(say) },
      ...(front === undefined ? [] : [kill]),
      { title: 'Low load: one VM is enough again', run: (say) => this.#scaleIn(say) },
      { title: 'Ask libvirt whether it is gone', run: () => this.#askLibvirt() },
      ...(front === undefined ? [] : [askFront]),
    ];
  }

  /** Stops the load, waits for the answers under way, closes the files. Safe after any failure. */
  async close(): Promise<void> {
    this.cpu.stop();
    await this.#client?.close();
    const lastSpan = this.spans.at(-1);
    if (lastSpan !== undefined) this.spans[this.spans.length - 1] = { ...lastSpan, toMs: Date.now() };
    await Promise.all([endFile(this.#eventsFile), endFile(this.#csvFile)]);
  }

  async #daemon(): Promise<string> {
    const { api, base, front, signal } = this.#options;
    await api.ready(DAEMON_READY_MS, signal);
    this.#client = new LoadClient({
      eventsUrl: `${base.replace('http', 'ws')}/v1/events`,
      group: GROUP,
      ...(front !== undefined && { front: front.endpoint }),
      timeoutMs: REQUEST_TIMEOUT_MS,
      onEvent: (event, text) => {
        this.journal.add(event);
        this.#eventsFile.write(`${text}\n`);
      },
      onRequest: (record) => {
        this.requests.push(record);
        this.#csvFile.write(csvLine(record));
      },
    });
    await this.#client.connected(HELLO_MS);
    this.cpu.start();
    return front === undefined
      ? base
      : `${base}; clients know HAProxy on ${front.endpoint.address}:${front.endpoint.port}`;
  }

  async #firstVm(say: (line: string) => void): Promise<string> {
    const launched = await this.#live(
      say,
      this.#wait('vm.launched', () => true, 30_000, 'the launch of the first VM'),
    );
    const { endpoint } = launched;
    if (endpoint === undefined) throw new Error(`${launched.vm.name} was launched without an endpoint`);
    const { address, port } = endpoint;
    this.host = (await this.#options.api.hosts())[0];
    const seconds = (launched.launchMs / 1000).toFixed(1);
    return `${launched.vm.name} answers on ${address}:${port} after ${seconds} s; ${machineText(this.host)}`;
  }

  /** Where a fork is not possible, the story goes on with VMs that are booted. */
  async #template(say: (line: string) => void): Promise<string> {
    const ready = this.#wait('template.ready', () => true, TEMPLATE_MS, 'a template');
    const failed = this.#wait('template.failed', () => true, TEMPLATE_MS, 'a template');
    // Only one of the two will come.
    for (const one of [ready, failed]) one.catch(() => undefined);
    const event = await this.#live(say, Promise.race([ready, failed]));
    if (event.type === 'template.failed') return `not possible, VMs will be booted: ${event.reason}`;
    return `booted, and its memory saved, in ${(event.tookMs / 1000).toFixed(1)} s`;
  }

  async #calibrate(say: (line: string) => void): Promise<string> {
    const client = this.#theClient();
    await this.#live(say, this.#sleep(BOOT_TAIL_MS));
    this.#span('calibration');
    this.#calibration = await this.#live(
      say,
      calibrate((n) => client.one(n, 'calibrate'), {
        targetMs: 10,
        burstMs: 1200,
        concurrency: 6,
        signal: this.#options.signal,
      }),
    );
    const { n, aloneMs, capacityPerSecond } = this.#calibration;
    return `/${n} takes ${aloneMs.toFixed(1)} ms; ${capacityPerSecond.toFixed(0)} of them a second keep one VM busy`;
  }

  async #lowLoad(say: (line: string) => void): Promise<string> {
    this.#setMode('low');
    await this.#live(say, this.#sleep(this.#options.pace.lowMs));
    return `${LOW_PER_SECOND} small requests a second`;
  }

  async #overload(say: (line: string) => void): Promise<string> {
    this.#setMode('high');
    const decided = await this.#live(
      say,
      this.#wait(
        'decision.made',
        (e) => e.decision.cause === 'rule' && e.decision.desired > e.decision.desiredBefore,
        35_000,
        'the decision to scale out (is something else keeping this machine busy?)',
      ),
    );
    return decided.decision.text;
  }

  async #secondVm(say: (line: string) => void): Promise<string> {
    const first = this.journal.events.find((event) => event.type === 'vm.launched');
    const launched = await this.#live(
      say,
      this.#wait('vm.launched', (e) => e.seq > (first?.seq ?? 0), 45_000, 'the launch of the second VM'),
    );
    return `${launched.vm.name} answers ${(launched.launchMs / 1000).toFixed(1)} s after its launch began; the client heard of it over WebSocket`;
  }

  async #shared(say: (line: string) => void): Promise<string> {
    await this.#live(say, this.#sleep(this.#options.pace.sharedMs));
    return recentText(this.requests, Date.now());
  }

  /** Load goes on: whoever is left has to answer for both until the place is taken. */
  async #kill(say: (line: string) => void): Promise<string> {
    const launched = this.journal.events.find((event) => event.type === 'vm.launched');
    if (launched === undefined) throw new Error('there is no VM to kill');
    const { vm } = launched;
    this.killed = { vm, atMs: Date.now() };
    await killVm(vm.uuid);
    const wait = { lost: 15_000, next: 60_000 };
    const lost = await this.#wait('vm.lost', (e) => e.vm.id === vm.id, wait.lost, `word of the loss of ${vm.name}`);
    const next = await this.#live(
      say,
      this.#wait('vm.launched', (e) => e.seq > lost.seq, wait.next, `a VM in the place of ${vm.name}`),
    );
    await this.#live(say, this.#sleep(AFTER_KILL_MS));
    const seconds = (event: { readonly at: string }) =>
      ((Date.parse(event.at) - (this.killed?.atMs ?? 0)) / 1000).toFixed(1);
    return `QEMU of ${vm.name} killed; noticed after ${seconds(lost)} s, ${next.vm.name} serves after ${seconds(next)} s`;
  }

  async #askFront(): Promise<string> {
    this.frontReport = await this.#options.front?.report();
    if (this.frontReport === undefined) throw new Error('there is no HAProxy to ask');
    const { retries, servers, version } = this.frontReport;
    return `HAProxy ${version} has ${servers.join(', ') || 'no server'}; it retried ${retries} times`;
  }

  async #scaleIn(say: (line: string) => void): Promise<string> {
    this.#setMode('low');
    const draining = await this.#live(
      say,
      this.#wait('vm.draining', () => true, 45_000, 'the decision to scale in'),
    );
    const removed = await this.#live(
      say,
      this.#wait('vm.removed', (e) => e.vm.id === draining.vm.id, 45_000, `the removal of ${draining.vm.name}`),
    );
    this.#theClient().setLoad(undefined);
    await this.#theClient().idle();
    return `${removed.vm.name} was drained and removed`;
  }

  /** Past the daemon: it might be mistaken. */
  async #askLibvirt(): Promise<string> {
    const gone = this.journal.events.find((event) => event.type === 'vm.draining')?.vm;
    const removed = this.journal.events.find((event) => event.type === 'vm.removed' && event.vm.id === gone?.id);
    const layout = await findLayout(this.#options.hostDir, process.getuid?.() === 0);
    if (gone === undefined || removed === undefined || layout === undefined)
      throw new Error('there is nothing to ask libvirt about');
    const libvirt = new LibvirtClient({ uri: socketUri(layout) });
    try {
      const domains = await libvirt.listDomains();
      this.stillThere = domains.some((domain) => domain.uuid === gone.uuid);
      return `it has ${domains.map((domain) => domain.name).join(', ') || 'no domain'}`;
    } finally {
      await libvirt.close();
    }
  }

  #theClient(): LoadClient {
    if (this.#client === undefined) throw new Error('the load client was not started');
    return this.#client;
  }

  #setMode(mode: Exclude<Mode, 'calibrate'>): void {
    const calibration = this.#calibration;
    if (calibration === undefined) throw new Error('nobody knows yet how much one VM can do');
    this.#span(mode);
    this.#theClient().setLoad(
      mode === 'low'
        ? {
            mode,
            n: Math.max(1, calibration.n - LOW_STEPS),
            perSecond: LOW_PER_SECOND,
            maxOutstanding: LOW_OUTSTANDING,
          }
        : {
            mode,
            n: calibration.n,
            perSecond: calibration.capacityPerSecond * OVERLOAD,
            maxOutstanding: this.isBehindFront ? FRONT_OUTSTANDING : HIGH_OUTSTANDING,
          },
    );
  }

  /** A new kind of load begins now, and with it the one before ends. */
  #span(name: string): void {
    const nowMs = Date.now();
    const last = this.spans.at(-1);
    if (last !== undefined) this.spans[this.spans.length - 1] = { ...last, toMs: nowMs };
    this.spans.push({ name, fromMs: nowMs, toMs: nowMs });
  }

  #wait<T extends EventType>(
    type: T,
    also: (event: EventOf<T>) => boolean,
    timeoutMs: number,
    what: string,
  ): Promise<EventOf<T>> {
    return this.journal.waitFor(type, also, { timeoutMs, signal: this.#options.signal, what });
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.signal });
  }

  /** Shows CPU and requests once a second while `work` is under way. */
  async #live<T>(say: (line: string) => void, work: Promise<T>): Promise<T> {
    const timer = setInterval(() => say(`cpu: ${this.cpu.text} · ${recentText(this.requests, Date.now())}`), LIVE_MS);
    try {
      return await work;
    } finally {
      clearInterval(timer);
    }
  }
}

async function endFile(file: WriteStream): Promise<void> {
  if (file.closed) return;
  file.end();
  await once(file, 'close');
}
