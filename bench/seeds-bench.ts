// seeds-pm-query, seeds-pm-query-age: how many of the seeds' /pm/query one core answers, and how old the numbers are at most.
// Not here: the server (memory-daemon), what it is compared with (constant-server).

import { setTimeout as sleep } from 'node:timers/promises';
import { ChildServer } from './child-server.ts';
import { CONSTANT_SERVER, type ConstantServerOptions } from './constant-server.ts';
import { HttpConnection } from './http-connection.ts';
import { openAll, saturate } from './load.ts';
import { MEMORY_DAEMON, type MemoryDaemonOptions, nowMs, type Resized } from './memory-daemon.ts';
import type { BenchOptions } from './options.ts';
import { median, type Row, rowOf } from './row.ts';

const HOSTS = 10;
const VMS_PER_HOST = 20;
const POLL_MS = 1000;
/** Longer than a poll, so that each is seen before the next. */
const RESIZE_EVERY_MS = 1300;
const CONNECTIONS = 8;
const SECONDS = 40;
const WINDOW_SECONDS = 2;
const WARM_UP_SECONDS = 3;
const LOOK_EVERY_MS = 10;
const PATH = '/pm/query?pmid=1';
const RIGHT = '{"pmid":1,';

interface PmAnswer {
  readonly pmid: number;
  readonly free: { readonly cpu: number; readonly ram: number };
  readonly vms: number;
}

/** One server and what it did in each window. */
interface Contender {
  readonly server: ChildServer;
  readonly connections: HttpConnection[];
  readonly perCpuSecond: number[];
  readonly perSecond: number[];
}

export async function seedsBench({ seconds = SECONDS, say, signal }: BenchOptions): Promise<readonly Row[]> {
  const options: MemoryDaemonOptions = {
    hosts: HOSTS,
    vmsPerHost: VMS_PER_HOST,
    pollMs: POLL_MS,
    resizeEveryMs: RESIZE_EVERY_MS,
  };
  const contenders: Contender[] = [];
  const watchers: HttpConnection[] = [];
  try {
    const ours = await contender(contenders, MEMORY_DAEMON, options, signal);
    const body = (await ours.connections[0]?.get(PATH))?.toString() ?? '';
    const constant: ConstantServerOptions = { body };
    const bare = await contender(contenders, CONSTANT_SERVER, constant, signal);
    const watcher = await HttpConnection.open(ours.server.url);
    watchers.push(watcher);
    const ages = new Ages(ours.server, watcher);
    const windows = Math.max(2, Math.round(seconds / WINDOW_SECONDS));
    say(`${CONNECTIONS} connections, ${windows} times ${WINDOW_SECONDS} s each of virtscale and the bare server`);
    for (const { connections } of [ours, bare]) await saturate(connections, PATH, WARM_UP_SECONDS, signal, mustBeRight);
    for (let round = 0; round < windows; round += 1) {
      await measure(ours, signal);
      await measure(bare, signal);
    }
    return [rateRow(ours, bare), await ages.row()];
  } finally {
    for (const connection of watchers) connection.close();
    for (const { connections, server } of contenders) {
      for (const connection of connections) connection.close();
      await server.stop();
    }
  }
}

async function contender(all: Contender[], program: string, options: object, signal: AbortSignal): Promise<Contender> {
  const server = await ChildServer.start(program, options, signal);
  const one: Contender = { server, connections: [], perCpuSecond: [], perSecond: [] };
  all.push(one);
  one.connections.push(...(await openAll(server.url, CONNECTIONS)));
  return one;
}

async function measure(one: Contender, signal: AbortSignal): Promise<void> {
  const cpuBefore = await one.server.cpuSeconds();
  const { requests, seconds } = await saturate(one.connections, PATH, WINDOW_SECONDS, signal, mustBeRight);
  one.perCpuSecond.push(requests / ((await one.server.cpuSeconds()) - cpuBefore));
  one.perSecond.push(requests / seconds);
}

/** The seeds' failures have status 200 too. */
function mustBeRight(body: Buffer): void {
  if (body.toString('latin1', 0, RIGHT.length) !== RIGHT) throw new Error(`a wrong answer: ${body.toString()}`);
}

function rateRow(ours: Contender, bare: Contender): Row {
  const wall = `${Math.round(median(ours.perSecond))} and ${Math.round(median(bare.perSecond))}`;
  return rowOf({
    name: 'seeds-pm-query',
    unit: '/s',
    values: ours.perCpuSecond,
    baseline: median(bare.perCpuSecond),
    goal: { of: 'p50', atLeast: 2000 },
    note: `GET /pm/query?pmid=1 over ${CONNECTIONS} kept-alive connections: answers for each second of CPU time (user and system, all threads) of the daemon's process, which polls ${HOSTS} simulated hosts with ${HOSTS * VMS_PER_HOST} domains each second meanwhile; baseline: a bare node:http server with a constant of the same size, in turn. By the clock, with the client on the same machine: ${wall} a second`,
  });
}

/** Asks again and again, slowly, how long after a change of the host the first answer shows it. */
class Ages {
  readonly #changedAtMs = new Map<number, number>();
  readonly #seenAtMs = new Map<number, number>();
  readonly #connection: HttpConnection;
  readonly #over = new AbortController();
  readonly #watching: Promise<void>;

  constructor(server: ChildServer, connection: HttpConnection) {
    this.#connection = connection;
    server.onMessage((message) => {
      const resized = message as Resized;
      if (resized.kind === 'resized') this.#changedAtMs.set(resized.freeMiB, resized.atMs);
    });
    this.#watching = this.#watch();
    // Known when the row is made.
    this.#watching.catch(() => undefined);
  }

  async #watch(): Promise<void> {
    let last: Buffer | undefined;
    while (!this.#over.signal.aborted) {
      const body = await this.#connection.get(PATH);
      if (last?.equals(body) !== true) this.#see(body);
      last = body;
      await sleep(LOOK_EVERY_MS);
    }
  }

  #see(body: Buffer): void {
    const answer = JSON.parse(body.toString()) as PmAnswer;
    if (answer.pmid !== 1 || answer.vms !== VMS_PER_HOST) throw new Error(`a wrong answer: ${body.toString()}`);
    if (!this.#seenAtMs.has(answer.free.ram)) this.#seenAtMs.set(answer.free.ram, nowMs());
  }

  async row(): Promise<Row> {
    this.#over.abort();
    await this.#watching;
    // One that the server had at the beginning was changed by nobody.
    const ages = [...this.#seenAtMs].flatMap(([freeMiB, seenAtMs]) => {
      const changedAtMs = this.#changedAtMs.get(freeMiB);
      return changedAtMs === undefined ? [] : [seenAtMs - changedAtMs];
    });
    return rowOf({
      name: 'seeds-pm-query-age',
      unit: 'ms',
      values: ages,
      goal: { of: 'p99', atMost: POLL_MS * 1.1 },
      note: `from a change of a host's free memory, of which nobody is told, to the first answer that shows it, under that load: at most one poll (${POLL_MS} ms) and what the poll takes`,
    });
  }
}
