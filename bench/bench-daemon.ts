// The daemon as users run it, a process of its own, with its event log followed and operations waited for.
// Not here: the hosts it speaks to (private-hosts).

import { join } from 'node:path';
import { DaemonApi } from '../demo/daemon-api.ts';
import { type DaemonProcess, freePort, startDaemon } from '../demo/daemon-process.ts';
import { type DemoFiles, serveArguments } from '../demo/demo-config.ts';
import { EventFeed } from '../demo/event-feed.ts';
import { Journal } from '../demo/journal.ts';
import { ENDED_STATES } from '../src/core/operation.ts';
import type { PublicOperation } from '../src/edge/fabric-schemas.ts';
import type { PublicHost } from '../src/edge/schemas.ts';

const START_TIMEOUT_MS = 120_000;
const CALL_TIMEOUT_MS = 15_000;

export class BenchDaemon {
  readonly url: string;
  readonly journal = new Journal();
  readonly #daemon: DaemonProcess;
  readonly #feed: EventFeed;
  /** Aborts when the benchmark is to end, or the daemon has ended by itself. */
  readonly #over: AbortSignal;

  private constructor(url: string, daemon: DaemonProcess, signal: AbortSignal) {
    const ended = new AbortController();
    void daemon.ended.then((how) => ended.abort(new Error(how)));
    this.url = url;
    this.#daemon = daemon;
    this.#over = AbortSignal.any([signal, ended.signal]);
    this.#feed = new EventFeed({
      url: `${url.replace('http', 'ws')}/v1/events`,
      since: 0,
      onEvent: (event) => this.journal.add(event),
    });
  }

  /** Resolves when every host is up. */
  static async start(files: DemoFiles, signal: AbortSignal): Promise<BenchDaemon> {
    const port = await freePort();
    const logs = { log: join(files.folder, 'log.ndjson'), errors: join(files.folder, 'stderr.txt') };
    const daemon = new BenchDaemon(
      `http://127.0.0.1:${port}`,
      await startDaemon(serveArguments(files, port), logs),
      signal,
    );
    try {
      await new DaemonApi(daemon.url).ready(START_TIMEOUT_MS, daemon.#over);
      await daemon.#feed.opened(START_TIMEOUT_MS);
      await daemon.#allUp();
      return daemon;
    } catch (error) {
      await daemon.stop();
      throw error;
    }
  }

  async #allUp(): Promise<void> {
    const { hosts } = await this.call<{ readonly hosts: readonly PublicHost[] }>('GET', '/v1/hosts');
    for (const { name } of hosts) {
      await this.journal.waitFor('host.up', (event) => event.host === name, this.waiting(`host ${name} up`));
    }
  }

  /** For the journal. */
  waiting(what: string, timeoutMs: number = START_TIMEOUT_MS) {
    return { what, timeoutMs, signal: this.#over };
  }

  get lastSeq(): number {
    return this.journal.events.at(-1)?.seq ?? 0;
  }

  /** Rejects on anything but a success. */
  async call<T>(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      signal: AbortSignal.any([this.#over, AbortSignal.timeout(CALL_TIMEOUT_MS)]),
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Resolves when all have succeeded; rejects when one has not. */
  async succeeded(ids: readonly string[], timeoutMs: number): Promise<void> {
    await Promise.all(
      ids.map(async (id) => {
        const event = await this.journal.waitFor(
          'operation.changed',
          ({ operation }) => operation.id === id && ENDED_STATES.has(operation.state),
          this.waiting(`the end of operation ${id}`, timeoutMs),
        );
        if (event.operation.state === 'succeeded') return;
        const { history } = await this.call<PublicOperation>('GET', `/v1/operations/${id}`);
        throw new Error(`operation ${id}: ${history.map(({ text }) => text).join('; ')}`);
      }),
    );
  }

  async stop(): Promise<void> {
    await this.#feed.close();
    await this.#daemon.stop();
  }
}
