// Shows the steps of the story while they happen: a live list on a terminal, plain lines elsewhere.
// Not here: what the steps do (story).

import { Listr } from 'listr2';

export interface Step {
  readonly title: string;
  /** `say` shows what is going on right now. The returned text is what there was to see. */
  readonly run: (say: (line: string) => void) => Promise<string>;
}

/** Without a terminal a line about a running step comes at most this often. */
const PLAIN_LINE_MS = 5000;

/** Runs the steps one after the other; rejects with the error of the first that fails. */
export async function runSteps(steps: readonly Step[], terminal: boolean): Promise<void> {
  if (terminal) await runAsList(steps);
  else await runAsLines(steps);
}

async function runAsList(steps: readonly Step[]): Promise<void> {
  const tasks = steps.map((step) => ({
    title: step.title,
    task: async (_: unknown, task: { title: string; output: string }) => {
      const startedMs = performance.now();
      const result = await step.run((line) => {
        task.output = line;
      });
      task.title = `${step.title}: ${result} (${seconds(performance.now() - startedMs)})`;
    },
  }));
  // Ctrl-C is handled by main, which has processes to stop.
  await new Listr(tasks, { registerSignalListeners: false, rendererOptions: { removeEmptyLines: false } }).run();
}

async function runAsLines(steps: readonly Step[]): Promise<void> {
  const zeroMs = performance.now();
  const print = (line: string) => console.log(`[${seconds(performance.now() - zeroMs).padStart(7)}] ${line}`);
  for (const step of steps) {
    print(step.title);
    let shownAtMs = performance.now();
    const result = await step.run((line) => {
      if (performance.now() - shownAtMs < PLAIN_LINE_MS) return;
      shownAtMs = performance.now();
      print(`  ${line}`);
    });
    print(`  ${result}`);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
