/**
 * Connects to a daemon's unix socket. Without SCM_RIGHTS: Node cannot pass file descriptors over it.
 */
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { type ConnectTransportOptions, connectTransport, type Transport } from './transport.ts';

/**
 * Connects to the first of `paths` that exists, else to the last (whose error then tells what is missing).
 * @throws ConnectionError of kind refused, unreachable or timed-out.
 */
export const connectUnix = (
  paths: readonly [string, ...string[]],
  options: ConnectTransportOptions,
): Promise<Transport> => {
  const path = paths.find((candidate) => existsSync(candidate)) ?? paths.at(-1) ?? paths[0];
  return connectTransport(connect({ path }), path, options);
};
