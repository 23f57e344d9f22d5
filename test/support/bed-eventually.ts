// Asks until there is an answer, for what real hosts do in their own time. Not here: waits that a clock could make.
import { setTimeout as sleep } from 'node:timers/promises';

/** Long enough for a VM to boot while somebody else has the other core. */
export const BOOT_LIMIT_MS = 40_000;
const LOOK_AGAIN_MS = 50;

/** Undefined and errors are asked again. @throws Error with the last error when `limitMs` has passed */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  limitMs: number = BOOT_LIMIT_MS,
): Promise<T> {
  let last: unknown = 'not yet';
  for (const deadline = performance.now() + limitMs; performance.now() < deadline; await sleep(LOOK_AGAIN_MS)) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`no ${what} within ${limitMs} ms: ${String(last)}`);
}
