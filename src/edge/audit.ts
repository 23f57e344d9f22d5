// The audit record's pen: one entry for every write that is answered, also when it is refused, and for every sign-in. Written before the
// answer goes out, many at a time; a record that cannot be kept is told in the log and holds nobody up for long.
// Not here: keeping it (store), reading it (routes/audit). Bodies, headers and query arguments never come into it.

import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { AuditEntry } from '../core/audit.ts';
import type { Log } from '../engine/log.ts';
import type { AuditLog } from '../engine/user-view.ts';
import { withDeadline } from './deadline.ts';
import { isProxiedRequest, READS, socketOf } from './guards.ts';
import { PROBLEM_TYPE_PREFIX, ProblemError } from './problem.ts';
import { isSeedWrite, routeName } from './scopes.ts';

declare module 'hono' {
  interface ContextVariableMap {
    /** What a call without parameters is about, for the audit record. Never a secret. */
    about: Readonly<Record<string, string>>;
  }
}

/** Entries that wait to be written; beyond, those of nobody are left out. */
const WAITING_MAX = 1000;
const KEEP_MS = 5_000;
const TEXT_MAX = 200;

interface Waiting {
  readonly entry: AuditEntry;
  readonly done: () => void;
}

/** Says what a call is about where its address does not. */
export function about(c: Context, what: Readonly<Record<string, string>>): void {
  c.set('about', what);
}

export class AuditTrail {
  readonly #audit: Pick<AuditLog, 'keepAudit'>;
  readonly #log: Log;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  constructor(audit: Pick<AuditLog, 'keepAudit'>, log: Log) {
    this.#audit = audit;
    this.#log = log;
  }

  /** Around everything that answers. */
  readonly middleware: MiddlewareHandler = async (c, next) => {
    await next();
    const entry = entryOf(c);
    if (entry !== undefined) await this.#keep(entry);
  };

  /** Resolves when it is kept, or cannot be. */
  async #keep(entry: AuditEntry): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX && entry.who === UNKNOWN) {
      this.#log.warn({ route: entry.route, from: entry.from }, 'the audit record is behind: an entry was left out');
      return;
    }
    const { promise, resolve: done } = Promise.withResolvers<void>();
    this.#waiting.push({ entry, done });
    this.#writing ??= this.#write();
    await promise;
  }

  /** Whatever has come in meanwhile goes into one transaction. */
  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const entries = batch.map(({ entry }) => entry);
        await withDeadline(KEEP_MS, 'keeping the audit record', this.#audit.keepAudit(entries));
      } catch (error) {
        const lost = batch.map(({ entry }) => entry);
        this.#log.error(
          { err: error, entries: lost.slice(0, 20), count: lost.length },
          'audit entries could not be kept',
        );
      }
      for (const { done } of batch) done();
    }
    this.#writing = undefined;
  }
}

const UNKNOWN = 'unknown';

function entryOf(c: Context): AuditEntry | undefined {
  const { method, path } = c.req;
  const isSeeds = isSeedWrite(path);
  if (READS.has(method) && !isSeeds) return undefined;
  const route = isSeeds ? path : routeOf(c);
  // Nothing answers there: nothing was asked for.
  if (route === undefined) return undefined;
  const admitted = c.get('admitted');
  const target = targetOf(c);
  const from = socketOf(c);
  const operation = /^\/v1\/operations\/([^/]+)$/.exec(c.res.headers.get('location') ?? '')?.[1];
  const { error } = c;
  return {
    at: new Date().toISOString(),
    who: admitted?.owner ?? UNKNOWN,
    ...(admitted?.token && { token: admitted.token.name }),
    method,
    route,
    ...(target && { target }),
    ...(from !== undefined && { from }),
    ...(isProxiedRequest(c) && { proxied: true }),
    status: c.res.status,
    ...(operation !== undefined && { operation: decodeURIComponent(operation) }),
    ...(error instanceof ProblemError && { problem: error.problem.type.slice(PROBLEM_TYPE_PREFIX.length) }),
  };
}

function routeOf(c: Context): string | undefined {
  const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL');
  return route && routeName(route.path);
}

function targetOf(c: Context): Readonly<Record<string, string>> | undefined {
  const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL');
  const index = route === undefined ? -1 : matchedRoutes(c).indexOf(route);
  const params: Record<string, string> = index < 0 ? {} : paramsAt(c, index);
  const said = Object.entries({ ...params, ...c.get('about') }).map(([key, value]) => [key, value.slice(0, TEXT_MAX)]);
  return said.length === 0 ? undefined : Object.fromEntries(said);
}

/** Outside of the route's handler hono knows the parameters of that route only by its place. */
function paramsAt(c: Context, index: number): Record<string, string> {
  const before = c.req.routeIndex;
  c.req.routeIndex = index;
  try {
    return c.req.param() as Record<string, string>;
  } finally {
    c.req.routeIndex = before;
  }
}
