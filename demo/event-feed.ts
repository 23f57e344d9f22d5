// A subscription to virtscale's event log over WebSocket: every event once, in order, across reconnects.
// Not here: what the events mean for a client (load-client) or for the summary (timeline).

import { setTimeout as sleep } from 'node:timers/promises';
import { type RawData, WebSocket } from 'ws';
import type { LoggedEvent } from '../src/core/events.ts';

const MAX_MESSAGE_BYTES = 1024 * 1024;
const RECONNECT_MS = 250;

export interface EventFeedOptions {
  /** e.g. `ws://127.0.0.1:7070/v1/events` */
  readonly url: string;
  /** Events after this number are told. */
  readonly since: number;
  /** Each event as it came: parsed, and the text itself. */
  readonly onEvent: (event: LoggedEvent, text: string) => void;
}

export class EventFeed {
  readonly #options: EventFeedOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #opened = Promise.withResolvers<void>();
  #lastSeq: number;

  constructor(options: EventFeedOptions) {
    this.#options = options;
    this.#lastSeq = options.since;
    this.#opened.promise.catch(() => {});
    this.#running = this.#run();
  }

  /** Resolves when the first `hello` has come. */
  async opened(timeoutMs: number): Promise<void> {
    const late = AbortSignal.timeout(timeoutMs);
    late.addEventListener('abort', () =>
      this.#opened.reject(new Error(`no hello from ${this.#options.url} within ${timeoutMs / 1000} s`)),
    );
    await this.#opened.promise;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#opened.reject(new Error('the event feed was closed'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#session(signal);
      await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** One connection, until it ends for whatever reason. */
  #session(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const socket = new WebSocket(`${this.#options.url}?since=${this.#lastSeq}`, { maxPayload: MAX_MESSAGE_BYTES });
      const stop = () => socket.close(1000);
      signal.addEventListener('abort', stop, { once: true });
      socket.on('message', (data) => this.#take(textOf(data)));
      socket.on('error', () => {}); // 'close' follows and the loop tries again
      socket.on('close', () => {
        signal.removeEventListener('abort', stop);
        resolve();
      });
    });
  }

  #take(text: string): void {
    const message = JSON.parse(text) as { readonly type: string; readonly seq: number };
    if (message.type === 'hello') {
      this.#opened.resolve();
      return;
    }
    this.#lastSeq = message.seq;
    this.#options.onEvent(message as LoggedEvent, text);
  }
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return Buffer.from(data instanceof ArrayBuffer ? new Uint8Array(data) : data).toString('utf8');
}
