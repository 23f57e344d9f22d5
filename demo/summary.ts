// summary.json: its shape, how it is computed, and what must be true for `ok`. Pure.
// Not here: reading the story's moments out of the events (timeline).

import { serverNameOf } from '../src/adapters/balancer/server-name.ts';
import type { EventVm, LoggedEvent } from '../src/core/events.ts';
import type { FrontReport } from './front.ts';
import type { Replayed } from './replay.ts';
import { type RequestRecord, succeeded } from './request-record.ts';
import { percentile, rounded } from './statistics.ts';
import { afterKill, countGaps, type Timeline, timelineOf } from './timeline.ts';

/** Times RFC 3339, durations ms; `null` for what did not happen. */
export interface Summary {
  readonly ok: boolean;
  readonly accel: string | null;
  readonly libvirt: string | null;
  readonly qemu: string | null;
  /** Percent CPU that had to be crossed. */
  readonly threshold: number;
  readonly scaleOut: {
    readonly crossedAt: string | null;
    readonly decidedAt: string | null;
    readonly launchingAt: string | null;
    readonly launchedAt: string | null;
    /** crossedAt → decidedAt. */
    readonly decideMs: number | null;
    /** launchingAt → launchedAt. */
    readonly launchMs: number | null;
  };
  readonly scaleIn: { readonly decidedAt: string | null; readonly removedAt: string | null };
  /** All requests, those of the calibration too. */
  readonly requests: { readonly total: number; readonly failed: number };
  readonly responseMs: {
    readonly low: Percentiles;
    /** High mode with one VM. */
    readonly overloaded: Percentiles;
    /** High mode with two. */
    readonly scaledOut: Percentiles;
  };
  readonly events: { readonly total: number; readonly gaps: number };
  /** What `virtscale replay` said of the daemon's recording; null when it was not asked. */
  readonly replayed: string | null;
  /** Only with HAProxy in front. */
  readonly haproxy?: {
    readonly version: string | null;
    readonly killed: string | null;
    readonly killedAt: string | null;
    /** From the kill. */
    readonly noticedMs: number | null;
    readonly replacedMs: number | null;
    readonly replacement: string | null;
    /** Tries that HAProxy made again, and requests that it sent to another VM instead. */
    readonly retries: number | null;
    readonly redispatches: number | null;
  };
}

export interface Percentiles {
  readonly p50: number | null;
  readonly p95: number | null;
}

/** What the story saw. */
export interface Evidence {
  readonly accel?: string;
  readonly libvirt?: string;
  readonly qemu?: string;
  readonly threshold: number;
  readonly events: readonly LoggedEvent[];
  readonly requests: readonly RequestRecord[];
  /** Whether libvirt itself, asked at the end, still has a domain with the uuid of the VM that went. Absent: not asked. */
  readonly stillThere?: boolean;
  /** The daemon's decisions, made again from its recording. Absent: it still runs. */
  readonly replayed?: Replayed;
  /** Only with HAProxy in front: the VM that was killed by hand, and what HAProxy said at the end. */
  readonly front?: {
    readonly killed?: { readonly vm: EventVm; readonly atMs: number };
    readonly report?: FrontReport;
  };
}

export interface Verdict {
  readonly summary: Summary;
  /** Why `ok` is false, in words for people. Empty when it is true. */
  readonly problems: readonly string[];
}

/**
 * Right after the second VM has come the first still works off its queue; requests sent in this time count to neither side.
 * The plots show them like all others.
 */
export const SETTLING_MS = 1000;

export function summarise(evidence: Evidence): Verdict {
  const timeline = timelineOf(evidence.events);
  const { out, in: back } = timeline;
  const failed = evidence.requests.filter((record) => !succeeded(record)).length;
  const gaps = countGaps(evidence.events);
  const problems = problemsOf(evidence, timeline, failed, gaps);
  const summary: Summary = {
    ok: problems.length === 0,
    accel: evidence.accel ?? null,
    libvirt: evidence.libvirt ?? null,
    qemu: evidence.qemu ?? null,
    threshold: evidence.threshold,
    scaleOut: {
      crossedAt: out?.crossedAt ?? null,
      decidedAt: out?.decidedAt ?? null,
      launchingAt: out?.launchingAt ?? null,
      launchedAt: out?.launchedAt ?? null,
      decideMs: between(out?.crossedAt, out?.decidedAt),
      launchMs: between(out?.launchingAt, out?.launchedAt),
    },
    scaleIn: { decidedAt: back?.decidedAt ?? null, removedAt: back?.removedAt ?? null },
    requests: { total: evidence.requests.length, failed },
    responseMs: responseTimes(evidence.requests, out?.launchedAt, evidence.front?.killed, back?.decidedAt),
    events: { total: evidence.events.length, gaps },
    replayed: evidence.replayed?.text ?? null,
    ...(evidence.front && { haproxy: frontSummary(evidence.front, evidence.events) }),
  };
  return { summary, problems };
}

function problemsOf(evidence: Evidence, timeline: Timeline, failed: number, gaps: number): string[] {
  const { out, in: back } = timeline;
  const served = new Set(evidence.requests.filter(succeeded).map((record) => record.vm));
  const newVm = out?.vm?.name;
  const goneVm = back?.vm?.name ?? 'the VM';
  const problems: string[] = frontProblems(evidence, served, back?.vm?.name);
  if (timeline.firstVm === undefined) problems.push('the first VM never came');
  else if (out === undefined)
    problems.push(`no scale-out was decided: the CPU did not stay above ${evidence.threshold} %`);
  else if (out.launchedAt === undefined) problems.push('scale-out was decided, but the new VM never answered');
  else if (newVm !== undefined && !served.has(newVm)) problems.push(`${newVm} came, but served no request`);
  if (out?.launchedAt !== undefined) {
    if (back === undefined) problems.push('no scale-in was decided');
    else if (back.removedAt === undefined) problems.push(`scale-in was decided, but ${goneVm} was not removed`);
    else if (evidence.stillThere === undefined) problems.push(`libvirt was not asked whether ${goneVm} is gone`);
    else if (evidence.stillThere) problems.push(`${goneVm} was reported as removed, but libvirt still has it`);
  }
  if (evidence.requests.length === 0) problems.push('no request was sent');
  if (failed > 0) problems.push(`${failed} requests failed: see the status column of client.csv`);
  if (evidence.events.length === 0) problems.push('no event was received');
  if (gaps > 0) problems.push(`the event log had ${gaps} gaps or repeats: see events.ndjson`);
  if (evidence.replayed?.same === false)
    problems.push(`the decisions could not be made again: ${evidence.replayed.text}`);
  return problems;
}

function frontProblems(evidence: Evidence, served: ReadonlySet<string>, gone: string | undefined): string[] {
  const { events, front } = evidence;
  if (front === undefined) return [];
  const { killed, report } = front;
  if (killed === undefined) return ['no VM was killed by hand'];
  const { lost, next } = afterKill(events, killed.vm.id);
  const problems: string[] = [];
  if (lost === undefined) problems.push(`${killed.vm.name} was killed, but nobody noticed`);
  else if (next === undefined) problems.push(`nobody took the place of ${killed.vm.name}`);
  else if (!served.has(next.vm.name)) problems.push(`${next.vm.name} came, but HAProxy sent nobody there`);
  if (report === undefined) problems.push('HAProxy was not asked what it has');
  for (const vm of [killed.vm.name, gone]) {
    if (vm !== undefined && report?.servers.includes(serverNameOf(vm))) problems.push(`${vm} is still in HAProxy`);
  }
  return problems;
}

function frontSummary({ killed, report }: NonNullable<Evidence['front']>, events: readonly LoggedEvent[]) {
  const { lost, next } = killed === undefined ? {} : afterKill(events, killed.vm.id);
  const since = (at: string | undefined) =>
    at === undefined || killed === undefined ? null : Date.parse(at) - killed.atMs;
  return {
    version: report?.version ?? null,
    killed: killed?.vm.name ?? null,
    killedAt: killed === undefined ? null : new Date(killed.atMs).toISOString(),
    noticedMs: since(lost?.at),
    replacedMs: since(next?.at),
    replacement: next?.vm.name ?? null,
    retries: report?.retries ?? null,
    redispatches: report?.redispatches ?? null,
  };
}

function responseTimes(
  requests: readonly RequestRecord[],
  launchedAt: string | undefined,
  killed: { readonly atMs: number } | undefined,
  scaleInDecidedAt: string | undefined,
): Summary['responseMs'] {
  const cameMs = launchedAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(launchedAt);
  // A VM that was killed leaves one alone again.
  const wentMs =
    killed?.atMs ?? (scaleInDecidedAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(scaleInDecidedAt));
  const good = requests.filter(succeeded);
  const high = good.filter((record) => record.mode === 'high');
  return {
    low: percentilesOf(good.filter((record) => record.mode === 'low')),
    overloaded: percentilesOf(high.filter((record) => record.sentAtMs < cameMs)),
    scaledOut: percentilesOf(high.filter((r) => r.sentAtMs >= cameMs + SETTLING_MS && r.sentAtMs < wentMs)),
  };
}

function percentilesOf(records: readonly RequestRecord[]): Percentiles {
  const times = records.map((record) => record.latencyMs);
  const of = (percent: number) => {
    const value = percentile(times, percent);
    return value === undefined ? null : rounded(value, 2);
  };
  return { p50: of(50), p95: of(95) };
}

function between(from: string | undefined, to: string | undefined): number | null {
  return from === undefined || to === undefined ? null : Date.parse(to) - Date.parse(from);
}
