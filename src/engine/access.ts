// Tokens and cordons: who may come in, and which hosts take no new VMs. Not here: what a scope may do (edge).

import type { Token } from '../core/catalog.ts';
import type { HostName } from '../core/model.ts';
import { type FabricParts, type Refused, refuse } from './fabric-parts.ts';
import type { LedgerState } from './ledger.ts';
import type { Caller, CommandResult, Tokens } from './view.ts';

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,61}[A-Za-z0-9])?$/;
/** Of the operator's. */
const TOKENS_MAX = 1000;
/** Of each user, and of those the ones that came of signing in: a new one takes the place of the oldest. */
const USER_TOKENS_MAX = 100;
const SIGN_INS_MAX = 20;
const REASON_MAX = 500;

export class TokenList implements Tokens {
  readonly #parts: Pick<FabricParts, 'ledger' | 'clock'>;

  constructor(parts: Pick<FabricParts, 'ledger' | 'clock'>) {
    this.#parts = parts;
  }

  get all(): readonly Token[] {
    return [...this.#parts.ledger.state.tokens.values()];
  }

  find(sha256: string): Token | undefined {
    const found = this.#parts.ledger.token(sha256);
    if (found?.expiresAt !== undefined && found.expiresAt <= this.#parts.clock.wall()) return undefined;
    return found;
  }

  async add(wanted: Omit<Token, 'createdAt'>): Promise<CommandResult<Token>> {
    const { clock, ledger } = this.#parts;
    if (!NAME.test(wanted.name)) {
      const reason = 'a name has 1 to 63 letters a–z, digits, dots, hyphens, underscores and @';
      return refuse('invalid', reason, 'name');
    }
    const { name: given, user } = wanted;
    const name = user === undefined ? given : `${user}/${given}`;
    let result: CommandResult<Token> = refuse('conflict', `there is a token ${given} already`, 'name');
    await ledger.change((state) => {
      if (state.tokens.has(name)) return undefined;
      // Who has a user's name would be taken for him.
      if (user === undefined && state.users.has(name)) {
        result = refuse('conflict', `${name} is the name of a user, or was; choose another one`, 'name');
        return undefined;
      }
      const room = roomFor(state, wanted, clock.wall());
      if ('ok' in room) {
        result = room;
        return undefined;
      }
      const token: Token = { ...wanted, name, createdAt: clock.wall() };
      result = { ok: true, value: token };
      return { putTokens: [token], ...(room.names.length > 0 && { deleteTokens: room.names }) };
    });
    return result;
  }

  async remove(name: string): Promise<CommandResult<undefined>> {
    let result: CommandResult<undefined> = refuse('not-found', `there is no token ${name}`);
    await this.#parts.ledger.change(({ tokens }) => {
      if (!tokens.has(name)) return undefined;
      result = { ok: true, value: undefined };
      return { deleteTokens: [name] };
    });
    return result;
  }
}

/** Tokens that go to make room for another one, or a refusal where none may. */
function roomFor(
  { tokens, users }: Pick<LedgerState, 'tokens' | 'users'>,
  { user, signIn }: Pick<Token, 'user' | 'signIn'>,
  now: string,
): { readonly names: readonly string[] } | Refused {
  const his = [...tokens.values()].filter((token) => token.user === user);
  if (user === undefined) {
    if (his.length < TOKENS_MAX) return { names: [] };
    return refuse('too-many', `there are ${his.length} tokens; delete some first`);
  }
  const owner = users.get(user);
  if (owner === undefined || owner.deletedAt !== undefined || owner.disabled !== undefined) {
    return refuse('not-found', `there is no user ${user}`, 'user');
  }
  const over = his.filter(({ expiresAt }) => expiresAt !== undefined && expiresAt <= now);
  const left = his.filter((token) => !over.includes(token));
  const signIns = left.filter((token) => token.signIn).toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  if (signIn) over.push(...signIns.slice(0, Math.max(0, signIns.length - SIGN_INS_MAX + 1)));
  else if (left.length - signIns.length >= USER_TOKENS_MAX - SIGN_INS_MAX) {
    return refuse('too-many', `user ${user} has ${left.length} tokens; delete some first`);
  }
  return { names: over.map(({ name }) => name) };
}

/** A refusal, or undefined when it is done. */
export async function setCordon(
  { hosts, ledger }: Pick<FabricParts, 'hosts' | 'ledger'>,
  host: HostName,
  reason: string | null,
  { owner }: Caller,
): Promise<Extract<CommandResult<never>, { ok: false }> | undefined> {
  if (!hosts.has(host)) return refuse('not-found', `there is no host ${host}`);
  if (reason !== null && (reason.trim() === '' || reason.length > REASON_MAX)) {
    return refuse('invalid', `say why, in 1 to ${REASON_MAX} characters`, 'cordoned');
  }
  await ledger.change(({ cordons }) => {
    if ((cordons.get(host) ?? null) === reason) return undefined;
    return {
      putCordons: { [host]: reason },
      events: [
        reason === null
          ? { type: 'host.uncordoned', host, by: owner }
          : { type: 'host.cordoned', host, reason, by: owner },
      ],
    };
  });
  return undefined;
}
