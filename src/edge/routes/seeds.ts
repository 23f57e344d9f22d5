// /vm, /pm and /image: the seeds' API over HTTP, as its clients expect it: GET or POST, a slash at the end or not, status 200
// whatever happens. Not here: what the calls do (seeds/calls).

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { Log } from '../../engine/log.ts';
import type { EngineView } from '../../engine/view.ts';
import { callerOf, sameOrigin } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { allArguments, queryArguments, SeedRefusal } from '../seeds/arguments.ts';
import { SEED_CALLS, type SeedCall } from '../seeds/calls.ts';

const FAMILY = /^\/(?:vm|pm|image)(?:\/|$)/;

export function addSeedRoutes(
  app: OpenAPIHono,
  { engine, log }: { readonly engine: EngineView; readonly log: Log },
): void {
  const handler = (c: Context): Response | Promise<Response> => {
    const call = callAt(c.req.path);
    const { method } = c.req;
    if (call === undefined || (method !== 'GET' && method !== 'POST')) return c.json(0);
    // The one that is asked thousands of times a second: no promises on its way.
    if (method === 'GET' && !call.writes) {
      try {
        return c.json(call.answer(engine, queryArguments(c.req.url)));
      } catch (error) {
        return c.json(failure(call, error, c, log));
      }
    }
    return answer(c, call, engine).catch((error: unknown) => c.json(failure(call, error, c, log)));
  };
  for (const family of ['/vm', '/pm', '/image']) {
    app.all(family, handler);
    app.all(`${family}/*`, handler);
  }
}

/** A problem found before a call was reached (guards, rights), in the form of that call; undefined on all other paths. */
export function seedFailure(path: string, detail: string): Response | undefined {
  if (!FAMILY.test(path)) return undefined;
  return Response.json(failureForm(callAt(path), detail));
}

async function answer(c: Context, call: SeedCall, engine: EngineView): Promise<Response> {
  if (call.writes && !sameOrigin(originOf(c))) {
    throw new SeedRefusal('a page of another site may not change anything here');
  }
  const given = c.req.method === 'POST' ? await allArguments(c.req.raw) : queryArguments(c.req.url);
  if (!call.writes) return c.json(call.answer(engine, given));
  return c.json(await call.answer(engine, given, { caller: callerOf(c), signal: c.req.raw.signal }));
}

/** An address opened by an `<img>` or a link tells where from by `Sec-Fetch-Site`, and over plain HTTP at least by `Referer`. */
function originOf(c: Context): Parameters<typeof sameOrigin>[0] {
  const referer = c.req.header('referer');
  const from = referer !== undefined && URL.canParse(referer) ? new URL(referer).origin : undefined;
  return {
    host: c.req.header('host') ?? new URL(c.req.url).host,
    origin: c.req.header('origin') ?? from,
    secFetchSite: c.req.header('sec-fetch-site'),
  };
}

function callAt(path: string): SeedCall | undefined {
  return SEED_CALLS.get(path.endsWith('/') ? path.slice(0, -1) : path);
}

function failure(call: SeedCall, error: unknown, c: Context, log: Log): object | 0 {
  if (error instanceof SeedRefusal) return failureForm(call, error.message);
  if (error instanceof ProblemError) return failureForm(call, error.problem.detail);
  log.error({ err: error, request: `${c.req.method} ${c.req.path}` }, 'a request failed inside');
  return failureForm(call, 'this is a fault of virtscale; its log says more');
}

function failureForm(call: SeedCall | undefined, error: string): object | 0 {
  return call?.fails === undefined ? 0 : { [call.fails]: 0, error };
}
