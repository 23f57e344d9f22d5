// Idempotency-Key: the same key with the same request gets the same answer again, without doing it again.
// Not here: durability. The answers are kept in memory, bounded, and are gone when the daemon ends.

import { createHash } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ProblemError } from './problem.ts';

export interface IdempotencyLimits {
  readonly maxKeys: number;
  readonly keepMs: number;
}

export const IDEMPOTENCY_LIMITS: IdempotencyLimits = { maxKeys: 1000, keepMs: 3_600_000 };

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

interface Entry {
  readonly fingerprint: string;
  readonly atMs: number;
  /** Undefined: the first try brought no answer worth repeating. */
  readonly answer: Promise<Answer | undefined>;
}

/** For routes that write. Answers below 500 are kept; the rest may be tried again under the same key. */
export function idempotent(limits: IdempotencyLimits = IDEMPOTENCY_LIMITS, nowMs = Date.now): MiddlewareHandler {
  const entries = new Map<string, Entry>();

  const forget = (): void => {
    // In order of arrival: the first one young enough ends it.
    for (const [key, entry] of entries) {
      if (entries.size < limits.maxKeys && nowMs() - entry.atMs < limits.keepMs) return;
      entries.delete(key);
    }
  };

  return async (c, next) => {
    const key = c.req.header('idempotency-key');
    if (key === undefined) return next();
    checkKey(key);
    const fingerprint = createHash('sha256')
      .update(`${c.req.method} ${c.req.path}\n${await c.req.text()}`)
      .digest('base64');
    forget();
    // Again after each wait: a first try that failed frees the key for one of those that waited for it.
    for (let known = entries.get(key); known !== undefined; known = entries.get(key)) {
      const before = await repeated(known, fingerprint);
      if (before !== undefined) return before;
      if (entries.get(key) === known) entries.delete(key);
    }

    let settle: (answer: Answer | undefined) => void = () => undefined;
    const entry = { fingerprint, atMs: nowMs(), answer: new Promise<Answer | undefined>((done) => (settle = done)) };
    entries.set(key, entry);
    try {
      await next();
    } finally {
      const answer = c.res.status < 500 ? await answerOf(c.res.clone()) : undefined;
      if (answer === undefined && entries.get(key) === entry) entries.delete(key);
      settle(answer);
    }
    return undefined;
  };
}

async function repeated(known: Entry, fingerprint: string): Promise<Response | undefined> {
  if (known.fingerprint !== fingerprint) {
    throw new ProblemError('idempotency-key-reused', 'this key came before with another method, path or body', {
      errors: [{ where: 'header.idempotency-key', what: 'use a fresh key for a different request' }],
    });
  }
  const before = await known.answer;
  if (before === undefined) return undefined;
  const headers = { 'content-type': before.contentType, 'idempotency-replayed': 'true' };
  return new Response(before.body, { status: before.status, headers });
}

function checkKey(key: string): void {
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return;
  throw new ProblemError('invalid-request', 'the Idempotency-Key is not usable', {
    errors: [{ where: 'header.idempotency-key', what: 'must be 1 to 255 printable ASCII characters without spaces' }],
  });
}

async function answerOf(response: Response): Promise<Answer> {
  const contentType = response.headers.get('content-type') ?? 'application/json';
  return { status: response.status, contentType, body: await response.text() };
}
