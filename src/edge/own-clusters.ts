// Clusters as one user may see them: his own. Names are each owner's, so another's never stands in his way.

import type { NodeTemplate } from '../core/cluster.ts';
import type { ClusterCommands } from '../engine/cluster-view.ts';
import { type Refused, refuse } from '../engine/fabric-parts.ts';
import { shownResult } from './own-operations.ts';

/** `unseen`: the refusal of nodes that are made from, or placed beside, what he does not see. */
export function ownClusters(
  clusters: ClusterCommands,
  self: string,
  unseen: (node: NodeTemplate) => Refused | undefined,
): ClusterCommands {
  const none = (name: string) => refuse('not-found', `there is no cluster ${name}`);
  return {
    all: (owner = self) => (owner === self ? clusters.all(self) : []),
    one: (name, owner) => (owner === self ? clusters.one(name, self) : undefined),
    create: async (request, caller) => unseen(request.node) ?? shownResult(await clusters.create(request, caller)),
    add: async (name, owner, nodes, caller) =>
      owner === self ? shownResult(await clusters.add(name, owner, nodes, caller)) : none(name),
    remove: async (name, owner, nodes, caller, graceMs) =>
      owner === self ? shownResult(await clusters.remove(name, owner, nodes, caller, graceMs)) : none(name),
    delete: async (name, owner, caller, graceMs) =>
      owner === self ? shownResult(await clusters.delete(name, owner, caller, graceMs)) : none(name),
    run: async (name, owner, ...program) => (owner === self ? clusters.run(name, owner, ...program) : none(name)),
    put: async (name, owner, ...file) => (owner === self ? clusters.put(name, owner, ...file) : none(name)),
  };
}
