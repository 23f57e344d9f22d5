// Moves a VM to and fro between two private hosts and kills the daemon or a libvirtd at a random moment of each move. Never may two copies
// run, and never none be left. A program too: `node test/real/migration-kills.ts --runs 50 [--seed N]`. Not here: the bed (migration-bed).

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { BedHost, MigrationBed } from './migration-bed.ts';

export const VICTIMS = ['daemon', 'source', 'target', 'both', 'daemon-and-source', 'daemon-and-target'] as const;
export type Victim = (typeof VICTIMS)[number];

export interface KillRun {
  readonly victim: Victim;
  /** After the move was asked for. */
  readonly afterMs: number;
  /** How the operation ended, and where the VM is then. */
  readonly outcome: string;
  readonly host: string;
  /** Why it did not move. */
  readonly reason?: string;
  /** From the kill until everything was settled. */
  readonly settledMs: number;
  /** Anything that must not be. */
  readonly problems: readonly string[];
}

/** A move between two idle hosts takes about as long. */
const MOVE_MS = 2200;
const SAMPLE_MS = 5;
const SETTLE_MS = 60_000;

export async function killRun(bed: MigrationBed, vmId: number, random: () => number): Promise<KillRun> {
  const victim = VICTIMS[Math.floor(random() * VICTIMS.length)] ?? 'daemon';
  const afterMs = Math.round(random() * MOVE_MS);
  const record = bed.engine.vm(vmId)?.record;
  if (record === undefined) throw new Error('the VM is gone');
  const { host: from, name, uuid } = record;
  const source = need(bed.hosts.find((host) => host.name === from));
  const target = need(bed.hosts.find((host) => host.name !== from));
  const problems: string[] = [];
  const watch = new AbortController();
  const watching = watchCopies(bed, uuid, problems, watch.signal);
  const begun = await bed.migrate(vmId);
  if (!begun.ok) throw new Error(`refused: ${begun.reason}`);
  await sleep(afterMs);
  const killedAtMs = performance.now();
  if (victim === 'source' || victim === 'both' || victim === 'daemon-and-source') kill(source);
  if (victim === 'target' || victim === 'both' || victim === 'daemon-and-target') kill(target);
  if (victim.startsWith('daemon')) {
    await bed.kill();
    await sleep(Math.round(random() * 500));
    await bed.revive();
  }
  const ended = await bed.ended(begun.value.operation.id, SETTLE_MS);
  const settledMs = Math.round(performance.now() - killedAtMs);
  watch.abort();
  await watching;
  await bed.renew();
  const after = bed.engine.vm(vmId)?.record;
  problems.push(...(await settled(bed, uuid, name, after?.host ?? '', after?.endpoint)));
  if (problems.length > 0)
    problems.push(...ended.history.map(({ at, text }) => `  ${at} ${text}`), ...bed.log.slice(-5));
  const reason = ended.failure?.detail;
  return {
    victim,
    afterMs,
    outcome: ended.state,
    host: after?.host ?? '',
    settledMs,
    problems,
    ...(reason !== undefined && { reason }),
  };
}

/** Looks at both all the time. One host is asked before and after the other: a move between two looks is no second copy. */
async function watchCopies(bed: MigrationBed, uuid: string, problems: string[], signal: AbortSignal): Promise<void> {
  const [first, second] = [need(bed.hosts[0]), need(bed.hosts[1])];
  while (!signal.aborted) {
    const before = await bed.copy(first, uuid);
    const other = await bed.copy(second, uuid);
    const after = await bed.copy(first, uuid);
    if (before === 'running' && other === 'running' && after === 'running') problems.push('two copies run');
    await sleep(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function settled(
  bed: MigrationBed,
  uuid: string,
  name: string,
  where: string,
  endpoint: { readonly address: string; readonly port: number } | undefined,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const host of bed.hosts) {
    const volumes = await bed.volumes(host, name);
    const copy = await bed.copy(host, uuid);
    const isThere = host.name === where;
    if (copy !== (isThere ? 'running' : 'absent'))
      problems.push(`the record says ${where}; on ${host.name} it is ${copy}`);
    if (volumes.some((volume) => volume.endsWith('.qcow2')) !== isThere) {
      problems.push(`the record says ${where}; volumes on ${host.name}: ${volumes.join(', ') || 'none'}`);
    }
  }
  if (endpoint === undefined || !(await serves(endpoint)))
    problems.push(`it does not serve at ${JSON.stringify(endpoint)}`);
  return problems;
}

async function serves({ address, port }: { readonly address: string; readonly port: number }): Promise<boolean> {
  for (let tries = 0; tries < 50; tries += 1) {
    try {
      const answer = await fetch(`http://${address}:${port}/healthz`, { signal: AbortSignal.timeout(1000) });
      await answer.arrayBuffer();
      if (answer.ok) return true;
    } catch {
      await sleep(100);
    }
  }
  return false;
}

function kill({ embedded }: BedHost): void {
  try {
    process.kill(embedded.pid, 'SIGKILL');
  } catch (error) {
    // It is just being started again.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the bed has two hosts');
  return value;
}

/** The same numbers for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function main(): Promise<void> {
  const options = { runs: { type: 'string', default: '50' }, seed: { type: 'string' } } as const;
  const { values } = parseArgs({ options });
  const [runs, seed] = [Number(values.runs), Number(values.seed ?? Date.now() % 100_000)];
  const { MigrationBed: Bed } = await import('./migration-bed.ts');
  process.stdout.write(`seed ${seed}\n`);
  const bed = await Bed.start();
  let bad = 0;
  const ends: Record<string, number> = {};
  try {
    const id = await bed.launch();
    const random = seeded(seed);
    for (let run = 1; run <= runs; run += 1) {
      const done = await killRun(bed, id, random);
      const key = `${done.victim}: ${done.outcome}`;
      ends[key] = (ends[key] ?? 0) + 1;
      if (done.problems.length > 0) bad += 1;
      const { afterMs, host, outcome, problems, reason = '', settledMs, victim } = done;
      process.stdout.write(
        `${run}  ${victim} killed after ${afterMs} ms: ${outcome} on ${host}, settled in ${settledMs} ms  ${reason}\n`,
      );
      for (const problem of problems) process.stdout.write(`    ${problem}\n`);
    }
  } finally {
    await bed.stop();
  }
  process.stdout.write(`${runs} runs, ${bad} with a problem; ${JSON.stringify(ends, null, 1)}\n`);
  process.exitCode = bad === 0 ? 0 : 1;
}

if (import.meta.main) await main();
