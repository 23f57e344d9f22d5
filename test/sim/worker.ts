// A thread that simulates the seeds it is given, one after the other. Not here: which seeds, and what becomes of the results (crew).

import { parentPort } from 'node:worker_threads';
import type { FaultName } from './options.ts';
import { simulate } from './simulation.ts';

export interface Task {
  readonly seed: number;
  readonly without: readonly FaultName[];
}

const port = parentPort;
if (port === null) throw new Error('this is a thread of the simulation, not a program');
port.on('message', async ({ seed, without }: Task) => {
  const begun = performance.now();
  const result = await simulate(seed, { without });
  port.postMessage({ result, elapsedMs: performance.now() - begun });
});
