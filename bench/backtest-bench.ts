// backtest-two-weeks: `virtscale policy backtest` with all presets on two weeks of load in steps of 5 s, as a process of its own.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BenchOptions } from './options.ts';
import { type Row, rowOf } from './row.ts';

const SECONDS = 14 * 86_400;
const STEP_S = 5;
const ROUNDS = 5;
const ROOT = join(import.meta.dirname, '..');
const DEADLINE_MS = 120_000;

export async function backtestBench({ say, signal }: BenchOptions): Promise<readonly Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'virtscale-bench-'));
  try {
    const trace = join(folder, 'load.csv');
    await writeFile(trace, madeLoad());
    const values: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const startedMs = performance.now();
      const words = ['policy', 'backtest', join(ROOT, 'policies/target.yaml'), '--trace', trace, '--json'];
      await promisify(execFile)(process.execPath, [join(ROOT, 'src/cli.ts'), ...words], {
        cwd: folder,
        signal,
        timeout: DEADLINE_MS,
      });
      values.push(performance.now() - startedMs);
      say(`${values.at(-1)?.toFixed(0)} ms`);
    }
    const note = `the whole command: two weeks in steps of ${STEP_S} s, polled each second, policies/target.yaml and all presets`;
    return [rowOf({ name: 'backtest-two-weeks', unit: 'ms', values, goal: { of: 'p99', atMost: 5000 }, note })];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Days with a wave that is never quite the same. */
function madeLoad(): string {
  const lines = ['t,rps'];
  for (let t = 0; t < SECONDS; t += STEP_S) {
    const wave = 500 - 400 * Math.cos((2 * Math.PI * t) / 86_400);
    lines.push(`${t},${(wave * (1 + 0.1 * Math.sin(t / 37) * Math.sin(t / 11))).toFixed(2)}`);
  }
  return `${lines.join('\n')}\n`;
}
