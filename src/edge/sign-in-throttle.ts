// How often one may try to sign in: by who tries and by whose name. Nobody can lock anybody out with it: one peer alone uses up its own
// tries before those of a name, and peers from which somebody signed in before have tries of their own for his name.
// Not here: the buckets (throttle), passwords.

import { Throttle } from './throttle.ts';

/** Ten wrong ones in a row, then one in six seconds. */
const PEER = { burst: 10, refillMs: 6_000 };
/** All peers together, those apart that are known for it: more than any one peer alone can use up. */
const NAME = { burst: 20, refillMs: 3_000 };
/** A name's tries from a peer that signed in with it before. */
const KNOWN = { burst: 5, refillMs: 10_000 };
const KNOWN_MAX = 10_000;

export interface Attempt {
  readonly name: string;
  /** The socket's other end; undefined: it came through a proxy or no socket, and says nothing about who tries. */
  readonly peer: string | undefined;
}

export class SignInThrottle {
  readonly #byPeer = new Throttle(PEER);
  readonly #byName = new Throttle(NAME);
  readonly #byKnown = new Throttle(KNOWN);
  /** Peer and name, where it was right before; the latest is the last. */
  readonly #known = new Set<string>();

  /** Takes a try of each, or tells how long to wait. */
  tryMs(attempt: Attempt, nowMs: number): number {
    const buckets = this.#bucketsOf(attempt);
    const waitMs = Math.max(0, ...buckets.map(({ throttle, key }) => throttle.waitMs(key, nowMs)));
    if (waitMs > 0) return waitMs;
    for (const { throttle, key } of buckets) throttle.take(key, nowMs);
    return 0;
  }

  /** It was right: the tries are given back, and the peer is known for the name. */
  succeeded(attempt: Attempt, nowMs: number): void {
    for (const { throttle, key } of this.#bucketsOf(attempt)) throttle.giveBack(key, nowMs);
    if (attempt.peer === undefined) return;
    const known = knownKey(attempt);
    this.#known.delete(known);
    this.#known.add(known);
    const [oldest] = this.#known;
    if (this.#known.size > KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest);
  }

  #bucketsOf(attempt: Attempt): readonly { readonly throttle: Throttle; readonly key: string }[] {
    const known = knownKey(attempt);
    if (this.#known.has(known)) return [{ throttle: this.#byKnown, key: known }];
    const byName = { throttle: this.#byName, key: attempt.name };
    if (attempt.peer === undefined) return [byName];
    return [byName, { throttle: this.#byPeer, key: networkOf(attempt.peer) }];
  }
}

function knownKey({ name, peer = '' }: Attempt): string {
  return `${networkOf(peer)} ${name}`;
}

/** Of IPv6 the first 64 bits: whoever has one address there has them all. */
export function networkOf(peer: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(peer)?.[1];
  if (mapped !== undefined || !peer.includes(':')) return mapped ?? peer;
  const [head = '', tail = ''] = peer.split('%')[0]?.toLowerCase().split('::') ?? [];
  const left = head.split(':').filter((part) => part !== '');
  const right = tail.split(':').filter((part) => part !== '');
  const missing = peer.includes('::') ? Math.max(0, 8 - left.length - right.length) : 0;
  return [...left, ...Array.from({ length: missing }, () => '0'), ...right]
    .slice(0, 4)
    .map((part) => part.replace(/^0+(?=.)/, ''))
    .join(':');
}
