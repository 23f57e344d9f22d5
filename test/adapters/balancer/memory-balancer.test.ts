// The balancer that other tests use keeps the contract of the real ones.

import { Fault } from '../../../src/ports/fault.ts';
import { balancerContract } from '../../contracts/balancer.ts';
import { MemoryBalancer } from '../../support/memory-balancer.ts';

balancerContract('memory', async () => {
  const balancer = new MemoryBalancer('front');
  const servers = new Map<string, string>();
  let ports = 1;
  const add = (name: string, answer: string) => {
    servers.set(`${name}:${ports}`, answer);
    return { name, address: '127.0.0.1', port: ports++, state: 'ready' as const };
  };
  return {
    balancer,
    countsSessions: true,
    settleMs: 0,
    server: async (name, state = 'ready') => ({ ...add(name, name), state }),
    moved: async (name) => add(name, `${name} moved`),
    routed: async () =>
      balancer.servers
        .filter(({ state }) => state === 'ready')
        .map(({ name, port }) => servers.get(`${name}:${port}`) ?? '')
        .sort(),
    hold: async () => {
      const [name = ''] = balancer.routed;
      balancer.sessions.set(name, 1);
      return {
        end: async () => {
          balancer.sessions.delete(name);
          return name;
        },
      };
    },
    changes: async () => JSON.stringify(balancer.servers.toSorted((a, b) => (a.name < b.name ? -1 : 1))),
    restart: async () => {
      balancer.fault = undefined;
      balancer.forget();
    },
    lose: async () => {
      balancer.fault = new Fault('unreachable', 'nobody is there');
    },
    end: async () => {},
  };
});
