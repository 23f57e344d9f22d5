// Tells that something changed on a host, from libvirt's events, to any number of listeners, and marks what is known as stale.
// Carries no facts: the next poll does. A slow listener misses nothing but repetitions.

import type { LibvirtClient } from '../../../libvirt/index.ts';
import type { DomainCatalog } from './domain-catalog.ts';

export class ChangeFeed {
  readonly #client: LibvirtClient;
  readonly #catalog: DomainCatalog;
  readonly #listeners = new Set<() => void>();
  #started = false;

  constructor(client: LibvirtClient, catalog: DomainCatalog) {
    this.#client = client;
    this.#catalog = catalog;
  }

  /** From now on events are heard; ends with the client. Safe to call again. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    void this.#listen();
  }

  async #listen(): Promise<void> {
    try {
      for await (const event of this.#client.events(['lifecycle'])) {
        if (event.type === 'resync') this.#catalog.invalidateAll();
        else if (event.type === 'lifecycle' && event.event === 'defined') this.#catalog.invalidate(event.domain.uuid);
        for (const tell of this.#listeners) tell();
      }
    } catch {
      // A libvirt that cannot tell events is polled; the next call of `start` tries once more.
      this.#started = false;
    }
  }

  async *changes(signal: AbortSignal): AsyncIterable<void> {
    this.start();
    let changed = false;
    let wake: (() => void) | undefined;
    const tell = (): void => {
      changed = true;
      wake?.();
    };
    this.#listeners.add(tell);
    signal.addEventListener('abort', tell, { once: true });
    try {
      while (!signal.aborted) {
        if (!changed) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        if (signal.aborted) return;
        changed = false;
        yield;
      }
    } finally {
      this.#listeners.delete(tell);
      signal.removeEventListener('abort', tell);
    }
  }
}
