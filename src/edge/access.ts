// Who may come in and how far: tokens by their hash, and what is allowed without one. The decision alone, for HTTP and WebSocket.
// Not here: which call needs what (scopes), where a request comes from in a browser (guards), keeping tokens (engine).

import { createHash, timingSafeEqual } from 'node:crypto';
import type { WithoutToken } from '../config/daemon-config.ts';
import { isLoopback, type ListenAddress } from '../config/listen.ts';
import type { Scope, Token } from '../core/catalog.ts';
import type { User } from '../core/user.ts';
import type { EngineView } from '../engine/view.ts';
import { ProblemError } from './problem.ts';

/** `owner` of what is done without a token; no token can have this name. */
export const ANONYMOUS = 'anonymous';

/** What a token of this scope may do. Posting is no reading: whoever gets hold of a guest's token learns nothing. */
const REACH: Readonly<Record<Scope, ReadonlySet<Scope>>> = {
  post: new Set(['post']),
  read: new Set(['read']),
  operate: new Set(['post', 'read', 'operate']),
  admin: new Set(['post', 'read', 'operate', 'admin']),
};

/** Who was let in. */
export interface Admitted {
  readonly owner: string;
  readonly scope: Scope;
  /** Absent: without one. */
  readonly token?: Token;
  /** The user the token belongs to. Absent: the operator's. */
  readonly user?: User;
}

/** What a request shows of itself. */
export interface Credentials {
  readonly authorization: string | undefined;
  /** The socket's other end, never a header's word; undefined: there is no socket. */
  readonly peer: string | undefined;
  /** It came through a proxy (which says so): then the peer is the proxy and says nothing about who asks. */
  readonly proxied: boolean;
}

export interface AccessOptions {
  readonly engine: Pick<EngineView, 'tokens' | 'users'>;
  /** Absent: `loopback` while there is neither a token of the operator's nor a user, `nobody` from then on. */
  readonly withoutToken?: WithoutToken | undefined;
  /** What requests without a socket count as. Absent: nobody. Only for tests. */
  readonly withoutSocket?: 'loopback';
}

export class Access {
  readonly #engine: AccessOptions['engine'];
  readonly #configured: WithoutToken | undefined;
  readonly #withoutSocket: 'loopback' | undefined;

  constructor({ engine, withoutToken, withoutSocket }: AccessOptions) {
    this.#engine = engine;
    this.#configured = withoutToken;
    this.#withoutSocket = withoutSocket;
  }

  /** The rule in force now. */
  get withoutToken(): WithoutToken {
    return this.#configured ?? (this.isClaimed ? 'nobody' : 'loopback');
  }

  /** There is a token of the operator's, or a user. */
  get isClaimed(): boolean {
    const { tokens, users } = this.#engine;
    return users.count > 0 || tokens.all.some(({ user }) => user === undefined);
  }

  /** True when the first token or user ends what is allowed without one. */
  get closesWithFirstToken(): boolean {
    return this.#configured === undefined;
  }

  /** Throws `ProblemError` (401) when it may not come in. A token that is shown is never overlooked, wherever it comes from. */
  admit({ authorization, peer, proxied }: Credentials): Admitted {
    if (authorization !== undefined) {
      const token = this.#tokenOf(authorization);
      if (token === undefined) throw unauthenticated('this token is not known, or has expired', 'invalid_token');
      return admittedBy(token, this.#userOf(token));
    }
    const rule = this.withoutToken;
    if (rule === 'anyone') return { owner: ANONYMOUS, scope: 'admin' };
    const near = peer === undefined ? this.#withoutSocket === 'loopback' : isLoopbackPeer(peer) && !proxied;
    if (rule === 'loopback' && near) return { owner: ANONYMOUS, scope: 'admin' };
    const why = rule === 'loopback' ? 'only programs on the same machine need none' : 'nobody is let in without one';
    throw unauthenticated(`a token is needed: Authorization: Bearer vs_…; ${why}`);
  }

  /** Whether a token that let somebody in before still does. */
  stillHolds({ token }: Admitted): boolean {
    if (token === undefined) return true;
    const kept = this.#engine.tokens.find(token.sha256);
    return kept !== undefined && (kept.user === undefined || this.#userOf(kept) !== undefined);
  }

  #tokenOf(authorization: string): Token | undefined {
    const text = /^Bearer +([\x21-\x7e]{1,512}) *$/i.exec(authorization)?.[1];
    if (text === undefined) return undefined;
    const shown = createHash('sha256').update(text).digest();
    const token = this.#engine.tokens.find(shown.toString('hex'));
    if (token === undefined) return undefined;
    const kept = Buffer.from(token.sha256, 'hex');
    if (kept.length !== shown.length || !timingSafeEqual(kept, shown)) return undefined;
    // It ends with its user, at once.
    return token.user === undefined || this.#userOf(token) !== undefined ? token : undefined;
  }

  /** Who may come in with it; undefined: the operator's, or a user who is not let in any more. */
  #userOf({ user }: Token): User | undefined {
    const known = user === undefined ? undefined : this.#engine.users.get(user);
    return known?.disabled === undefined ? known : undefined;
  }
}

/** A user's token reaches no further than his role, whatever it says: the role may have changed since. */
function admittedBy(token: Token, user: User | undefined): Admitted {
  if (user === undefined) return { owner: token.name, scope: token.scope, token };
  const scope = user.role === 'user' && token.scope === 'admin' ? 'operate' : token.scope;
  return { owner: user.name, scope, token, user };
}

/** Throws `ProblemError` (403) when `admitted` may not do what needs `scope`. */
export function requireScope(admitted: Admitted, scope: Scope, what = 'this'): void {
  if (REACH[admitted.scope].has(scope)) return;
  throw new ProblemError(
    'insufficient-scope',
    `${what} needs a token with the scope ${scope}; ${admitted.owner} has ${admitted.scope}`,
    { scope },
    { 'www-authenticate': `Bearer realm="virtscale", error="insufficient_scope", scope="${scope}"` },
  );
}

/** What protects an address, in one sentence for the log; `open` is what deserves a warning. */
export function protection(access: Access, address: ListenAddress): { readonly open: boolean; readonly text: string } {
  switch (access.withoutToken) {
    case 'anyone':
      return isLoopback(address)
        ? { open: false, text: 'every program on this machine may do everything: withoutToken is anyone' }
        : { open: true, text: `whoever reaches ${address.host} may do everything: withoutToken is anyone` };
    case 'loopback':
      return {
        open: false,
        text: `programs on this machine may do everything without a token${isLoopback(address) ? '' : ', others nothing'}`,
      };
    case 'nobody':
      return { open: false, text: 'every request needs a token' };
  }
}

/** An IPv4 address may come in IPv6 clothes. */
function isLoopbackPeer(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/i.test(address);
}

export function unauthenticated(detail: string, error?: string): ProblemError {
  const challenge = `Bearer realm="virtscale"${error === undefined ? '' : `, error="${error}"`}`;
  return new ProblemError('unauthenticated', detail, {}, { 'www-authenticate': challenge });
}
