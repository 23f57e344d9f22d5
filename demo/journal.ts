// The events received so far, and waiting for one of them. Not here: receiving (event-feed).

import type { LoggedEvent } from '../src/core/events.ts';

/** The events of one type. */
export type EventOf<T extends LoggedEvent['type']> = Extract<LoggedEvent, { readonly type: T }>;

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** What is awaited, in words for the error. */
  readonly what: string;
}

export class Journal {
  readonly #events: LoggedEvent[] = [];
  readonly #listeners = new Set<(event: LoggedEvent) => void>();

  get events(): readonly LoggedEvent[] {
    return this.#events;
  }

  add(event: LoggedEvent): void {
    this.#events.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** The first event of the type that `also` accepts: one that is there already, or the one that will come. */
  async waitFor<T extends LoggedEvent['type']>(
    type: T,
    also: (event: EventOf<T>) => boolean,
    options: WaitOptions,
  ): Promise<EventOf<T>> {
    const fits = (event: LoggedEvent): event is EventOf<T> => event.type === type && also(event as EventOf<T>);
    const known = this.#events.find(fits);
    if (known !== undefined) return known;
    const { promise, resolve, reject } = Promise.withResolvers<EventOf<T>>();
    const listener = (event: LoggedEvent) => {
      if (fits(event)) resolve(event);
    };
    const late = setTimeout(() => reject(new Error(this.#lateText(options))), options.timeoutMs);
    const aborted = () => reject(options.signal.reason);
    this.#listeners.add(listener);
    options.signal.addEventListener('abort', aborted);
    try {
      options.signal.throwIfAborted();
      return await promise;
    } finally {
      clearTimeout(late);
      this.#listeners.delete(listener);
      options.signal.removeEventListener('abort', aborted);
    }
  }

  #lateText(options: WaitOptions): string {
    const told = this.#events.flatMap((e) =>
      'reason' in e && e.type !== 'daemon.stopping' ? [`${e.type}: ${e.reason}`] : [],
    );
    const trouble = told.length === 0 ? '' : ` (the daemon told: ${told.slice(-3).join('; ')})`;
    return `${options.what} did not happen within ${options.timeoutMs / 1000} s${trouble}`;
  }
}
