// One WebSocket subscriber of the event log. It knows one number, the cursor: everything up to it has been sent or filtered
// out. It reads the log in pages until it stands at the log's end, then takes events as they happen; should it ever find
// itself not at the end, it reads pages again. So there is nothing to join, and no buffer but the socket's.
//
//   catching-up ──page reaches the log's end──▶ live ──an event that is not the next one──▶ catching-up
//        └── no progress, retention, store fault ─▶ closed ◀── too much unsent ──┘
//
// Not here: the upgrade, limits over all subscribers, pings (event-stream).

import type { WebSocket } from 'ws';
import type { LoggedEvent } from '../core/events.ts';
import type { EventLog } from '../engine/view.ts';
import type { EventPage } from '../ports/store.ts';
import { withDeadline } from './deadline.ts';
import { type EventFilter, matches, oldestSince } from './event-query.ts';

/** Close codes of /v1/events besides the standard ones; docs/EVENTS.md explains them to clients. */
export const CLOSE_CODES = {
  goingAway: 1001,
  policy: 1008,
  internal: 1011,
  tooSlow: 4008,
  expired: 4009,
  ahead: 4010,
} as const;

export const NOT_WELCOME = 'the token was deleted or has expired';

export interface SubscriberLimits {
  /** Events handed to the socket and not yet written to the network. */
  readonly maxQueuedEvents: number;
  /** Bytes of the same. */
  readonly maxQueuedBytes: number;
  /** While catching up: how long the client may take to make room for the next page. */
  readonly stallMs: number;
  readonly pageSize: number;
  /** The event store must answer within this. */
  readonly storeMs: number;
  /** How long a client may take to answer a close before its connection is cut. One that does not read never answers. */
  readonly closeMs: number;
}

export interface Subscription extends EventFilter {
  /** Absent: from now. */
  readonly since?: number | undefined;
  /** Asked before each event: false ends it, as its token or its user no longer lets it in. Absent: always. */
  readonly isWelcome?: () => boolean;
}

/** Turns an event into a message; shared, so that one event is one buffer however many subscribers wait for it. */
export type Encode = (event: LoggedEvent) => Buffer;

export class Subscriber {
  readonly #socket: WebSocket;
  readonly #log: EventLog;
  readonly #wanted: Subscription;
  readonly #limits: SubscriberLimits;
  readonly #encode: Encode;
  readonly #onDropped: (code: number, reason: string) => void;
  #cursor: number;
  #phase: 'catching-up' | 'live' | 'closed' = 'catching-up';
  #queuedEvents = 0;
  #roomMade: (() => void) | undefined;

  constructor(
    socket: WebSocket,
    log: EventLog,
    wanted: Subscription,
    limits: SubscriberLimits,
    encode: Encode,
    onDropped: (code: number, reason: string) => void,
  ) {
    this.#socket = socket;
    this.#log = log;
    this.#wanted = wanted;
    this.#limits = limits;
    this.#encode = encode;
    this.#onDropped = onDropped;
    this.#cursor = wanted.since ?? log.lastSeq;
  }

  /** Says hello and follows the log until the socket closes. Resolves when it has caught up or closed; never rejects. */
  async start(): Promise<void> {
    const unsubscribe = this.#log.subscribe((event) => this.#happened(event));
    this.#socket.once('close', () => {
      unsubscribe();
      this.#phase = 'closed';
      this.#roomMade?.();
    });
    await this.#guarded(async () => {
      const page = await this.#page(this.#cursor, 1);
      if (this.#phase === 'closed') return;
      const lastSeq = this.#log.lastSeq;
      this.#sendText(
        JSON.stringify({
          type: 'hello',
          seq: this.#wanted.since === undefined ? this.#cursor : lastSeq,
          oldest: page.oldestSeq,
        }),
      );
      if (this.#cursor > lastSeq) {
        this.#drop(CLOSE_CODES.ahead, `since=${this.#cursor} is ahead of the log, which ends at ${lastSeq}`);
        return;
      }
      await this.#catchUp();
    });
  }

  close(code: number, reason: string): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#roomMade?.();
    const cut = setTimeout(() => this.#socket.terminate(), this.#limits.closeMs);
    this.#socket.once('close', () => clearTimeout(cut));
    this.#socket.close(code, reason);
  }

  #happened(event: LoggedEvent): void {
    // While catching up nothing is kept: the log keeps it.
    if (this.#phase !== 'live' || event.seq <= this.#cursor) return;
    if (event.seq > this.#cursor + 1) {
      this.#phase = 'catching-up';
      void this.#guarded(() => this.#catchUp());
      return;
    }
    this.#cursor = event.seq;
    if (!matches(this.#wanted, event)) return;
    if (!this.#isWelcome()) return;
    this.#send(event);
    if (
      this.#queuedEvents > this.#limits.maxQueuedEvents ||
      this.#socket.bufferedAmount > this.#limits.maxQueuedBytes
    ) {
      this.#tooSlow();
    }
  }

  async #catchUp(): Promise<void> {
    while (this.#phase === 'catching-up') {
      if (!(await this.#roomForPage())) return this.#tooSlow();
      // Events up to here are in the store already, so a page that is not full has seen them all.
      const seenTo = this.#log.lastSeq;
      if (seenTo > this.#cursor) {
        const page = await this.#page(this.#cursor, this.#limits.pageSize);
        if (this.#phase !== 'catching-up') return;
        if (this.#cursor < oldestSince(page)) return this.#expired(page.oldestSeq);
        if (page.events.length > 0 && !this.#isWelcome()) return;
        for (const event of page.events) {
          this.#cursor = event.seq;
          this.#send(event);
        }
        if (page.events.length < this.#limits.pageSize) this.#cursor = Math.max(this.#cursor, seenTo);
      }
      // Nothing is awaited between this comparison and the change: no event can slip in between.
      if (this.#cursor >= this.#log.lastSeq && this.#phase === 'catching-up') this.#phase = 'live';
    }
  }

  /** Waits until what was sent has mostly left. False: it did not in time. */
  async #roomForPage(): Promise<boolean> {
    const limits = this.#limits;
    const isRoom = (): boolean =>
      this.#queuedEvents <= limits.maxQueuedEvents / 2 && this.#socket.bufferedAmount <= limits.maxQueuedBytes / 2;
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.#roomMade?.();
    }, limits.stallMs);
    try {
      while (!isRoom() && !timedOut && this.#phase === 'catching-up') {
        await new Promise<void>((resolve) => {
          this.#roomMade = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
      this.#roomMade = undefined;
    }
    return !timedOut || isRoom();
  }

  #page(since: number, limit: number): Promise<EventPage> {
    const { group, owner, types } = this.#wanted;
    const query = {
      since,
      limit,
      ...(group !== undefined && { group }),
      ...(types && { types }),
      ...(owner !== undefined && { owner }),
    };
    return withDeadline(this.#limits.storeMs, 'reading the event log', this.#log.page(query));
  }

  #isWelcome(): boolean {
    if (this.#wanted.isWelcome?.() ?? true) return true;
    this.close(CLOSE_CODES.policy, NOT_WELCOME);
    return false;
  }

  #send(event: LoggedEvent): void {
    this.#queuedEvents += 1;
    this.#socket.send(this.#encode(event), { binary: false }, () => {
      this.#queuedEvents -= 1;
      this.#roomMade?.();
    });
  }

  #sendText(text: string): void {
    this.#socket.send(text, () => undefined);
  }

  #tooSlow(): void {
    this.#drop(CLOSE_CODES.tooSlow, `too slow, resume with since=${this.#cursor} or the last seq you have`);
  }

  #expired(oldestSeq: number): void {
    const reason = oldestSeq === 0 ? 'none is kept' : `the oldest is ${oldestSeq}`;
    this.#drop(CLOSE_CODES.expired, `events after ${this.#cursor} are not all kept: ${reason}`);
  }

  /** `reason` goes to the client (at most 123 bytes), `detail` to the log. */
  #drop(code: number, reason: string, detail = reason): void {
    if (this.#phase === 'closed') return;
    this.close(code, reason);
    this.#onDropped(code, detail);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.#drop(CLOSE_CODES.internal, 'the event log cannot be read now, resume later', detail);
    }
  }
}
