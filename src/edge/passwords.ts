// Passwords to hashes and back to yes or no: scrypt off the event loop, a few at a time. A hash carries the parameters it was made with.
// Not here: who has which (engine/users), how often one may try (throttle).

import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { ProblemError } from './problem.ts';

/** Memory is 128·2^logN·r bytes; time grows with p. */
export interface PasswordCost {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

/** As OWASP's cheat sheet on password storage has it for scrypt with 32 MiB. */
const COST: PasswordCost = { logN: 15, r: 8, p: 3 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Each takes a thread of libuv's four and 32 MiB. */
const AT_ONCE = 2;
const WAITING_MAX = 32;
/** What a hash may ask for: somebody who can write the database must not make the daemon take all memory. */
const LOG_N_MAX = 20;
const FORM = /^scrypt\$(\d{1,2}),(\d{1,2}),(\d{1,2})\$([\w-]{22})\$([\w-]{43})$/;

export class Passwords {
  readonly #cost: PasswordCost;
  readonly #nobody: string;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(cost: PasswordCost = COST) {
    this.#cost = cost;
    this.#nobody = written(cost, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));
  }

  /** Throws `ProblemError` (429) when too many wait already. */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return written(this.#cost, salt, await this.#derive(password, salt, this.#cost));
  }

  /** `kept` undefined: there is no such user; it takes as long as if there were. */
  async verify(password: string, kept: string | undefined): Promise<boolean> {
    const known = kept === undefined ? undefined : read(kept);
    const against = known ?? read(this.#nobody);
    if (against === undefined) return false;
    const derived = await this.#derive(password, against.salt, against.cost);
    return timingSafeEqual(derived, against.hash) && known !== undefined;
  }

  /** It was made at a lower cost than is usual now. */
  isOutdated(kept: string): boolean {
    const { cost } = read(kept) ?? {};
    return cost === undefined || work(cost) < work(this.#cost);
  }

  async #derive(password: string, salt: Buffer, { logN, r, p }: PasswordCost): Promise<Buffer> {
    await this.#turn();
    try {
      const N = 2 ** logN;
      return await derive(password.normalize('NFC'), salt, { N, r, p, maxmem: 256 * N * r });
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running >= AT_ONCE) {
      if (this.#waiting.length >= WAITING_MAX) {
        throw new ProblemError('too-many', 'too many passwords are being checked at once', {}, { 'retry-after': '2' });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running += 1;
  }
}

function derive(password: string, salt: Buffer, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

function work({ logN, r, p }: PasswordCost): number {
  return 2 ** logN * r * p;
}

function written({ logN, r, p }: PasswordCost, salt: Buffer, hash: Buffer): string {
  return `scrypt$${logN},${r},${p}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

function read(text: string): { readonly cost: PasswordCost; readonly salt: Buffer; readonly hash: Buffer } | undefined {
  const [, logN, r, p, salt, hash] = FORM.exec(text) ?? [];
  if (salt === undefined || hash === undefined || Number(logN) > LOG_N_MAX) return undefined;
  const cost = { logN: Number(logN), r: Number(r), p: Number(p) };
  return { cost, salt: Buffer.from(salt, 'base64url'), hash: Buffer.from(hash, 'base64url') };
}
