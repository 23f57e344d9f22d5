/**
 * The flow on one transport in both directions: who holds back reading, who waits to write, and the one pong that may
 * wait. Bytes only; what they mean is the session's.
 */
import { pongPacket } from './keepalive.ts';
import type { Transport, TransportHandlers } from './transport.ts';

export class Pipe {
  readonly #transport: Transport;
  readonly #readPausers = new Set<object>();
  readonly #drainWaiters = new Set<() => void>();
  #pongOwed = false;
  #ended = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  start(handlers: Omit<TransportHandlers, 'onDrain'>): void {
    this.#transport.start({ ...handlers, onDrain: () => this.#onDrain() });
  }

  /** False: wait for {@link whenWritable} before more. Writes nothing once ended. */
  write(...chunks: readonly Uint8Array[]): boolean {
    return !this.#ended && this.#transport.write(...chunks);
  }

  /** True while bytes wait that the peer has not taken. */
  get congested(): boolean {
    return this.#transport.congested;
  }

  /** Resolves when more may be written, or the pipe has ended. */
  whenWritable(): Promise<void> {
    if (this.#ended || !this.#transport.congested) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.add(resolve));
  }

  /** Answers a ping; at most one answer waits for a peer that does not read, however often it pings. */
  answerPing(): void {
    if (this.#transport.congested) this.#pongOwed = true;
    else this.write(pongPacket);
  }

  /** Stops reading until everyone who paused it has resumed it. */
  pauseReading(who: object): void {
    this.#readPausers.add(who);
    this.#transport.pause();
  }

  resumeReading(who: object): void {
    if (!this.#readPausers.delete(who) || this.readingPaused || this.#ended) return;
    this.#transport.resume();
  }

  get readingPaused(): boolean {
    return this.#readPausers.size > 0;
  }

  /** Ends the pipe; whoever waits to write is let go. */
  destroy(): void {
    this.#ended = true;
    this.#transport.destroy();
    this.#onDrain();
  }

  #onDrain(): void {
    if (this.#pongOwed) {
      this.#pongOwed = false;
      this.write(pongPacket);
    }
    const waiters = [...this.#drainWaiters];
    this.#drainWaiters.clear();
    for (const resolve of waiters) resolve();
  }
}
