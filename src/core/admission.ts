// Who has a way in of his own, and whether anybody is left who may do everything. Pure.
// Not here: letting somebody in (edge/access).

import type { Token } from './catalog.ts';
import type { UserRecord } from './user.ts';

export interface WaysIn {
  readonly tokens: Iterable<Token>;
  readonly users: Iterable<Pick<UserRecord, 'role' | 'disabled' | 'deletedAt'>>;
}

/** There is a token of the operator's, or a user: from then on nobody comes in without a token unless the configuration says so. */
export function isClaimed({ tokens, users }: WaysIn): boolean {
  for (const { user } of tokens) if (user === undefined) return true;
  for (const { deletedAt } of users) if (deletedAt === undefined) return true;
  return false;
}

/** Somebody can still make and delete tokens and users. `at`: now, RFC 3339. */
export function hasAdmin({ tokens, users }: WaysIn, at: string): boolean {
  for (const { user, scope, expiresAt } of tokens) {
    if (user === undefined && scope === 'admin' && (expiresAt === undefined || expiresAt > at)) return true;
  }
  for (const { role, disabled, deletedAt } of users) {
    if (role === 'admin' && disabled === undefined && deletedAt === undefined) return true;
  }
  return false;
}
