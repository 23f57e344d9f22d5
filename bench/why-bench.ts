// why-1000-vms: why a group has as many VMs as it has, now and at moments that have passed, while 1,000 VMs are polled and every
// evaluation is recorded on disk. Not here: the server (memory-daemon).

import { setTimeout as sleep } from 'node:timers/promises';
import { ChildServer } from './child-server.ts';
import { pacedLatencies } from './load.ts';
import { constantPath, MEMORY_DAEMON, type MemoryDaemonOptions } from './memory-daemon.ts';
import type { BenchOptions } from './options.ts';
import { median, type Row, rowOf } from './row.ts';

const GROUPS = 10;
const HOSTS = 10;
const VMS_PER_HOST = 100;
const VMS = HOSTS * VMS_PER_HOST;
/** Of moments that are asked about: several stretches of the recording. */
const RECORDED_SECONDS = 90;
const MOMENTS = 30;
const PER_SECOND_NOW = 10;
const SECONDS = 40;
const SERVER: MemoryDaemonOptions = { hosts: HOSTS, vmsPerHost: VMS_PER_HOST, pollMs: 1000, groups: GROUPS };
const GOAL = { of: 'p99', atMost: 50 } as const;

export async function whyBench({ seconds = SECONDS, say, signal }: BenchOptions): Promise<readonly Row[]> {
  say(`starting a daemon with ${VMS} VMs in ${GROUPS} groups on ${HOSTS} simulated hosts`);
  const server = await ChildServer.start(MEMORY_DAEMON, SERVER, signal);
  try {
    const startMs = Date.now();
    say(`letting it record for ${RECORDED_SECONDS} s`);
    await sleep(RECORDED_SECONDS * 1000, undefined, { signal });
    const now = '/v1/groups/group-1/why';
    const past = Array.from({ length: MOMENTS }, (_, index) => pastPath(index, startMs));
    const { bytes } = await answerOf(server.url + now);
    for (const path of past) await mustBeOfThen(server.url + path);
    const constant = constantPath(bytes);
    say(`asking why now and then for ${seconds} s; an answer has ${bytes} bytes`);
    const [latencies, pastLatencies] = await Promise.all([
      pacedLatencies({ base: server.url, paths: [now, constant], perSecond: PER_SECOND_NOW, seconds, signal }),
      pacedLatencies({ base: server.url, paths: past, perSecond: 5 / MOMENTS, seconds, signal }),
    ]);
    const baseline = median(latencies.get(constant) ?? []);
    const told = `of one of ${GROUPS} groups with ${VMS / GROUPS} VMs each, at random moments while ${HOSTS} simulated hosts are polled each second; baseline: a constant of as many bytes from the same server, in turn`;
    return [
      rowOf({
        name: 'why-1000-vms',
        unit: 'ms',
        values: latencies.get(now) ?? [],
        baseline,
        goal: GOAL,
        note: `GET /v1/groups/NAME/why, ${told}`,
      }),
      rowOf({
        name: 'why-past-1000-vms',
        unit: 'ms',
        values: [...pastLatencies.values()].flat(),
        baseline,
        goal: GOAL,
        note: `GET /v1/groups/NAME/why?at=… about ${MOMENTS} moments of the last ${RECORDED_SECONDS} s, from the recording on disk, ${told}`,
      }),
    ];
  } finally {
    await server.stop();
  }
}

function pastPath(index: number, startMs: number): string {
  const atMs = startMs + ((index + 0.5) / MOMENTS) * RECORDED_SECONDS * 1000;
  return `/v1/groups/group-${1 + (index % GROUPS)}/why?at=${new Date(atMs).toISOString()}`;
}

async function answerOf(url: string): Promise<{ readonly bytes: number; readonly at: string }> {
  const response = await fetch(url);
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
  return { bytes: Buffer.byteLength(text), at: (JSON.parse(text) as { readonly at: string }).at };
}

/** The answer is the evaluation of that second, not the latest. */
async function mustBeOfThen(url: string): Promise<void> {
  const asked = new URL(url).searchParams.get('at') ?? '';
  const { at } = await answerOf(url);
  const apartMs = Date.parse(asked) - Date.parse(at);
  if (apartMs < 0 || apartMs > 3000) throw new Error(`asked about ${asked}, told about ${at}`);
}
