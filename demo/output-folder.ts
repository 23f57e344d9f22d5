// The folder that the demo leaves its files in. Not here: what is in them.

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

export const OUTPUT_FILES = [
  'autoscaler.ndjson',
  'client.csv',
  'events.ndjson',
  'cpu.svg',
  'cpu.png',
  'response-time.svg',
  'response-time.png',
  'summary.json',
] as const;

/** Makes the folder, and removes what an earlier demo left in it (nothing else). */
export async function clearOutput(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await Promise.all(OUTPUT_FILES.map((name) => rm(join(folder, name), { force: true })));
}
