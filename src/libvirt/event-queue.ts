/**
 * A bounded queue with one reader, between a connection that must not wait and a consumer that may be slow.
 * When it overflows, what it held is replaced by one marker: the reader learns that it missed something.
 */

const MAX_ITEMS = 1_024;
const MAX_BYTES = 8 * 1_048_576;

/** Reads like an async iterable; `return()` works also while a `next()` waits. */
export class EventQueue<T> implements AsyncIterableIterator<T, undefined, undefined> {
  #items: { readonly item: T; readonly byteLength: number }[] = [];
  #bytes = 0;
  #end: { readonly error: unknown } | 'done' | undefined;
  #waiting: PromiseWithResolvers<IteratorResult<T, undefined>> | undefined;
  readonly #overflowMarker: () => T;
  readonly #onReturn: () => void;
  readonly #maxItems: number;

  /** `onReturn` is called once, when the reader leaves or the queue is ended. */
  constructor(overflowMarker: () => T, onReturn: () => void, maxItems: number = MAX_ITEMS) {
    this.#overflowMarker = overflowMarker;
    this.#onReturn = onReturn;
    this.#maxItems = maxItems;
  }

  /** Adds an item that keeps about `byteLength` bytes alive; never waits, never throws. */
  push(item: T, byteLength = 0): void {
    if (this.#end !== undefined) return;
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ done: false, value: item });
      this.#waiting = undefined;
      return;
    }
    if (this.#items.length >= this.#maxItems || this.#bytes + byteLength > MAX_BYTES) {
      this.#items = [{ item: this.#overflowMarker(), byteLength: 0 }];
      this.#bytes = 0;
      return;
    }
    this.#items.push({ item, byteLength });
    this.#bytes += byteLength;
  }

  /** No more items: the reader gets what is queued, then the end, or the error once. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#end !== undefined) return;
    this.#end = failure ?? 'done';
    this.#onReturn();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (failure === undefined) waiting.resolve({ done: true, value: undefined });
    else {
      this.#end = 'done';
      waiting.reject(failure.error);
    }
  }

  /** @throws what {@link end} was given. Only one call at a time may wait. */
  async next(): Promise<IteratorResult<T, undefined>> {
    const first = this.#items.shift();
    if (first !== undefined) {
      this.#bytes -= first.byteLength;
      return { done: false, value: first.item };
    }
    if (this.#end === 'done') return { done: true, value: undefined };
    if (this.#end !== undefined) {
      const { error } = this.#end;
      this.#end = 'done';
      throw error;
    }
    if (this.#waiting !== undefined) throw new Error('an event queue has one reader, and it is waiting already');
    this.#waiting = Promise.withResolvers<IteratorResult<T, undefined>>();
    return await this.#waiting.promise;
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#items = [];
    this.end();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
