// A real event log in memory: numbers, order, paging, retention, listeners, as the port and EventLog promise.
// Like the engine's, it publishes only after storing, and the store may answer late.

import { type LoggedEvent, type NewEvent, ownerOfEvent } from '../../src/core/events.ts';
import { eventGroup } from '../../src/edge/event-text.ts';
import type { EventLog } from '../../src/engine/view.ts';
import type { EventPage, EventQuery } from '../../src/ports/store.ts';

export class MemoryEventLog implements EventLog {
  readonly #stored: LoggedEvent[] = [];
  readonly #listeners = new Set<(event: LoggedEvent) => void>();
  #storedSeq = 0;
  #publishedSeq = 0;
  #oldestSeq = 0;
  /** Awaited in the middle of each page: before what it answers is read, or after. */
  beforeRead: () => Promise<void> = () => Promise.resolve();
  afterRead: () => Promise<void> = () => Promise.resolve();
  pages = 0;

  get lastSeq(): number {
    return this.#publishedSeq;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Stored and not yet published: the gap between a commit and its listeners. */
  store(event: NewEvent): LoggedEvent {
    this.#storedSeq += 1;
    const logged: LoggedEvent = {
      ...event,
      seq: this.#storedSeq,
      at: new Date(1_800_000_000_000 + this.#storedSeq * 1000).toISOString(),
    };
    this.#stored.push(logged);
    if (this.#oldestSeq === 0) this.#oldestSeq = logged.seq;
    return logged;
  }

  publish(): void {
    for (const event of this.#stored) {
      if (event.seq <= this.#publishedSeq) continue;
      this.#publishedSeq = event.seq;
      for (const listener of this.#listeners) listener(event);
    }
  }

  append(...events: readonly NewEvent[]): void {
    for (const event of events) this.store(event);
    this.publish();
  }

  /** Drops the oldest so that `keep` remain. */
  retain(keep: number): void {
    this.#stored.splice(0, Math.max(0, this.#stored.length - keep));
    this.#oldestSeq = this.#stored[0]?.seq ?? 0;
  }

  async page({ since, limit, group, types, owner }: EventQuery): Promise<EventPage> {
    this.pages += 1;
    await this.beforeRead();
    const events = this.#stored
      .filter((event) => event.seq > since)
      .filter((event) => owner === undefined || ownerOfEvent(event) === owner)
      .filter((event) => group === undefined || eventGroup(event) === group)
      .filter((event) => types === undefined || types.includes(event.type))
      .slice(0, limit);
    const page = { events, oldestSeq: this.#oldestSeq, lastSeq: this.#storedSeq };
    await this.afterRead();
    return page;
  }

  subscribe(listener: (event: LoggedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
