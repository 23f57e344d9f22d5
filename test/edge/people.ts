// Users for tests: with passwords whose hashes cost next to nothing, and tokens of theirs. Not here: an engine that has them (fake-users).

import { randomBytes, scryptSync } from 'node:crypto';
import type { Scope, Token } from '../../src/core/catalog.ts';
import type { UserRecord } from '../../src/core/user.ts';
import { Passwords } from '../../src/edge/passwords.ts';
import { aUser } from './fake-users.ts';
import { tokenFor } from './tokens.ts';

const CHEAP = { logN: 4, r: 1, p: 1 };

export function cheapPasswords(): Passwords {
  return new Passwords(CHEAP);
}

export function passwordOf(name: string): string {
  return `the password of ${name}`;
}

/** A user who has {@link passwordOf} him. */
export function person(name: string, more: Partial<UserRecord> = {}): UserRecord {
  const salt = randomBytes(16);
  const hash = scryptSync(passwordOf(name), salt, 32, { N: 2 ** CHEAP.logN, r: CHEAP.r, p: CHEAP.p });
  const parts = ['scrypt', '4,1,1', salt.toString('base64url'), hash.toString('base64url')];
  return aUser(name, { password: parts.join('$'), ...more });
}

export function tokenOf(
  user: string,
  scope: Scope = 'operate',
  more: Partial<Token> = {},
): { readonly text: string; readonly token: Token; readonly headers: Readonly<Record<string, string>> } {
  const { text, token } = tokenFor(`${user}/t`, scope, { user, ...more });
  return { text, token, headers: { authorization: `Bearer ${text}` } };
}
