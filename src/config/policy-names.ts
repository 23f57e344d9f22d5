// What of the daemon's configuration its policies may name. Not here: images, which come and go while the daemon runs.

import { PLACEMENT_NAMES } from '../core/placement/registry.ts';
import type { DaemonConfig } from './daemon-config.ts';
import type { PolicyCatalog } from './policy-references.ts';

type Configured = Pick<DaemonConfig, 'hosts' | 'flavors' | 'placement' | 'balancers' | 'prometheus'>;
type Names = Required<Pick<PolicyCatalog, 'flavors' | 'placements' | 'hosts' | 'balancers' | 'prometheus'>>;

export function policyNamesOf({ hosts, flavors, placement, balancers, prometheus }: Configured): Names {
  const modules = (placement?.modules ?? []).map((module) => module.name);
  return {
    flavors,
    placements: [...PLACEMENT_NAMES, ...modules],
    hosts: hosts.map(({ name }) => name),
    balancers: balancers.map(({ name }) => name),
    prometheus: prometheus !== undefined,
  };
}
