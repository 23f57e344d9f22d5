// Runs the command that makes a balancer read its file: no shell, bounded in time and in what is kept of its words.

import { spawn } from 'node:child_process';
import { Fault, type FaultKind } from '../../../ports/fault.ts';

/** The end of what it says is where the reason is. */
const WORDS_KEPT = 2_000;

/**
 * Resolves when it ended with status 0. Throws `Fault`: `refused` (it said no, or there is no such program), `timed-out`, `aborted`; in the
 * last two it was killed.
 */
export function runCommand(argv: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
  const [program, ...args] = argv;
  if (program === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const what = `\`${argv.join(' ')}\``;
    if (signal.aborted) {
      reject(new Fault('aborted', `${what}: cancelled`));
      return;
    }
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let words = '';
    const hear = (text: string): void => {
      words = (words + text).slice(-WORDS_KEPT);
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    const end = (): void => {
      clearTimeout(late);
      signal.removeEventListener('abort', onAbort);
      // Something that it left behind may hold the other end.
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const fail = (kind: FaultKind, text: string, more: { advice?: string; cause?: unknown } = {}): void => {
      child.kill('SIGKILL');
      end();
      const said = words.trim();
      reject(new Fault(kind, `${what} ${text}${said === '' ? '' : `: ${said}`}`, more));
    };
    const onAbort = (): void => fail('aborted', 'was cancelled');
    const late = setTimeout(() => fail('timed-out', `did not end within ${timeoutMs} ms`), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    child.on('error', (cause) => {
      fail('refused', `cannot be run (${cause.message})`, { advice: 'Correct `reload` of the balancer.', cause });
    });
    child.on('exit', (code, killedBy) => {
      if (code !== 0) {
        // Its last words may still be on their way.
        setImmediate(() => fail('refused', `ended with ${killedBy ?? `status ${code}`}`));
        return;
      }
      end();
      resolve();
    });
  });
}
