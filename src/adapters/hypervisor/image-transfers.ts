// Bringing an image to a host once, however many ask for it at the same time: each is told of the progress, each may give up.
// Not here: how the bytes get there (placed-images of the libvirt adapter, memory-images of the double).

import { SingleFlight } from './embedded/single-flight.ts';

type OnBytes = (bytes: number) => void;

export class ImageTransfers {
  readonly #flights = new SingleFlight<void>();
  readonly #listeners = new Map<string, Set<OnBytes>>();

  /**
   * Joins the transfer of the image with that checksum, or begins it with `bring`, whose signal aborts when nobody waits any more.
   * Rejects as `bring` does, or at once with the reason of `signal`.
   */
  async join(
    sha256: string,
    onBytes: OnBytes,
    signal: AbortSignal,
    bring: (tell: OnBytes, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const listeners = this.#listeners.get(sha256) ?? new Set();
    this.#listeners.set(sha256, listeners);
    // A function of its own: two callers may pass the same one.
    const listener: OnBytes = (bytes) => onBytes(bytes);
    listeners.add(listener);
    const tell: OnBytes = (bytes) => {
      for (const each of listeners) each(bytes);
    };
    try {
      await this.#flights.run(sha256, signal, (whileWanted) => bring(tell, whileWanted));
    } finally {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(sha256) === listeners) this.#listeners.delete(sha256);
    }
  }
}
