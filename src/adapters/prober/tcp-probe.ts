// One TCP connection that is accepted and kept for a moment. Not here: HTTP (http-prober).

import { connect } from 'node:net';
import type { Endpoint } from '../../core/model.ts';
import { Fault } from '../../ports/fault.ts';

/** A forwarder with nobody behind it accepts, and hangs up at once. */
const KEPT_MS = 50;

/** As `Prober.probe` says. What the guest sends first (a banner) is read and not looked at. */
export function probeTcp(endpoint: Endpoint, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const { address: host, port } = endpoint;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return Promise.resolve(false);
  return new Promise<boolean>((resolve, reject) => {
    const socket = connect({ host, port });
    let kept: NodeJS.Timeout | undefined;
    const end = (): void => {
      clearTimeout(timer);
      clearTimeout(kept);
      signal.removeEventListener('abort', onAbort);
      socket.on('error', () => undefined);
      socket.destroy();
    };
    const answer = (ready: boolean): void => {
      end();
      resolve(ready);
    };
    const onAbort = (): void => {
      end();
      reject(new Fault('aborted', 'the probe was cancelled'));
    };
    const timer = setTimeout(answer, timeoutMs, false);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      kept = setTimeout(answer, KEPT_MS, true);
      // Without reading, its end would not be noticed.
      socket.resume();
    });
    socket.once('end', () => answer(false));
    socket.once('close', () => answer(false));
    socket.once('error', () => answer(false));
  });
}
