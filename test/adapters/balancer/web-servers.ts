// Small HTTP servers that stand for VMs behind a balancer: each answers with its name, and holds a request when told to.

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { BalancerServer } from '../../../src/ports/balancer.ts';

export interface WebServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Requests to `/hold` that wait. */
  readonly held: number;
  /** Answers those that wait. */
  release(): void;
  /** Ends at once, connections cut: a VM that was killed. */
  kill(): Promise<void>;
}

/** `delayMs`: how long an ordinary answer takes. */
export async function startWebServer(name: string, address: string, delayMs = 0): Promise<WebServer> {
  const waiting: (() => void)[] = [];
  const server: Server = createServer((request, response) => {
    const answer = () => response.end(name);
    if (request.url === '/hold') waiting.push(answer);
    else if (delayMs > 0) setTimeout(answer, delayMs);
    else answer();
  });
  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port to be had');
  return {
    name,
    address,
    port: bound.port,
    get held() {
      return waiting.length;
    },
    release() {
      for (const answer of waiting.splice(0)) answer();
    },
    async kill() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** As a balancer is told of it. */
export function asServer(server: WebServer, state: BalancerServer['state'] = 'ready'): BalancerServer {
  return { name: server.name, address: server.address, port: server.port, state };
}
