// What is checked before any handler: who the request claims to talk to, where it comes from, who asks, how large it is.
// Not here: which token may do what (access, scopes). A browser must not be tricked into speaking for its user.

import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { getConnInfo } from '@hono/node-server/conninfo';
import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { Caller } from '../engine/view.ts';
import { type Access, type Admitted, ANONYMOUS, type Credentials, requireScope } from './access.ts';
import { ProblemError } from './problem.ts';
import { type Reach, userReach } from './reach.ts';
import { type Needed, neededScope, routeName, seedScope } from './scopes.ts';
import { onlyOf, type Visibility } from './visibility.ts';

declare module 'hono' {
  interface ContextVariableMap {
    admitted: Admitted;
    caller: Caller;
  }
}

export const MAX_BODY_BYTES = 64 * 1024;
export const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

const UPLOADS = /^\/v1\/(?:images\/|clusters\/[^/?]+\/files(?:\?|$))/;

/** Calls whose body is not JSON and is read as a stream. */
export function isUpload(method: string | undefined, path: string): boolean {
  return method === 'PUT' && UPLOADS.test(path);
}

/**
 * Against DNS rebinding: a page of another site can point its own name at this daemon, but then says that name in `Host`.
 * An IP address cannot be rebound. `host` is the header's value, `HOST` or `HOST:PORT`.
 */
export function hostAllowed(host: string | undefined, allowedNames: readonly string[]): boolean {
  if (host === undefined) return false;
  const name = hostName(host);
  if (name === undefined) return false;
  if (name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0) return true;
  return allowedNames.some((allowed) => domainToASCII(allowed).toLowerCase() === name);
}

function hostName(host: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@[\]]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** The headers that tell where a request comes from; absent ones undefined. */
export interface OriginHeaders {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
}

/** True for programs (no browser headers) and for pages that this daemon itself served. */
export function sameOrigin({ host, origin, secFetchSite }: OriginHeaders): boolean {
  if (secFetchSite !== undefined && secFetchSite !== 'same-origin' && secFetchSite !== 'none') return false;
  if (origin === undefined) return true;
  const match = /^https?:\/\/(.+)$/i.exec(origin);
  return match?.[1] !== undefined && match[1].toLowerCase() === host?.toLowerCase();
}

export const HOST_ADVICE =
  'use an IP address or localhost, or add the name to the names the daemon is configured to answer to';

export function guardHost(allowedNames: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    // Requests made in the process itself (app.request) have no Host header, only a URL.
    const host = c.req.header('host') ?? new URL(c.req.url).host;
    // No browser adds a token of ours by itself: whoever shows one was not tricked here.
    if (c.req.header('authorization') === undefined && !hostAllowed(host, allowedNames)) {
      throw new ProblemError(
        'host-not-allowed',
        `the name in the Host header is not one of this daemon: ${HOST_ADVICE}`,
        {
          errors: [{ where: 'header.host', what: 'neither an IP address, nor localhost, nor a configured name' }],
        },
      );
    }
    await next();
  };
}

/** Writes only: what another origin can read is already held back by browsers, as no CORS header is ever sent. */
export function guardOrigin(): MiddlewareHandler {
  return async (c, next) => {
    if (!READS.has(c.req.method)) {
      const host = c.req.header('host') ?? new URL(c.req.url).host;
      const headers = { host, origin: c.req.header('origin'), secFetchSite: c.req.header('sec-fetch-site') };
      if (!sameOrigin(headers)) {
        throw new ProblemError('cross-origin', 'a page of another origin may not change anything here', {
          errors: [{ where: 'header.origin', what: 'differs from the host the request is sent to' }],
        });
      }
    }
    await next();
  };
}

/** 401 and 403, before anything of the body is read. Whoever is let in is answered of what he may see. */
export function guardAccess(access: Access, visibility: Visibility): MiddlewareHandler {
  return async (c, next) => {
    const needed = seedScope(c.req.path) ?? neededHere(c);
    if (needed === undefined || needed === 'open') return next();
    const admitted = access.admit(credentialsOf(c));
    c.set('admitted', admitted);
    c.set('caller', { owner: admitted.owner });
    const what = `${c.req.method} ${c.req.path.slice(0, 200)}`;
    if (onlyOf(admitted) === undefined) requireScope(admitted, needed, what);
    else requireReach(admitted, seedScope(c.req.path) ?? reachHere(c), what);
    return visibility.asCaller(admitted, next);
  };
}

/** Of a user, whose calls are told apart by more than scopes. */
function requireReach(admitted: Admitted, reach: Reach, what: string): void {
  if (reach === 'operator') {
    throw new ProblemError('insufficient-scope', `${what} is for admins; ${admitted.owner} is none`, {
      scope: 'admin',
    });
  }
  if (reach !== 'open') requireScope(admitted, reach, what);
}

function reachHere(c: Context): Reach {
  const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL');
  return route === undefined ? 'operator' : userReach(route.method, routeName(route.path));
}

/** Of the route that will answer; undefined when none will: then 404 or 405 is all there is to learn. */
function neededHere(c: Context): Needed | undefined {
  const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL');
  return route && neededScope(route.method, route.path);
}

/** Who asks, for the engine. With the Idempotency-Key when there is one. */
export function callerOf(c: Context): Caller {
  return c.get('caller') ?? { owner: ANONYMOUS };
}

export function credentialsOf(c: Context): Credentials {
  return {
    authorization: c.req.header('authorization'),
    peer: socketOf(c),
    proxied: isProxiedRequest(c),
  };
}

/** Headers that proxies add. They open nothing to anybody; that they are there takes the loopback's rights away. */
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];

export function isProxied(headers: IncomingHttpHeaders): boolean {
  return PROXY_HEADERS.some((name) => headers[name] !== undefined);
}

export function isProxiedRequest(c: Context): boolean {
  return PROXY_HEADERS.some((name) => c.req.header(name) !== undefined);
}

/** Who asks, where that can be said: behind a proxy all are the same. */
export function peerOf(c: Context): string | undefined {
  return isProxiedRequest(c) ? undefined : socketOf(c);
}

/** The socket's other end. app.request() has none. */
export function socketOf(c: Context): string | undefined {
  return c.env?.incoming === undefined ? undefined : getConnInfo(c).remote.address;
}

/** 413 beyond `MAX_BODY_BYTES`, 415 for a body that is not JSON. An upload has neither limit; the seeds' calls take forms too. */
export function guardBody(): readonly MiddlewareHandler[] {
  const size: MiddlewareHandler = async (c, next) => {
    const { method, path } = c.req;
    // The seeds' calls read their forms themselves, with a limit of their own.
    if (!READS.has(method) && !isUpload(method, path) && seedScope(path) === undefined) {
      if (Number(c.req.header('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
      const { body, headers, signal } = c.req.raw;
      // Read here, whatever it said of its length; the handlers are given what was read.
      if (body !== null) c.req.raw = new Request(c.req.url, { method, headers, signal, body: await bounded(body) });
    }
    await next();
  };
  const mediaType: MiddlewareHandler = async (c, next) => {
    const { method, path } = c.req;
    const type = c.req.header('content-type');
    if (!READS.has(method) && type !== undefined && seedScope(path) === undefined) {
      const wanted = isUpload(method, path) ? 'application/octet-stream' : 'application/json';
      if (type.split(';', 1)[0]?.trim().toLowerCase() !== wanted) throw unsupportedMediaType(type, wanted);
    }
    await next();
  };
  return [size, mediaType];
}

async function bounded(body: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of body) {
      size += piece.byteLength;
      if (size > MAX_BODY_BYTES) throw tooLarge();
      pieces.push(piece);
    }
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError('invalid-request', 'the body did not arrive whole', {
      errors: [{ where: 'body', what: 'ended early' }],
    });
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function tooLarge(): ProblemError {
  return new ProblemError('body-too-large', `a request body may have at most ${MAX_BODY_BYTES} bytes`);
}

export function unsupportedMediaType(type: string | undefined, wanted = 'application/json'): ProblemError {
  const said = type === undefined ? 'there is none' : `it is ${JSON.stringify(type.slice(0, 100))}`;
  return new ProblemError('unsupported-media-type', `the Content-Type must be ${wanted}; ${said}`, {
    errors: [{ where: 'header.content-type', what: `must be ${wanted}` }],
  });
}
