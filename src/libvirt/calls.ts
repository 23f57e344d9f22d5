/**
 * The calls of one connection: who waits to be sent, who waits for an answer, who gave up. Holds the in-flight limit.
 * No I/O: sending is a callback, and answers are handed in.
 *
 *   queued ──sent──▶ in flight ──reply──▶ settled
 *     │                  │
 *     └─deadline/abort   └─deadline/abort──▶ abandoned ──late reply──▶ dropped
 *        (not sent)            (its slot stays taken until the daemon answers: the daemon still works on it)
 */
import { ConnectionError } from './errors.ts';

/** One call, from `submit` on. `settle` gets the raw answer's meaning from the session. */
export interface Call {
  readonly serial: number;
  readonly name: string;
  readonly program: number;
  readonly procedure: number;
  readonly packet: Uint8Array;
  readonly priority: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

interface Entry extends Call {
  abandoned: boolean;
  timer: NodeJS.Timeout | undefined;
  onAbort: (() => void) | undefined;
}

export interface CallTableOptions {
  readonly maxInFlight: number;
  readonly maxQueued: number;
  /** How long every slot may be held by abandoned calls before `onStuck`. */
  readonly stuckAfterMs: number;
  readonly send: (packets: readonly Uint8Array[]) => void;
  readonly onStuck: () => void;
}

export class CallTable {
  readonly #options: CallTableOptions;
  readonly #urgent = new Map<number, Entry>();
  readonly #queued = new Map<number, Entry>();
  readonly #inFlight = new Map<number, Entry>();
  #abandonedCount = 0;
  #stuckTimer: NodeJS.Timeout | undefined;
  #pumpScheduled = false;
  #closed = false;

  constructor(options: CallTableOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get queued(): number {
    return this.#urgent.size + this.#queued.size;
  }

  /** Calls nobody waits for any more, whose slots the daemon still holds. */
  get abandoned(): number {
    return this.#abandonedCount;
  }

  has(serial: number): boolean {
    return this.#inFlight.has(serial) || this.#queued.has(serial) || this.#urgent.has(serial);
  }

  /** Queues a call, urgent ones first; it goes out when a slot is free. Rejects it as `busy` when the queue is full. */
  submit(call: Call): void {
    if (this.queued >= this.#options.maxQueued) {
      call.reject(new ConnectionError('busy', `${call.name} not sent: ${this.queued} calls are waiting already`));
      return;
    }
    const entry: Entry = { ...call, abandoned: false, timer: undefined, onAbort: undefined };
    entry.timer = setTimeout(() => this.#giveUp(entry, undefined), call.timeoutMs);
    if (call.signal !== undefined) {
      entry.onAbort = () => this.#giveUp(entry, { reason: call.signal?.reason });
      call.signal.addEventListener('abort', entry.onAbort, { once: true });
    }
    (call.priority ? this.#urgent : this.#queued).set(call.serial, entry);
    this.#schedulePump();
  }

  /** Sends what now may be sent, after the current run of synchronous submissions, in one write. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#closed) return;
    const packets: Uint8Array[] = [];
    for (const queue of [this.#urgent, this.#queued]) {
      for (const entry of queue.values()) {
        if (this.#inFlight.size >= this.#options.maxInFlight) break;
        queue.delete(entry.serial);
        this.#inFlight.set(entry.serial, entry);
        packets.push(entry.packet);
      }
    }
    if (packets.length > 0) this.#options.send(packets);
  }

  /** The call in flight under this serial, abandoned or not. */
  find(serial: number): (Call & { readonly abandoned: boolean }) | undefined {
    return this.#inFlight.get(serial);
  }

  /** Takes a call out because its answer has come; its slot is free again. */
  complete(serial: number): void {
    const entry = this.#inFlight.get(serial);
    if (entry === undefined) return;
    this.#inFlight.delete(serial);
    this.#release(entry);
    if (entry.abandoned) this.#abandonedCount -= 1;
    clearTimeout(this.#stuckTimer);
    this.#stuckTimer = undefined;
    this.#schedulePump();
  }

  #release(entry: Entry): void {
    clearTimeout(entry.timer);
    if (entry.onAbort !== undefined) entry.signal?.removeEventListener('abort', entry.onAbort);
  }

  #giveUp(entry: Entry, aborted: { readonly reason: unknown } | undefined): void {
    this.#release(entry);
    const sent = this.#inFlight.has(entry.serial);
    if (sent) {
      entry.abandoned = true;
      this.#abandonedCount += 1;
      if (this.#abandonedCount === this.#options.maxInFlight) {
        this.#stuckTimer = setTimeout(this.#options.onStuck, this.#options.stuckAfterMs);
      }
    } else {
      this.#urgent.delete(entry.serial);
      this.#queued.delete(entry.serial);
    }
    if (aborted !== undefined) entry.reject(aborted.reason);
    else {
      const what = sent ? 'no answer' : 'not sent: earlier calls still hold the connection';
      entry.reject(
        new ConnectionError('timed-out', `${entry.name}: ${what} within ${entry.timeoutMs} ms`, {
          outcomeUnknown: sent,
        }),
      );
    }
  }

  /** The connection ended: every waiting call rejects, and those that had been sent say that their outcome is unknown. */
  close(cause: ConnectionError): void {
    this.#closed = true;
    clearTimeout(this.#stuckTimer);
    const kind = cause.kind === 'protocol' ? 'protocol' : 'closed';
    for (const table of [this.#inFlight, this.#urgent, this.#queued]) {
      const outcomeUnknown = table === this.#inFlight;
      for (const entry of table.values()) {
        this.#release(entry);
        if (entry.abandoned) continue;
        const what = outcomeUnknown ? 'outcome unknown' : 'not sent';
        entry.reject(new ConnectionError(kind, `${entry.name}: ${what}: ${cause.message}`, { outcomeUnknown, cause }));
      }
      table.clear();
    }
    this.#abandonedCount = 0;
  }
}
