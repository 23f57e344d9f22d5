// Idempotency-Key: the same key with the same request gets the same answer again, without doing it again, also after a restart.
// Not here: keeping answers (store), operations that answer to their key by themselves when the daemon died before it could keep
// the answer (engine).

import { createHash } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import type { Log } from '../engine/log.ts';
import type { EngineView } from '../engine/view.ts';
import type { KeptAnswer } from '../ports/store.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import { callerOf, isUpload, READS } from './guards.ts';
import { ProblemError } from './problem.ts';

declare module 'hono' {
  interface ContextVariableMap {
    /** The body that a repetition gets instead of the one of the first answer: for secrets that are shown once. */
    repeatedBody: string;
  }
}

export interface IdempotencyOptions {
  readonly history: Pick<EngineView['history'], 'answer' | 'keepAnswer'>;
  readonly log: Log;
  readonly storeMs?: number;
  /** How long a request waits for the same one that came before it. */
  readonly waitMs?: number;
}

interface Running {
  readonly fingerprint: string;
  /** Undefined: the first try brought no answer worth repeating. */
  readonly answer: Promise<KeptAnswer | undefined>;
}

const REPEATED_HEADERS = ['content-type', 'location', 'etag'];

/** For whatever writes. Keys are each caller's own. Answers of 500 and above, and 429, may be tried again under the same key. */
export function idempotent({ history, log, storeMs = 10_000, waitMs = 60_000 }: IdempotencyOptions): MiddlewareHandler {
  const running = new Map<string, Running>();

  const keep = async (answer: KeptAnswer): Promise<void> => {
    try {
      await withDeadline(storeMs, 'keeping the answer', history.keepAnswer(answer));
    } catch (error) {
      // The answer is right all the same; an operation still knows its key.
      log.warn({ err: error }, 'the answer to a request with an Idempotency-Key could not be kept');
    }
  };

  return async (c, next) => {
    const given = c.req.header('idempotency-key');
    if (given === undefined || READS.has(c.req.method) || hasPassword(c.req.path)) return next();
    checkKey(given);
    const caller = callerOf(c);
    const key = `${caller.owner} ${given}`;
    const fingerprint = await fingerprintOf(c, caller.owner);
    // Again after each wait: a first try that failed frees the key for one of those that waited for it.
    for (let known = running.get(key); known !== undefined; known = running.get(key)) {
      checkFingerprint(known, fingerprint);
      const before = await inTime(known.answer, waitMs);
      if (before !== undefined) return replay(before);
      if (running.get(key) === known) running.delete(key);
    }

    const { promise, resolve: settle } = Promise.withResolvers<KeptAnswer | undefined>();
    const mine = { fingerprint, answer: promise };
    running.set(key, mine);
    let answer: KeptAnswer | undefined;
    try {
      const kept = await lookedUp(history.answer(key), storeMs);
      if (kept !== undefined) {
        checkFingerprint(kept, fingerprint);
        answer = kept;
        return replay(kept);
      }
      c.set('caller', { ...caller, key: given, fingerprint });
      await next();
      if (c.res.status < 500 && c.res.status !== 429) {
        answer = await answerOf(c, key, fingerprint);
        await keep(answer);
      }
      return undefined;
    } finally {
      if (running.get(key) === mine) running.delete(key);
      settle(answer);
    }
  };
}

/** Nothing of these is kept, not even a hash of the request: a quick one is as good as the password. Done twice they do no harm. */
function hasPassword(path: string): boolean {
  return path === '/v1/sign-in' || /^\/v1\/users(?:\/|$)/.test(path);
}

/** Caller, method, path with query, and the body; of an upload, which is not read for this, what it says about itself. */
async function fingerprintOf(c: Context, owner: string): Promise<string> {
  const { pathname, search } = new URL(c.req.url);
  const body = isUpload(c.req.method, c.req.path)
    ? `${c.req.header('repr-digest') ?? ''}\n${c.req.header('content-length') ?? ''}`
    : await c.req.text();
  return createHash('sha256').update(`${owner}\n${c.req.method} ${pathname}${search}\n${body}`).digest('hex');
}

function checkFingerprint(known: { readonly fingerprint: string }, fingerprint: string): void {
  if (known.fingerprint === fingerprint) return;
  throw new ProblemError('idempotency-key-reused', 'this key came before with another method, path or body', {
    errors: [{ where: 'header.idempotency-key', what: 'use a fresh key for a different request' }],
  });
}

function checkKey(key: string): void {
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return;
  throw new ProblemError('invalid-request', 'the Idempotency-Key is not usable', {
    errors: [{ where: 'header.idempotency-key', what: 'must be 1 to 255 printable ASCII characters without spaces' }],
  });
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  try {
    return await withDeadline(ms, 'the same request, which came before,', work);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new ProblemError('in-progress', error.message, {}, { 'retry-after': '5' });
  }
}

async function lookedUp<T>(work: Promise<T>, ms: number): Promise<T> {
  try {
    return await withDeadline(ms, 'looking for an earlier answer', work);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new ProblemError('timed-out', `${error.message}; nothing was done`);
  }
}

function replay({ status, headers, body }: KeptAnswer): Response {
  return new Response(status === 204 ? null : body, {
    status,
    headers: { ...headers, 'idempotency-replayed': 'true' },
  });
}

async function answerOf(c: Context, key: string, fingerprint: string): Promise<KeptAnswer> {
  const headers = REPEATED_HEADERS.flatMap((name) => {
    const value = c.res.headers.get(name);
    return value === null ? [] : [[name, value]];
  });
  return {
    key,
    fingerprint,
    status: c.res.status,
    headers: Object.fromEntries(headers),
    body: c.get('repeatedBody') ?? (await c.res.clone().text()),
    at: new Date().toISOString(),
  };
}
