// The client of the story: it hears over WebSocket which VMs there are, and sends each request to a random one of them.
// Where a balancer stands in front, every request goes there. It never polls and knows nothing of the daemon but the event stream. Not here: the order of the modes (story).

import { Agent } from 'node:http';
import type { LoggedEvent } from '../src/core/events.ts';
import type { Endpoint } from '../src/core/model.ts';
import { ask, type Target } from './ask.ts';
import { EventFeed } from './event-feed.ts';
import type { Mode, RequestRecord } from './request-record.ts';

export interface Load {
  readonly mode: Mode;
  readonly n: number;
  /** Requests arrive one by one at random moments (a Poisson process) with this mean rate. */
  readonly perSecond: number;
  /** At most this many under way at once. What would come beyond that is held back and counted: nobody's queue grows for ever. */
  readonly maxOutstanding: number;
}

export interface LoadClientOptions {
  /** The daemon's event stream, e.g. `ws://127.0.0.1:7070/v1/events`. */
  readonly eventsUrl: string;
  readonly group: string;
  /** A balancer that all requests go to; absent: to the VMs themselves. */
  readonly front?: Endpoint;
  readonly timeoutMs: number;
  readonly onEvent: (event: LoggedEvent, text: string) => void;
  readonly onRequest: (record: RequestRecord) => void;
}

/** A VM to send to. Connections are few and kept: QEMU's port forwarding queues hardly any new ones, and a lost SYN costs a second. */
interface Route {
  readonly target: Target;
  readonly connections: Agent;
  outstanding: number;
}

/** More requests than this wait in the client; their waiting counts as response time. */
const CONNECTIONS_PER_VM = 16;
const CONNECTIONS_TO_FRONT = 64;
/** The route to a balancer; VMs have ids from 1. */
const FRONT = 0;
const NOBODY = '(nobody)';
/** Sending later than this after its moment is pointless: the process itself was held up. */
const MAX_LAG_MS = 250;

export class LoadClient {
  readonly #options: LoadClientOptions;
  readonly #feed: EventFeed;
  readonly #routes = new Map<number, Route>();
  #load: Load | undefined;
  #timer: NodeJS.Timeout | undefined;
  #nextAtMs = 0;
  #outstanding = 0;
  #heldBack = 0;
  #whenIdle: (() => void)[] = [];

  constructor(options: LoadClientOptions) {
    this.#options = options;
    if (options.front !== undefined) this.#add(FRONT, { endpoint: options.front }, CONNECTIONS_TO_FRONT);
    this.#feed = new EventFeed({
      url: options.eventsUrl,
      since: 0,
      onEvent: (event, text) => {
        this.#learn(event);
        options.onEvent(event, text);
      },
    });
  }

  /** Resolves when the event stream has said hello. */
  async connected(timeoutMs: number): Promise<void> {
    await this.#feed.opened(timeoutMs);
  }

  /** Where it would send to now. */
  get targets(): readonly Target[] {
    return [...this.#routes.values()].map((route) => route.target);
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  /** Requests that were not sent because `maxOutstanding` were under way. */
  get heldBack(): number {
    return this.#heldBack;
  }

  /** Changes to another load at once; `undefined` sends nothing more. What is under way goes on. */
  setLoad(load: Load | undefined): void {
    clearTimeout(this.#timer);
    this.#load = load;
    if (load === undefined) return;
    this.#nextAtMs = performance.now() + pauseMs(load);
    this.#schedule(load);
  }

  /** One request outside of any load, to a random VM. `undefined` while there is none. */
  async one(n: number, mode: Mode): Promise<RequestRecord | undefined> {
    const routes = [...this.#routes.values()];
    const route = routes[Math.floor(Math.random() * routes.length)];
    if (route === undefined) return undefined;
    const { target, connections } = route;
    this.#outstanding += 1;
    route.outstanding += 1;
    const sentAtMs = Date.now();
    const { latencyMs, server, status } = await ask(target, connections, n, this.#options.timeoutMs);
    this.#outstanding -= 1;
    route.outstanding -= 1;
    this.#hangUpIfLeft(route);
    const record: RequestRecord = { sentAtMs, vm: target.vm ?? server ?? NOBODY, n, latencyMs, status, mode };
    this.#options.onRequest(record);
    if (this.#outstanding === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    return record;
  }

  /** Resolves when nothing is under way: within `timeoutMs` of the options once the load is off. */
  async idle(): Promise<void> {
    if (this.#outstanding > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /** Sends nothing more, waits for what is under way, leaves the event stream. */
  async close(): Promise<void> {
    this.setLoad(undefined);
    await this.idle();
    await this.#feed.close();
    for (const id of [...this.#routes.keys()]) this.#remove(id);
  }

  #learn(event: LoggedEvent): void {
    if (this.#options.front !== undefined || !('vm' in event) || event.group !== this.#options.group) return;
    const { id, name } = event.vm;
    if (event.type === 'vm.launched' || event.type === 'vm.returned' || event.type === 'vm.migrated') {
      const endpoint = event.type === 'vm.launched' ? event.endpoint : event.vm.endpoint;
      if (endpoint) this.#add(id, { vm: name, endpoint });
    } else if (event.type !== 'vm.launching' && event.type !== 'vm.adopted') this.#remove(id);
  }

  #add(id: number, target: Target, maxSockets = CONNECTIONS_PER_VM): void {
    this.#remove(id);
    this.#routes.set(id, {
      target,
      connections: new Agent({ keepAlive: true, maxSockets }),
      outstanding: 0,
    });
  }

  /** Nothing new is sent there; what is under way is finished first. */
  #remove(id: number): void {
    const route = this.#routes.get(id);
    if (route === undefined) return;
    this.#routes.delete(id);
    this.#hangUpIfLeft(route);
  }

  #hangUpIfLeft(route: Route): void {
    if (route.outstanding === 0 && ![...this.#routes.values()].includes(route)) route.connections.destroy();
  }

  #schedule(load: Load): void {
    this.#timer = setTimeout(() => this.#arrive(load), Math.max(0, this.#nextAtMs - performance.now()));
  }

  #arrive(load: Load): void {
    const nowMs = performance.now();
    if (nowMs - this.#nextAtMs > MAX_LAG_MS) this.#nextAtMs = nowMs;
    while (this.#nextAtMs <= nowMs) {
      if (this.#outstanding < load.maxOutstanding) void this.one(load.n, load.mode);
      else this.#heldBack += 1;
      this.#nextAtMs += pauseMs(load);
    }
    if (this.#load === load) this.#schedule(load);
  }
}

/** Time to the next arrival: exponential, bounded so that a mean of 1 per minute cannot mean an hour. */
function pauseMs(load: Load): number {
  return Math.min(-Math.log(1 - Math.random()), 8) * (1000 / load.perSecond);
}
