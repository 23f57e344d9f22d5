// What is checked before any handler: who the request claims to talk to, where it comes from, how large it is.
// Not here: users and rights. Until there are some, a browser must not be tricked into speaking for its user.

import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { ProblemError } from './problem.ts';

export const MAX_BODY_BYTES = 64 * 1024;
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

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
    if (!hostAllowed(host, allowedNames)) {
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

/** 413 beyond `MAX_BODY_BYTES`, 415 for a body that is not JSON. */
export function guardBody(): readonly MiddlewareHandler[] {
  const size = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: () => {
      throw new ProblemError('body-too-large', `a request body may have at most ${MAX_BODY_BYTES} bytes`);
    },
  });
  const mediaType: MiddlewareHandler = async (c, next) => {
    const type = c.req.header('content-type');
    if (!READS.has(c.req.method) && type !== undefined && !/^application\/json\s*(;.*)?$/i.test(type)) {
      throw unsupportedMediaType(type);
    }
    await next();
  };
  return [size, mediaType];
}

export function unsupportedMediaType(type: string | undefined): ProblemError {
  const said = type === undefined ? 'there is none' : `it is ${JSON.stringify(type.slice(0, 100))}`;
  return new ProblemError('unsupported-media-type', `the Content-Type must be application/json; ${said}`, {
    errors: [{ where: 'header.content-type', what: 'must be application/json' }],
  });
}
