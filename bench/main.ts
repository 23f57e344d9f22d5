// `npm run bench`: the figures of the README and the release notes, into output-log/bench.json.
// Not here: any measuring.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { backtestBench } from './backtest-bench.ts';
import { createBench } from './create-bench.ts';
import { decideBench } from './decide-bench.ts';
import { isolationBench } from './isolation-bench.ts';
import { launchBench } from './launch-bench.ts';
import { liveBench } from './live-bench.ts';
import { describeMachine, type Machine } from './machine.ts';
import type { BenchOptions } from './options.ts';
import { pageBench } from './page-bench.ts';
import { placementBench } from './placement-bench.ts';
import { pollBench } from './poll-bench.ts';
import type { Row } from './row.ts';
import { seedsBench } from './seeds-bench.ts';
import { whyBench } from './why-bench.ts';

interface Part {
  readonly name: string;
  readonly does: string;
  readonly run: (options: PartOptions) => Promise<readonly Row[]>;
}

interface PartOptions extends BenchOptions {
  readonly rounds: number;
  readonly creates: number;
}

/** Short and pure ones first, those that start many QEMUs last. */
const PARTS: readonly Part[] = [
  { name: 'decide', does: 'the decision function for a group of 100 VMs', run: async () => [decideBench()] },
  { name: 'backtest', does: 'two weeks of load through a policy and all presets', run: backtestBench },
  {
    name: 'placement',
    does: 'where a VM goes among 1,000 hosts with 10,000 VMs',
    run: async () => placementBench(),
  },
  { name: 'api-vms-page', does: 'a page of GET /v1/vms among 10,000 VMs', run: pageBench },
  { name: 'why', does: 'why a group is as large as it is, now and then, among 1,000 VMs', run: whyBench },
  { name: 'seeds-pm-query', does: "the seeds' /pm/query: how many one core answers, and how old", run: seedsBench },
  { name: 'poll', does: 'polling 100 domains, and the memory of a daemon that does', run: () => pollBench() },
  { name: 'live', does: 'from load to a decision, from a decision to a VM', run: ({ rounds }) => liveBench(rounds) },
  {
    name: 'launch',
    does: 'a VM by fork, from standby, eight at once; from load to a VM that serves',
    run: launchBench,
  },
  { name: 'create-100', does: '100 linked clones on 3 hosts, against a shell loop over virsh', run: createBench },
  {
    name: 'isolation-20-hosts',
    does: 'one of 20 hosts hangs: what the others and the API notice',
    run: isolationBench,
  },
];

const USAGE = `npm run bench -- [--only A,B] [--rounds N] [--seconds N] [--creates N] [--out DIR]

  --only A,B   only these parts; bench.json keeps the other rows it has of this machine
  --rounds N   load steps and launches to measure (default 10)
  --seconds N  how long api-vms-page, why, seeds-pm-query and each state of isolation-20-hosts are measured (default: 40, 40, 40, 60)
  --creates N  VMs of create-100 (default 100)
  --out DIR    where bench.json goes (default: output-log)

parts:
${PARTS.map(({ name, does }) => `  ${name.padEnd(20)} ${does}`).join('\n')}
`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    seconds: { type: 'string' },
    creates: { type: 'string', default: '100' },
    only: { type: 'string' },
    out: { type: 'string', default: 'output-log' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (options.help) console.log(USAGE);
else await bench(partsNamed(options.only), resolve(options.out));

function partsNamed(only: string | undefined): readonly Part[] {
  if (only === undefined) return PARTS;
  const names = only.split(',');
  const unknown = names.find((name) => !PARTS.some((part) => part.name === name));
  if (unknown === undefined) return PARTS.filter(({ name }) => names.includes(name));
  console.error(`there is no part ${unknown}\n\n${USAGE}`);
  process.exit(2);
}

/** Exit status 1 when a part failed; the others are measured all the same. */
async function bench(parts: readonly Part[], out: string): Promise<void> {
  const machine = await describeMachine();
  console.log(
    `${machine.cores} cores of ${machine.cpu}, load ${machine.loadBefore.toFixed(1)} (above 0.5 something disturbs)`,
  );
  const signal = endOnSignal();
  const rows: Row[] = [];
  for (const part of parts) {
    if (signal.aborted) break;
    const startedMs = performance.now();
    const say = (line: string) =>
      console.log(`  [${((performance.now() - startedMs) / 1000).toFixed(0).padStart(4)} s] ${line}`);
    console.log(`${part.name}: ${part.does}`);
    const { rounds, creates, seconds } = options;
    try {
      const given = { rounds: countOf(rounds), creates: countOf(creates), say, signal };
      const measured = await part.run({ ...given, ...(seconds !== undefined && { seconds: countOf(seconds) }) });
      for (const row of measured) rows.push(told(row));
    } catch (error) {
      process.exitCode ??= 1;
      console.error(`${part.name} failed:`, signal.aborted ? 'ended by a signal' : error);
    }
  }
  await mkdir(out, { recursive: true });
  const file = join(out, 'bench.json');
  const kept = parts === PARTS ? [] : await rowsBefore(file, machine, rows);
  await writeFile(file, `${JSON.stringify({ machine, rows: [...kept, ...rows] }, null, 2)}\n`);
  console.log(`written to ${file}`);
}

function countOf(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new Error(`${text} is no count`);
}

/** The first SIGINT or SIGTERM ends what runs in order; the next one this process at once. */
function endOnSignal(): AbortSignal {
  const ended = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (ended.signal.aborted) process.exit(130);
      console.error('ending what runs; once more to leave it');
      process.exitCode = 130;
      ended.abort(new Error(name));
    });
  }
  return ended.signal;
}

/** Rows of other parts, when they are of this machine. */
async function rowsBefore(file: string, machine: Machine, rows: readonly Row[]): Promise<readonly Row[]> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const before = JSON.parse(text) as { readonly machine: Machine; readonly rows: readonly Row[] };
  const facts = ({ loadBefore: _, ...rest }: Machine) => JSON.stringify(rest);
  if (facts(before.machine) !== facts(machine)) return [];
  return before.rows.filter(({ name }) => !rows.some((row) => row.name === name));
}

function told(row: Row): Row {
  const ratio = row.ratio === null ? '' : `, ${row.ratio.toFixed(2)} of ${row.baseline} ${row.unit}`;
  const goal = row.met === null ? '' : `, goal ${row.goal}: ${row.met ? 'met' : 'NOT MET'}`;
  console.log(`${row.name.padEnd(24)} p50 ${row.p50} ${row.unit}, p99 ${row.p99} (n=${row.n})${ratio}${goal}`);
  return row;
}
