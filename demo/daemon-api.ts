// The little the demo and the benchmarks ask of the daemon over HTTP.
// Not here: the event stream (event-feed). The load client asks nothing of this.

import { setTimeout as sleep } from 'node:timers/promises';
import { hostsSchema, type PublicHost, type PublicVm, vmsSchema } from '../src/edge/schemas.ts';

const CALL_TIMEOUT_MS = 3000;
const READY_POLL_MS = 100;

export class DaemonApi {
  readonly #base: string;

  /** `base` such as `http://127.0.0.1:7070`. */
  constructor(base: string) {
    this.#base = base;
  }

  /** Resolves when `/readyz` says so; rejects at the deadline with what it said last. */
  async ready(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    let last = 'nothing listens there yet';
    while (performance.now() < endMs) {
      signal.throwIfAborted();
      try {
        const response = await fetch(`${this.#base}/readyz`, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
        const text = await response.text();
        if (response.ok) return;
        last = text;
      } catch {
        // not listening yet
      }
      await sleep(READY_POLL_MS);
    }
    throw new Error(`the daemon was not ready within ${timeoutMs / 1000} s: ${last}`);
  }

  async hosts(): Promise<readonly PublicHost[]> {
    return hostsSchema.parse(await this.#get('/v1/hosts')).hosts;
  }

  async vms(): Promise<readonly PublicVm[]> {
    return vmsSchema.parse(await this.#get('/v1/vms')).vms;
  }

  async setDesired(group: string, desired: number): Promise<void> {
    const response = await fetch(`${this.#base}/v1/groups/${group}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ desired }),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    if (!response.ok)
      throw new Error(`PATCH /v1/groups/${group} answered ${response.status}: ${await response.text()}`);
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(this.#base + path, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
    if (!response.ok) throw new Error(`GET ${path} answered ${response.status}`);
    return await response.json();
  }
}
