// HAProxy's runtime API as it lies on the wire: one line of commands per connection, and all that is said until it hangs up.
// Not here: what commands mean (runtime-answers, changes).

import { connect } from 'node:net';
import { Fault, type FaultKind } from '../../../ports/fault.ts';

/** A unix socket, or a TCP port. */
export type SocketAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** A thousand servers take about one. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

const NOT_THERE =
  'Check that HAProxy runs, and that its configuration says `stats socket PATH level admin` in the section `global`.';
const NO_RIGHT =
  "Let virtscale's user write to HAProxy's socket: `stats socket PATH mode 660 level admin group GROUP`, and that user in GROUP.";

/**
 * A connection of its own for each line: after a restart or reload the next one reaches the new process, and nothing is left of an answer that
 * came too late. Resolves with the whole answer, which may be empty.
 *
 * Throws `Fault`: `unreachable`, `timed-out` (it may still happen), `refused` (no right to the socket, an endless answer), `aborted`.
 */
export function askHaproxy(
  address: SocketAddress,
  line: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const where = 'path' in address ? address.path : `${address.host}:${address.port}`;
    const fail = (kind: FaultKind, what: string, more: { advice?: string; cause?: unknown } = {}): void => {
      end();
      reject(new Fault(kind, `HAProxy at ${where}: ${what}`, more));
    };
    if (signal.aborted) {
      reject(new Fault('aborted', `HAProxy at ${where}: cancelled`));
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    const socket = connect(address);
    const onAbort = (): void => fail('aborted', 'cancelled');
    const late = setTimeout(() => fail('timed-out', `no answer within ${timeoutMs} ms`), timeoutMs);
    const end = (): void => {
      clearTimeout(late);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    // Not half-closed: HAProxy may then leave the later commands of the line undone.
    socket.on('connect', () => socket.write(`${line}\n`));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) fail('refused', `its answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES' || error.code === 'EPERM')
        fail('refused', error.message, { advice: NO_RIGHT, cause: error });
      else fail('unreachable', error.message, { advice: NOT_THERE, cause: error });
    });
    socket.on('end', () => {
      end();
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
  });
}
