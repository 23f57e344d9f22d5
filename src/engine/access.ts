// Tokens and cordons: who may come in, and which hosts take no new VMs. Not here: what a scope may do (edge).

import type { Token } from '../core/catalog.ts';
import type { HostName } from '../core/model.ts';
import { type FabricParts, refuse } from './fabric-parts.ts';
import type { Caller, CommandResult, Tokens } from './view.ts';

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,61}[A-Za-z0-9])?$/;
const TOKENS_MAX = 1000;
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
    const found = this.#parts.ledger.state.tokens.values().find((token) => token.sha256 === sha256);
    if (found?.expiresAt !== undefined && found.expiresAt <= this.#parts.clock.wall()) return undefined;
    return found;
  }

  async add(wanted: Omit<Token, 'createdAt'>): Promise<CommandResult<Token>> {
    const { clock, ledger } = this.#parts;
    if (!NAME.test(wanted.name)) {
      const reason = 'a name has 1 to 63 letters a–z, digits, dots, hyphens, underscores and @';
      return refuse('invalid', reason, 'name');
    }
    let result: CommandResult<Token> = refuse('conflict', `there is a token ${wanted.name} already`, 'name');
    await ledger.change(({ tokens }) => {
      if (tokens.has(wanted.name)) return undefined;
      if (tokens.size >= TOKENS_MAX) {
        result = refuse('too-many', `there are ${tokens.size} tokens; delete some first`);
        return undefined;
      }
      const token: Token = { ...wanted, createdAt: clock.wall() };
      result = { ok: true, value: token };
      return { putTokens: [token] };
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
