// api-vms-page: one page of GET /v1/vms in the middle of 10,000 VMs, over a socket, while the daemon polls its hosts.
// Not here: the server (memory-daemon).

import { ChildServer } from './child-server.ts';
import { HttpConnection } from './http-connection.ts';
import { pacedLatencies } from './load.ts';
import { constantPath, MEMORY_DAEMON, type MemoryDaemonOptions } from './memory-daemon.ts';
import type { BenchOptions } from './options.ts';
import { median, type Row, rowOf } from './row.ts';

const HOSTS = 100;
const VMS_PER_HOST = 100;
const VMS = HOSTS * VMS_PER_HOST;
const PAGE = 100;
const PER_SECOND = 25;
const WARM_UP_SECONDS = 3;
const SECONDS = 40;
const SERVER: MemoryDaemonOptions = { hosts: HOSTS, vmsPerHost: VMS_PER_HOST, pollMs: 1000 };

export async function pageBench({ seconds = SECONDS, say, signal }: BenchOptions): Promise<readonly Row[]> {
  say(`starting a daemon with ${VMS} VMs on ${HOSTS} simulated hosts`);
  const server = await ChildServer.start(MEMORY_DAEMON, SERVER, signal);
  try {
    const base = server.url;
    const { bytes, path } = await withConnection(base, middlePage);
    const constant = constantPath(bytes);
    const load = { base, paths: [path, constant], perSecond: PER_SECOND, signal };
    await pacedLatencies({ ...load, seconds: WARM_UP_SECONDS });
    say(`asking for a page of ${bytes} bytes ${PER_SECOND} times a second for ${seconds} s`);
    const latencies = await pacedLatencies({ ...load, seconds, onAnswer: (_, body) => mustBeAbout(body, bytes) });
    say(`asking for it again and again for ${seconds / 4} s`);
    const inRow = await withConnection(base, (connection) => inARow(connection, path, seconds / 4, signal));
    return [
      rowOf({
        name: 'api-vms-page',
        unit: 'ms',
        values: latencies.get(path) ?? [],
        baseline: median(latencies.get(constant) ?? []),
        goal: { of: 'p99', atMost: 10 },
        note: `GET /v1/vms?limit=${PAGE}, a page in the middle of ${VMS} VMs by its cursor, at random moments while ${HOSTS} simulated hosts are polled each second: who comes during a turn waits for it; baseline: a constant of ${bytes} bytes from the same server, in turn`,
      }),
      rowOf({
        name: 'api-vms-page-in-a-row',
        unit: 'ms',
        values: inRow,
        note: 'the same page, asked for by one client that asks again as soon as it has its answer: one of many waits for a turn',
      }),
    ];
  } finally {
    await server.stop();
  }
}

async function withConnection<T>(base: string, work: (connection: HttpConnection) => Promise<T>): Promise<T> {
  const connection = await HttpConnection.open(base);
  try {
    return await work(connection);
  } finally {
    connection.close();
  }
}

async function inARow(
  connection: HttpConnection,
  path: string,
  seconds: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const values: number[] = [];
  const endMs = performance.now() + seconds * 1000;
  for (let startedMs = performance.now(); startedMs < endMs; startedMs = performance.now()) {
    signal.throwIfAborted();
    await connection.get(path);
    values.push(performance.now() - startedMs);
  }
  return values;
}

/** Times and percentages vary in length. */
function mustBeAbout(body: Buffer, bytes: number): void {
  if (Math.abs(body.length - bytes) > bytes / 10) throw new Error(`an answer of ${body.length} bytes, not ${bytes}`);
}

/** Goes from page to page as a client does. */
async function middlePage(connection: HttpConnection): Promise<{ readonly path: string; readonly bytes: number }> {
  const first = `/v1/vms?limit=${PAGE}`;
  let path = first;
  for (let pages = 0; pages <= VMS / PAGE; pages += 1) {
    const body = await connection.get(path);
    const page = JSON.parse(body.toString()) as {
      readonly vms: readonly { readonly id: number }[];
      readonly nextCursor?: string;
    };
    if (page.vms.length !== PAGE) throw new Error(`a page of ${page.vms.length} VMs`);
    if ((page.vms[0]?.id ?? 0) > VMS / 2) return { path, bytes: body.length };
    if (page.nextCursor === undefined) break;
    path = `${first}&cursor=${page.nextCursor}`;
  }
  throw new Error(`there are fewer than ${VMS / 2} VMs`);
}
