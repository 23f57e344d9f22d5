// What the contract needs of a balancer with real servers behind a real front. Not here: the contract (test/contracts/balancer.ts).

import { vi } from 'vitest';
import type { Balancer } from '../../../src/ports/balancer.ts';
import type { BalancerUnderTest } from '../../contracts/balancer.ts';
import { askFront, type FrontAddress, whoAnswers } from './front.ts';
import { asServer, startWebServer, type WebServer } from './web-servers.ts';

interface RealBalancer {
  readonly front: FrontAddress;
  restart(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

type Traits = Pick<BalancerUnderTest, 'changes' | 'countsSessions' | 'settleMs'>;

export function underTest(balancer: Balancer, real: RealBalancer, traits: Traits): BalancerUnderTest {
  const servers: WebServer[] = [];
  const started = async (answer: string): Promise<WebServer> => {
    const server = await startWebServer(answer, `127.0.7.${servers.length + 1}`);
    servers.push(server);
    return server;
  };
  return {
    ...traits,
    balancer,
    server: async (name, state) => asServer(await started(name), state),
    moved: async (name) => ({ ...asServer(await started(`${name} moved`)), name }),
    // Where nobody serves, the balancer answers itself.
    routed: async () => (await whoAnswers(real.front)).filter((answer) => !answer.startsWith('status ')),
    hold: async () => {
      const answer = await heldRequest(real.front, servers);
      return {
        end: () => {
          for (const server of servers) server.release();
          return answer.text;
        },
      };
    },
    restart: () => real.restart(),
    lose: () => real.stop(),
    end: async () => {
      await real.remove();
      await Promise.all(servers.map((server) => server.kill()));
    },
  };
}

/** Right after a reload an old worker may take the request and know no server: then it is asked again. */
async function heldRequest(
  front: FrontAddress,
  servers: readonly WebServer[],
): Promise<{ readonly text: Promise<string> }> {
  for (let tries = 0; tries < 20; tries += 1) {
    const text = askFront(front, '/hold');
    const isHeld = vi.waitFor(() => {
      if (!servers.some(({ held }) => held > 0)) throw new Error('the request has not come yet');
    });
    if (await Promise.race([isHeld.then(() => true), text.then(() => false)])) return { text };
    await isHeld.catch(() => undefined);
  }
  throw new Error('nobody takes the request');
}
