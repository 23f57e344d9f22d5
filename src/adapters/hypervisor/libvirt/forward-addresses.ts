// Picks the loopback address that a VM's port is forwarded from: the smallest that no domain has and that can be bound now.
// Not here: what the other domains have (domain-catalog), making the choice last (the domain's metadata).

import { createServer } from 'node:net';
import type { Endpoint } from '../../../core/model.ts';
import { Fault } from '../../../ports/fault.ts';

const LAST = 254;

/** Whether this machine would let a program listen there right now. */
export type CanBind = (endpoint: Endpoint) => Promise<boolean>;

/** @throws Fault `refused` when none of the 254 is free. */
export async function freeAddress(
  prefix: string,
  port: number,
  taken: ReadonlySet<string>,
  canBind: CanBind,
): Promise<Endpoint> {
  for (let n = 1; n <= LAST; n += 1) {
    const endpoint = { address: `${prefix}.${n}`, port };
    if (!taken.has(endpoint.address) && (await canBind(endpoint))) return endpoint;
  }
  throw new Fault('refused', `no address left from ${prefix}.1 to ${prefix}.${LAST} for port ${port}`, {
    advice: 'Remove VMs, or give this host a prefix of its own (127.0.2, 127.0.3, …).',
  });
}

/** Tried, not looked up: whoever listens there, a container or another virtscale, the answer is right for this moment. */
export const canBind: CanBind = ({ address, port }) =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
