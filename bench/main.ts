// `npm run bench`: the figures of the README and the release notes, into output-log/bench.json.
// Not here: any measuring.

import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { decideBench } from './decide-bench.ts';
import { liveBench } from './live-bench.ts';
import { describeMachine } from './machine.ts';
import { pollBench } from './poll-bench.ts';
import type { Row } from './row.ts';

const USAGE = `npm run bench -- [--rounds N] [--only decide,poll,live] [--out DIR]

  --rounds N   load steps and launches to measure (default 10)
  --only A,B   only these parts
  --out DIR    where bench.json goes (default: output-log)
`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    only: { type: 'string', default: 'decide,poll,live' },
    out: { type: 'string', default: 'output-log' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (options.help) console.log(USAGE);
else await bench(Number(options.rounds), options.only.split(','), resolve(options.out));

async function bench(rounds: number, parts: readonly string[], out: string): Promise<void> {
  const machine = await describeMachine();
  console.log(
    `${machine.cores} cores of ${machine.cpu}, load ${machine.loadBefore.toFixed(1)} (above 0.5 something disturbs)`,
  );
  const rows: Row[] = [];
  if (parts.includes('decide')) rows.push(told(decideBench()));
  if (parts.includes('poll')) for (const row of await pollBench()) rows.push(told(row));
  if (parts.includes('live')) for (const row of await liveBench(rounds)) rows.push(told(row));
  await mkdir(out, { recursive: true });
  const file = join(out, 'bench.json');
  await writeFile(file, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
  console.log(`written to ${file}`);
}

function told(row: Row): Row {
  const ratio = row.ratio === null ? '' : `, ${row.ratio.toFixed(2)} of ${row.baseline} ${row.unit}`;
  const goal = row.met === null ? '' : `, goal ${row.goal}: ${row.met ? 'met' : 'NOT MET'}`;
  console.log(`${row.name.padEnd(24)} p50 ${row.p50} ${row.unit}, p99 ${row.p99} (n=${row.n})${ratio}${goal}`);
  return row;
}
