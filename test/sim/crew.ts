// Many seeds on all cores: threads that take the next seed when they are through with one. Not here: a run (simulation), telling (main).

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { FaultName } from './options.ts';
import type { SimResult } from './simulation.ts';
import type { Task } from './worker.ts';

export interface Simulated {
  readonly result: SimResult;
  readonly elapsedMs: number;
}

/** Runs `runs` seeds from `seed` on and tells each result as it comes, in no particular order. Rejects when a thread dies. */
export async function simulateAll(
  { seed, runs, without }: { readonly seed: number; readonly runs: number; readonly without: readonly FaultName[] },
  onResult: (simulated: Simulated) => void,
): Promise<void> {
  let next = seed;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url));
    try {
      while (next < seed + runs) {
        const task: Task = { seed: next, without };
        next += 1;
        onResult(await answerOf(worker, task));
      }
    } finally {
      await worker.terminate();
    }
  };
  // One more than there are cores: a run waits for its thread's event loop, an eighth of the time.
  await Promise.all(Array.from({ length: Math.min(runs, availableParallelism() + 1) }, work));
}

function answerOf(worker: Worker, task: Task): Promise<Simulated> {
  const { promise, resolve, reject } = Promise.withResolvers<Simulated>();
  const failed = (error: unknown) => reject(new Error(`seed ${task.seed}: its thread died`, { cause: error }));
  worker.once('message', resolve);
  worker.once('error', failed);
  worker.postMessage(task);
  return promise.finally(() => worker.off('error', failed));
}
