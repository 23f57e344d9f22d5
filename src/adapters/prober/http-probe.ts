// One GET on a connection of its own, an answer or nothing within the time. Not here: TCP alone (tcp-probe).

import { type ClientRequest, get } from 'node:http';
import type { Endpoint } from '../../core/model.ts';
import { Fault } from '../../ports/fault.ts';

/** As `Prober.probe` says. */
export function probeHttp(
  { address, port }: Endpoint,
  path: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const request = send(address, port, path);
  if (request === undefined) return Promise.resolve(false);
  return new Promise<boolean>((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      // Late errors of a request nobody waits for.
      request.on('error', () => undefined);
      request.destroy();
    };
    const answer = (ready: boolean): void => {
      end();
      resolve(ready);
    };
    const onAbort = (): void => {
      end();
      reject(cancelled());
    };
    const timer = setTimeout(answer, timeoutMs, false);
    signal.addEventListener('abort', onAbort, { once: true });
    request.once('response', ({ statusCode = 0 }) => answer(statusCode >= 200 && statusCode <= 399));
    request.once('error', () => answer(false));
  });
}

/** Undefined for what HTTP cannot carry, such as a path with a line break: that never becomes ready. */
function send(host: string, port: number, path: string): ClientRequest | undefined {
  try {
    // A connection that was accepted before the guest listened answers late or never: none is used twice.
    const headers = { connection: 'close', 'user-agent': 'virtscale-probe' };
    return get({ host, port, path, agent: false, headers });
  } catch {
    return undefined;
  }
}

function cancelled(): Fault {
  return new Fault('aborted', 'the probe was cancelled');
}
