// `npm run sim -- --seed N --runs M`: runs of the simulation for people. Exit status 1 when something was violated, with the seed
// that shows it again; 2 when the arguments make no sense. Not here: the runs that the tests make (sim.test.ts).

import { parseArgs } from 'node:util';
import { type Simulated, simulateAll } from './crew.ts';
import { FAULTS, type FaultName } from './options.ts';
import { type SimResult, simulate } from './simulation.ts';

/** More runs than these are told by their number. */
const EACH_TOLD_MAX = 100;
const PROGRESS_EVERY = 200;
const VIOLATED_TOLD_MAX = 10;

const USAGE = 'usage: npm run sim -- [--seed N] [--runs M] [--trace] [--without FAULT,FAULT]';

function wholeNumber(text: string, from: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= from) return value;
  console.error(`${text} is no whole number from ${from} on\n${USAGE}`);
  process.exit(2);
}

interface Args {
  readonly seed: number;
  readonly runs: number;
  readonly trace: boolean;
  readonly without: readonly FaultName[];
}

function args(): Args {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string' },
        runs: { type: 'string' },
        trace: { type: 'boolean', default: false },
        without: { type: 'string', default: '' },
      },
    });
    return {
      seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : wholeNumber(values.seed, 0),
      runs: values.runs === undefined ? 1 : wholeNumber(values.runs, 1),
      trace: values.trace,
      without: FAULTS.filter((fault) => values.without.split(',').includes(fault)),
    };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

function report(result: SimResult, elapsedMs: number): void {
  const { seed, options, counts, violations, convergedMs } = result;
  const groups = options.policies.map(({ group, min, max }) => `${group} ${min}..${max}`).join(', ');
  const events = [...counts].reduce((sum, [what, count]) => (what.startsWith('event ') ? sum + count : sum), 0);
  const faults = [...counts].reduce((sum, [what, count]) => (what.startsWith('fault ') ? sum + count : sum), 0);
  const verdict = violations.length > 0 ? 'VIOLATED' : `converged in ${((convergedMs ?? 0) / 1000).toFixed(0)} s`;
  console.log(
    `seed ${seed}: ${options.hosts.length} hosts, ${groups}; ${faults} faults, ${events} events, ${verdict}` +
      ` (${elapsedMs.toFixed(0)} ms, fingerprint ${result.fingerprint})`,
  );
}

function reportViolations(result: SimResult): void {
  console.log(`\nviolations of seed ${result.seed}:`);
  for (const violation of result.violations) console.log(`  - ${violation}`);
  console.log('\nwhat led to the first:');
  for (const line of result.excerpt) console.log(`  ${line}`);
  console.log(`\nagain: npm run sim -- --seed ${result.seed} --trace\n`);
}

function reportCoverage(totals: ReadonlyMap<string, number>): void {
  console.log('\nwhat really happened, all runs together:');
  for (const [what, count] of [...totals].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`  ${String(count).padStart(8)}  ${what}`);
  }
}

const { seed, runs, trace, without } = args();
console.log(`seed ${seed}, runs ${runs}`);
const totals = new Map<string, number>();
const failed: number[] = [];
let done = 0;
const begunMs = performance.now();
const told = ({ result, elapsedMs }: Simulated): void => {
  done += 1;
  const isBad = result.violations.length > 0;
  if (runs <= EACH_TOLD_MAX || isBad) report(result, elapsedMs);
  else if (done % PROGRESS_EVERY === 0)
    console.log(
      `${done} of ${runs} runs, ${failed.length} violated, ${Math.round((performance.now() - begunMs) / 1000)} s`,
    );
  for (const [what, count] of result.counts) totals.set(what, (totals.get(what) ?? 0) + count);
  if (!isBad) return;
  failed.push(result.seed);
  if (failed.length <= VIOLATED_TOLD_MAX) reportViolations(result);
};
if (trace) {
  for (let run = 0; run < runs; run += 1) {
    const result = await simulate(seed + run, { without, onLine: (line) => console.log(line) });
    told({ result, elapsedMs: 0 });
  }
} else await simulateAll({ seed, runs, without }, told);
reportCoverage(totals);
const violated = failed.toSorted((a, b) => a - b).join(', ');
console.log(
  failed.length === 0 ? `\nall ${runs} runs held` : `\n${failed.length} of ${runs} runs violated: ${violated}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
