// What people do with their accounts: becoming a user, signing in, proving a password. The only place beside `Access` that asks the whole
// engine, as these calls come before anybody is let in. Not here: HTTP (routes), hashing (passwords), how often (throttles).

import { createHash, randomBytes } from 'node:crypto';
import type { Scope, Token } from '../core/catalog.ts';
import type { User } from '../core/user.ts';
import type { UserStatus } from '../engine/user-view.ts';
import type { EngineView } from '../engine/view.ts';
import { type Access, unauthenticated } from './access.ts';
import type { Passwords } from './passwords.ts';
import { ProblemError } from './problem.ts';
import { accepted } from './refusals.ts';
import { SignInThrottle } from './sign-in-throttle.ts';
import { Throttle } from './throttle.ts';

const TOKEN_BYTES = 32;
const TOKEN_PREFIX = 'vs_';
/** Five at once, then one in a minute, from one peer. */
const SIGN_UPS = { burst: 5, refillMs: 60_000 };

/** Text for whoever is let in with it, and what is kept of it. */
export function freshToken(): { readonly text: string; readonly sha256: string } {
  const text = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url');
  return { text, sha256: createHash('sha256').update(text).digest('hex') };
}

/** How far a user's token can reach. */
export function scopeOf({ role }: Pick<User, 'role'>): Scope {
  return role === 'admin' ? 'admin' : 'operate';
}

export interface SignedIn {
  readonly text: string;
  readonly token: Token;
  readonly user: User;
}

export interface AccountsOptions {
  readonly engine: Pick<EngineView, 'users' | 'tokens'>;
  readonly access: Access;
  readonly passwords: Passwords;
  /** Ms of a clock that only goes forward; absent: the process's. */
  readonly nowMs?: () => number;
}

export class Accounts {
  readonly passwords: Passwords;
  readonly #engine: AccountsOptions['engine'];
  readonly #access: Access;
  readonly #nowMs: () => number;
  readonly #signIns = new SignInThrottle();
  readonly #signUps = new Throttle(SIGN_UPS);

  constructor({ engine, access, passwords, nowMs = () => performance.now() }: AccountsOptions) {
    this.#engine = engine;
    this.#access = access;
    this.passwords = passwords;
    this.#nowMs = nowMs;
  }

  /** Refusing what would leave nobody who may do everything, where nothing else lets such a one in. */
  get keepAdmin(): boolean {
    return this.#access.closesWithFirstToken;
  }

  /** Whether that is a user. Tells nobody: what is not a user's name may be a password in the wrong field. */
  isUser(name: string): boolean {
    return this.#engine.users.get(name) !== undefined;
  }

  /** Throws `ProblemError`: 401, 429. */
  async signIn(name: string, password: string, peer: string | undefined, expiresInMs: number): Promise<SignedIn> {
    const attempt = { name, peer };
    this.#heed(this.#signIns.tryMs(attempt, this.#nowMs()), 'signing in was tried too often');
    await this.#proven(name, password);
    this.#signIns.succeeded(attempt, this.#nowMs());
    const user = this.#engine.users.get(name);
    if (user === undefined) throw wrong();
    const { text, sha256 } = freshToken();
    const token = await this.#engine.tokens.add({
      name: `sign-in-${randomBytes(9).toString('hex')}`,
      scope: scopeOf(user),
      sha256,
      expiresAt: new Date(Date.now() + expiresInMs).toISOString(),
      user: name,
      signIn: true,
    });
    return { text, token: accepted(token), user };
  }

  /** A password that somebody shows who is let in already, with the same limits. Throws `ProblemError`: 401, 429. */
  async prove(name: string, password: string, peer: string | undefined): Promise<void> {
    const attempt = { name, peer };
    this.#heed(this.#signIns.tryMs(attempt, this.#nowMs()), 'the password was tried too often');
    await this.#proven(name, password);
    this.#signIns.succeeded(attempt, this.#nowMs());
  }

  /** Whoever makes himself a user. Throws `ProblemError`: 429, and what the engine refuses. */
  async signUp(name: string, password: string, peer: string | undefined): Promise<UserStatus> {
    const key = peer ?? '';
    this.#heed(this.#signUps.waitMs(key, this.#nowMs()), 'too many users were made from there');
    this.#signUps.take(key, this.#nowMs());
    const hash = await this.passwords.hash(password);
    return accepted(
      await this.#engine.users.add({ name, role: 'user', password: hash }, { keepAdmin: this.keepAdmin }),
    );
  }

  get isSignUpOpen(): boolean {
    return this.#engine.users.signUp;
  }

  async #proven(name: string, password: string): Promise<void> {
    const { users } = this.#engine;
    const kept = users.passwordOf(name);
    const isRight = await this.passwords.verify(password, kept);
    if (!isRight || kept === undefined || users.get(name)?.disabled !== undefined) throw wrong();
    if (this.passwords.isOutdated(kept)) await users.rehash(name, kept, await this.passwords.hash(password));
  }

  #heed(waitMs: number, what: string): void {
    if (waitMs <= 0) return;
    const seconds = Math.ceil(waitMs / 1000);
    throw new ProblemError('too-many', `${what}: wait ${seconds} s`, {}, { 'retry-after': String(seconds) });
  }
}

function wrong(): ProblemError {
  return unauthenticated('the name or the password is wrong, or the user is disabled');
}
