// Tokens and users as one user may see them: his own. Not here: what he sees beside these (own-view).

import type { Token } from '../core/catalog.ts';
import { refuse } from '../engine/fabric-parts.ts';
import type { Users } from '../engine/user-view.ts';
import type { Tokens } from '../engine/view.ts';

/** His tokens by the names he gave them; the daemon keeps them as `USER/NAME`. */
export function ownTokens(tokens: Tokens, owner: string): Tokens {
  const isHis = ({ user }: Token): boolean => user === owner;
  const named = (token: Token): Token => ({ ...token, name: token.name.slice(owner.length + 1) });
  return {
    get all() {
      return tokens.all.filter(isHis).map(named);
    },
    find: (sha256) => {
      const found = tokens.find(sha256);
      return found && isHis(found) ? named(found) : undefined;
    },
    add: async (wanted) => {
      const made = await tokens.add({ ...wanted, user: owner });
      return made.ok ? { ok: true, value: named(made.value) } : made;
    },
    remove: async (name) => {
      const removed = await tokens.remove(`${owner}/${name}`);
      return removed.ok || removed.refused !== 'not-found' ? removed : refuse('not-found', `there is no token ${name}`);
    },
  };
}

/** Himself. */
export function ownUsers(users: Users, owner: string): Users {
  const noUser = (name: string) => refuse('not-found', `there is no user ${name}`);
  return {
    signUp: users.signUp,
    count: users.get(owner) === undefined ? 0 : 1,
    get all() {
      const self = users.find(owner);
      return self === undefined ? [] : [self];
    },
    get: (name) => (name === owner ? users.get(name) : undefined),
    find: (name) => (name === owner ? users.find(name) : undefined),
    passwordOf: (name) => (name === owner ? users.passwordOf(name) : undefined),
    add: async ({ name }) => refuse('conflict', `user ${name} cannot be made: only an admin makes users`),
    change: async (name, change, options) => (name === owner ? users.change(name, change, options) : noUser(name)),
    rehash: async (name, from, to) => (name === owner ? users.rehash(name, from, to) : undefined),
    remove: async (name, options) => (name === owner ? users.remove(name, options) : noUser(name)),
  };
}
