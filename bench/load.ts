// Two ways to ask a server: at random moments, for latencies as users meet them, and as fast as it answers, for its capacity.
// Not here: who is asked what, and what for.

import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection } from './http-connection.ts';

/** More than are ever busy at once at the rates of the benchmarks, unless the server stands still. */
const PACED_CONNECTIONS = 8;

export interface PacedLoad {
  readonly base: string;
  /** Each is asked `perSecond` times a second on average, independently of the others and of the answers. */
  readonly paths: readonly string[];
  readonly perSecond: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
  readonly onAnswer?: (path: string, body: Buffer) => void;
}

/**
 * Latencies in ms by path. Whoever comes while the server stands still waits and is counted: asking only after the last answer would
 * leave out just those.
 */
export async function pacedLatencies(load: PacedLoad): Promise<ReadonlyMap<string, readonly number[]>> {
  const { base, onAnswer, paths, perSecond, seconds, signal } = load;
  const latencies = new Map<string, number[]>(paths.map((path) => [path, []]));
  const pool = new ConnectionPool(await openAll(base, PACED_CONNECTIONS));
  const endMs = performance.now() + seconds * 1000;
  const ask = async (path: string): Promise<void> => {
    const startedMs = performance.now();
    const body = await pool.run((connection) => connection.get(path));
    latencies.get(path)?.push(performance.now() - startedMs);
    onAnswer?.(path, body);
  };
  const askAgainAndAgain = async (path: string): Promise<void> => {
    const asked: Promise<void>[] = [];
    let dueMs = performance.now();
    for (;;) {
      dueMs += (-Math.log(1 - Math.random()) * 1000) / perSecond;
      if (dueMs > endMs) break;
      await sleep(Math.max(0, dueMs - performance.now()), undefined, { signal });
      const answer = ask(path);
      // Awaited below; that it failed is known before.
      answer.catch(() => undefined);
      asked.push(answer);
    }
    await Promise.all(asked);
  };
  try {
    await Promise.all(paths.map(askAgainAndAgain));
  } finally {
    pool.close();
  }
  return latencies;
}

export interface Saturation {
  readonly requests: number;
  readonly seconds: number;
}

/** Each connection asks again as soon as it has its answer. */
export async function saturate(
  connections: readonly HttpConnection[],
  path: string,
  seconds: number,
  signal: AbortSignal,
  onAnswer: (body: Buffer) => void,
): Promise<Saturation> {
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  let requests = 0;
  await Promise.all(
    connections.map(async (connection) => {
      while (performance.now() < endMs && !signal.aborted) {
        onAnswer(await connection.get(path));
        requests += 1;
      }
    }),
  );
  signal.throwIfAborted();
  return { requests, seconds: (performance.now() - startedMs) / 1000 };
}

export function openAll(base: string, count: number): Promise<HttpConnection[]> {
  return Promise.all(Array.from({ length: count }, () => HttpConnection.open(base)));
}

/** Those that wait longest for work come first: a server closes what it takes for idle. */
class ConnectionPool {
  readonly #all: readonly HttpConnection[];
  readonly #free: HttpConnection[];
  readonly #waiting: ((connection: HttpConnection) => void)[] = [];

  constructor(connections: readonly HttpConnection[]) {
    this.#all = connections;
    this.#free = [...connections];
  }

  async run<T>(work: (connection: HttpConnection) => Promise<T>): Promise<T> {
    const connection =
      this.#free.shift() ?? (await new Promise<HttpConnection>((resolve) => this.#waiting.push(resolve)));
    try {
      return await work(connection);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(connection);
      else this.#free.push(connection);
    }
  }

  close(): void {
    for (const connection of this.#all) connection.close();
  }
}
