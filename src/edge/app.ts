// The HTTP face as one hono app: guards, routes, problems. Works without a socket (app.request), which is how it is tested.
// Not here: listening (server), the WebSocket face of /v1/events (event-stream), what the metrics are (metrics).

import { OpenAPIHono } from '@hono/zod-openapi';
import { HTTPException } from 'hono/http-exception';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { Log } from '../engine/log.ts';
import { guardBody, guardHost, guardOrigin, unsupportedMediaType } from './guards.ts';
import { ProblemError, problem, problemResponse } from './problem.ts';
import { addGroupRoutes } from './routes/groups.ts';
import { addHistoryRoutes } from './routes/history.ts';
import { addInventoryRoutes } from './routes/inventory.ts';
import { addOperationalRoutes, type MetricsText } from './routes/operational.ts';
import type { RouteContext } from './routes/route-parts.ts';
import { invalidRequest } from './validation.ts';

export interface AppOptions extends RouteContext {
  readonly metrics: MetricsText;
  readonly version: string;
  readonly log: Log;
  /** Names that may stand in `Host` besides IP addresses and localhost. */
  readonly names?: readonly string[];
}

export function createApp(options: AppOptions): OpenAPIHono {
  const app = new OpenAPIHono({
    defaultHook: (result) => {
      if (result.success) return;
      throw invalidRequest(result.error, PARTS[result.target]);
    },
  });
  app.onError((error, c) => errorResponse(error, options.log, `${c.req.method} ${c.req.path}`));
  app.notFound((c) => problemResponse(problem('not-found', `there is nothing at ${c.req.path.slice(0, 200)}`)));

  app.use(async (c, next) => {
    await next();
    c.res.headers.set('x-content-type-options', 'nosniff');
    c.res.headers.set('referrer-policy', 'no-referrer');
    c.res.headers.set('cross-origin-resource-policy', 'same-origin');
    if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store');
  });
  app.use(guardHost(options.names ?? []), guardOrigin(), ...guardBody());
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = methods.toSorted().join(', ');
        return problemResponse(problem('method-not-allowed', `${c.req.path.slice(0, 200)} takes ${allow}`), { allow });
      },
    }),
  );

  addInventoryRoutes(app, options);
  addGroupRoutes(app, options);
  addHistoryRoutes(app, options);
  addOperationalRoutes(app, options);
  return app;
}

const PARTS = {
  json: 'body',
  form: 'body',
  query: 'query',
  param: 'path',
  header: 'header',
  cookie: 'cookie',
} as const;

function errorResponse(error: Error, log: Log, request: string): Response {
  if (error instanceof ProblemError) return problemResponse(error.problem, error.headers);
  if (error instanceof HTTPException) {
    if (error.status === 415) return errorResponse(unsupportedMediaType(undefined), log, request);
    if (error.status < 500) {
      const errors = [{ where: 'body', what: error.message }];
      return problemResponse({ ...problem('invalid-request', error.message, { errors }), status: error.status });
    }
  }
  log.error({ err: error, request }, 'a request failed inside');
  return problemResponse(problem('internal', 'this is a fault of virtscale; its log says more'));
}
