// Has the installed program decide again what the daemon recorded, as its users can. Not here: replaying (core/replay).

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { CLI } from './daemon-process.ts';

const REPLAY_LIMIT_MS = 30_000;

export interface Replayed {
  /** Every decision came out the same, byte for byte. */
  readonly same: boolean;
  /** The last line of what it said. */
  readonly text: string;
}

/** Never rejects: a replay that could not be made is one that is not the same. */
export function replayed(stateDir: string): Promise<Replayed> {
  const args = [CLI, 'replay', join(stateDir, 'recording')];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: REPLAY_LIMIT_MS }, (error, stdout, stderr) => {
      const said = (stdout.trim() || stderr.trim()).split('\n').at(-1) ?? '';
      resolve({ same: error === null, text: said || (error?.message ?? '') });
    });
  });
}
