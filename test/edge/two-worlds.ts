// The same daemon twice: once as alice, a user, shares it with others, once as if she were the only one. Whatever she asks, both must
// answer alike. Not here: what she asks (isolation).

import { type EdgeApp, edgeApp } from './edge-app.ts';
import { clock } from './fake-engine.ts';
import { person, tokenOf } from './people.ts';
import { aDecision, aGroup, aHost, aLoneVm, anImage, BACKEND, NOW_MS, uuidOf } from './pictures.ts';
import { tokenFor } from './tokens.ts';

export const ALICE = tokenOf('alice');
export const BOB = tokenOf('bob');
export const BOSS = tokenFor('boss', 'admin');

/** What is another's, by the parameter that names it and where it stands. */
export const OTHERS = {
  vm: '20',
  image: 'bobs-image',
  operation: 'op-2',
  token: 'bob/t',
  user: 'bob',
  group: 'web',
  decision: 'd-1',
  cluster: 'bobs-cluster',
} as const;

export const BOBS_KEY = 'the-key-of-bob';
const JSON_TYPE = { 'content-type': 'application/json' };

/** Alice has VM 21, image `mine`, operation op-1. */
export async function aWorld(kind: 'shared' | 'alone'): Promise<EdgeApp> {
  const isShared = kind === 'shared';
  const bobsVm = aLoneVm({ id: 20, name: 'bobs-vm', owner: 'bob', uuid: uuidOf(20) });
  const his = { name: OTHERS.image, owner: 'bob', configured: false, image: { ...BACKEND, name: OTHERS.image } };
  const edge = edgeApp({
    hosts: [
      aHost(isShared ? {} : { domains: 1, running: 1, runningVcpus: 1, pollMs: 5 }),
      aHost({ name: 'far', id: 2 }),
    ],
    groups: isShared ? [aGroup()] : [],
    vms: [aLoneVm({ id: 21, name: 'alices-vm', owner: 'alice', uuid: uuidOf(21) }), ...(isShared ? [bobsVm] : [])],
    images: [
      anImage(),
      anImage({
        id: 3,
        name: 'mine',
        owner: 'alice',
        configured: false,
        source: { kind: 'upload' },
        image: { ...BACKEND, name: 'mine' },
      }),
      ...(isShared ? [anImage({ id: 2, ...his })] : []),
    ],
    users: [person('alice', { quota: { vms: 10 } }), ...(isShared ? [person('bob')] : [])],
    tokens: [BOSS.token, ALICE.token, ...(isShared ? [BOB.token] : [])],
    decisions: isShared ? [{ ...aDecision(), id: OTHERS.decision, at: clock.wallOf(NOW_MS) }] : [],
  });
  edge.engine.work.pace = 'manual';
  await asked(edge, ALICE.headers, 'alices-job');
  if (isShared) {
    await asked(edge, { ...BOB.headers, 'idempotency-key': BOBS_KEY }, 'bobs-job');
    edge.engine.log.append({ type: 'host.up', host: 'local' });
    await edge.app.request('/v1/clusters', {
      method: 'POST',
      headers: { ...BOB.headers, ...JSON_TYPE },
      body: JSON.stringify({ name: OTHERS.cluster, nodes: 1, flavor: 'small', image: 'backend' }),
    });
  }
  edge.engine.commands.length = 0;
  return edge;
}

async function asked({ app }: EdgeApp, headers: Readonly<Record<string, string>>, name: string): Promise<void> {
  const body = JSON.stringify({ name, flavor: 'small', image: 'backend' });
  const answer = await app.request('/v1/vms', { method: 'POST', headers: { ...headers, ...JSON_TYPE }, body });
  if (answer.status !== 202) throw new Error(await answer.text());
}
