// Which cluster a path means: names are one owner's. Not here: what is done with it.

import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ClusterCommands, ClusterStatus } from '../../engine/cluster-view.ts';
import { callerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { nameSchema } from '../query-values.ts';

export const whose = z.strictObject({
  owner: nameSchema.optional().openapi({ description: 'Whose cluster. Absent: your own, else the only one so called' }),
});

/** Throws `ProblemError` when there is none, or when several owners have one and nobody says whose. */
export function clusterMeant(
  clusters: Pick<ClusterCommands, 'all' | 'one'>,
): (c: Context, name: string, owner: string | undefined) => ClusterStatus {
  return (c, name, owner) => {
    const own = clusters.one(name, owner ?? callerOf(c).owner);
    if (own !== undefined) return own;
    const others = owner === undefined ? clusters.all().filter(({ cluster }) => cluster.name === name) : [];
    const [only, another] = others;
    if (only === undefined) throw new ProblemError('not-found', `there is no cluster ${JSON.stringify(name)}`);
    if (another === undefined) return only;
    const owners = others.map(({ cluster }) => cluster.owner).join(', ');
    throw new ProblemError('conflict', `several owners have a cluster ${name}: say whose, ?owner= one of ${owners}`);
  };
}
