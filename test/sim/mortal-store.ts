// The real store as one daemon's life sees it: commits take time, the disk may be full, and death may come on either side of a commit.
// Not here: storing (SqliteStore), judging (invariants.ts is told of every commit that really happened).

import type { LoggedDecision } from '../../src/core/decision.ts';
import type { LoggedEvent } from '../../src/core/events.ts';
import type { Operation } from '../../src/core/operation.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { Fault } from '../../src/ports/fault.ts';
import type { EventPage, EventQuery, KeptAnswer, Store, StoreChanges, StoredState } from '../../src/ports/store.ts';
import { type Life, never } from './mortal.ts';

export interface MortalStoreOptions {
  readonly store: Store;
  readonly life: Life;
  readonly clock: Clock;
  readonly full: () => boolean;
  readonly latencyMs: () => number;
  readonly onCommit: (changes: StoreChanges, logged: readonly LoggedEvent[]) => void;
  readonly onRefused: () => void;
  readonly onTooLate: () => void;
}

export class MortalStore implements Store {
  readonly #options: MortalStoreOptions;

  constructor(options: MortalStoreOptions) {
    this.#options = options;
  }

  load(): Promise<StoredState> {
    return this.#options.life.guard(this.#options.store.load());
  }

  async commit(changes: StoreChanges): Promise<readonly LoggedEvent[]> {
    const { store, onCommit } = this.#options;
    return this.#written(async () => {
      const logged = await store.commit(changes);
      onCommit(changes, logged);
      return logged;
    });
  }

  async #written<T>(write: () => Promise<T>): Promise<T> {
    const { life, clock, full, latencyMs, onRefused, onTooLate } = this.#options;
    if (life.retired) onTooLate();
    await life.point('before commit');
    await clock.sleep(latencyMs());
    if (life.dead) return never();
    if (full()) {
      onRefused();
      throw new Fault('refused', 'no space left for the state, as scripted');
    }
    const written = await write();
    await life.point('after commit');
    return written;
  }

  events(query: EventQuery): Promise<EventPage> {
    return this.#options.life.guard(this.#options.store.events(query));
  }

  decisions(query: Parameters<Store['decisions']>[0]): Promise<readonly LoggedDecision[]> {
    return this.#options.life.guard(this.#options.store.decisions(query));
  }

  decision(id: string): Promise<LoggedDecision | undefined> {
    return this.#options.life.guard(this.#options.store.decision(id));
  }

  operations(query: Parameters<Store['operations']>[0]): Promise<readonly Operation[]> {
    return this.#options.life.guard(this.#options.store.operations(query));
  }

  operation(id: string): Promise<Operation | undefined> {
    return this.#options.life.guard(this.#options.store.operation(id));
  }

  operationByKey(owner: string, key: string): Promise<Operation | undefined> {
    return this.#options.life.guard(this.#options.store.operationByKey(owner, key));
  }

  answer(key: string): Promise<KeptAnswer | undefined> {
    return this.#options.life.guard(this.#options.store.answer(key));
  }

  keepAnswer(answer: KeptAnswer): Promise<void> {
    return this.#written(() => this.#options.store.keepAnswer(answer));
  }

  keepAudit(...given: Parameters<Store['keepAudit']>): ReturnType<Store['keepAudit']> {
    return this.#written(() => this.#options.store.keepAudit(...given));
  }

  audit(...given: Parameters<Store['audit']>): ReturnType<Store['audit']> {
    return this.#options.life.guard(this.#options.store.audit(...given));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
