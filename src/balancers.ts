// From the configuration's balancers to adapters. Not here: what they do, who is put into them (engine).

import { FileBalancer } from './adapters/balancer/file/file-balancer.ts';
import { HaproxyBalancer } from './adapters/balancer/haproxy/haproxy-balancer.ts';
import type { BalancerConfig } from './config/daemon-config.ts';
import type { Balancer } from './ports/balancer.ts';

/** By the names that policies write. */
export function balancersOf(config: { readonly balancers: readonly BalancerConfig[] }): ReadonlyMap<string, Balancer> {
  return new Map(config.balancers.map((balancer) => [balancer.name, adapterOf(balancer)]));
}

function adapterOf(config: BalancerConfig): Balancer {
  return config.kind === 'haproxy' ? new HaproxyBalancer(config) : new FileBalancer(config);
}
