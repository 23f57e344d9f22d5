// The HTTP face as one hono app: guards, routes, problems. Works without a socket (app.request), which is how it is tested.
// Not here: listening (server), the WebSocket face of /v1/events (event-stream), what the metrics are (metrics).

import { OpenAPIHono } from '@hono/zod-openapi';
import { HTTPException } from 'hono/http-exception';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { Log } from '../engine/log.ts';
import type { Access } from './access.ts';
import { Accounts } from './accounts.ts';
import { AuditTrail } from './audit.ts';
import { guardAccess, guardBody, guardHost, guardOrigin, unsupportedMediaType } from './guards.ts';
import { idempotent } from './idempotency.ts';
import { Passwords } from './passwords.ts';
import { ProblemError, problem, problemResponse } from './problem.ts';
import { addAuditRoutes } from './routes/audit.ts';
import { addClusterProgramRoutes } from './routes/cluster-programs.ts';
import { addClusterRoutes } from './routes/clusters.ts';
import { addGroupSteeringRoutes } from './routes/group-steering.ts';
import { addGroupRoutes } from './routes/groups.ts';
import { addGuestRoutes } from './routes/guests.ts';
import { addHardwareRoutes } from './routes/hardware.ts';
import { addHistoryRoutes } from './routes/history.ts';
import { addHostRoutes } from './routes/hosts.ts';
import { addImageRoutes } from './routes/images.ts';
import { addMigrationRoutes } from './routes/migrations.ts';
import { addOperationalRoutes, type MetricsText } from './routes/operational.ts';
import { addOperationRoutes } from './routes/operations.ts';
import type { RouteContext } from './routes/route-parts.ts';
import { addSeedRoutes, seedFailure } from './routes/seeds.ts';
import { addSignInRoutes } from './routes/sign-in.ts';
import { addSnapshotRoutes } from './routes/snapshots.ts';
import { addTokenRoutes } from './routes/tokens.ts';
import { addUserRoutes } from './routes/users.ts';
import { addVmRoutes } from './routes/vms.ts';
import { invalidRequest } from './validation.ts';
import { Visibility } from './visibility.ts';

export interface AppOptions extends RouteContext {
  readonly metrics: MetricsText;
  readonly version: string;
  readonly log: Log;
  /** The same one as the event stream's. */
  readonly access: Access;
  /** Absent: at the usual cost. */
  readonly passwords?: Passwords;
  /** For limits of tries. Absent: the process's. */
  readonly nowMs?: () => number;
  /** Names that may stand in `Host` besides IP addresses and localhost. */
  readonly names?: readonly string[];
}

export function createApp(options: AppOptions): OpenAPIHono {
  const { log, engine, access, nowMs, passwords = new Passwords() } = options;
  const visibility = new Visibility(engine);
  const accounts = new Accounts({ engine, access, passwords, ...(nowMs && { nowMs }) });
  // What routes see is what their caller may see.
  const context = { ...options, engine: visibility.engine, visibility, accounts };
  const app = new OpenAPIHono({
    defaultHook: (result) => {
      if (result.success) return;
      throw invalidRequest(result.error, PARTS[result.target]);
    },
  });
  app.onError((error, c) => {
    const known = knownError(error);
    if (known === undefined)
      log.error({ err: error, request: `${c.req.method} ${c.req.path}` }, 'a request failed inside');
    const { problem: document, headers } = known ?? INTERNAL;
    // The seeds' clients know one form of failure for each call, and no status but 200.
    return seedFailure(c.req.path, document.detail) ?? problemResponse(document, headers);
  });
  app.notFound((c) => problemResponse(problem('not-found', `there is nothing at ${c.req.path.slice(0, 200)}`)));

  app.use(async (c, next) => {
    await next();
    c.res.headers.set('x-content-type-options', 'nosniff');
    c.res.headers.set('referrer-policy', 'no-referrer');
    c.res.headers.set('cross-origin-resource-policy', 'same-origin');
    if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store');
  });
  app.use(new AuditTrail(engine.audit, log).middleware);
  app.use(guardHost(options.names ?? []), guardOrigin(), guardAccess(access, visibility), ...guardBody());
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = methods.toSorted().join(', ');
        return problemResponse(problem('method-not-allowed', `${c.req.path.slice(0, 200)} takes ${allow}`), { allow });
      },
    }),
  );
  app.use('/v1/*', idempotent({ history: engine.history, log }));

  addHostRoutes(app, context);
  addVmRoutes(app, context);
  addGuestRoutes(app, context);
  addMigrationRoutes(app, context);
  addHardwareRoutes(app, context);
  addClusterRoutes(app, context);
  addClusterProgramRoutes(app, context);
  addSnapshotRoutes(app, context);
  addImageRoutes(app, context);
  addOperationRoutes(app, context);
  addGroupRoutes(app, context);
  addGroupSteeringRoutes(app, context);
  addHistoryRoutes(app, context);
  addTokenRoutes(app, context);
  addUserRoutes(app, context);
  addSignInRoutes(app, context);
  addAuditRoutes(app, context);
  addOperationalRoutes(app, context);
  addSeedRoutes(app, context);
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

const INTERNAL = new ProblemError('internal', 'this is a fault of virtscale; its log says more');

function knownError(error: Error): Pick<ProblemError, 'problem' | 'headers'> | undefined {
  if (error instanceof ProblemError) return error;
  if (!(error instanceof HTTPException)) return undefined;
  if (error.status === 415) return unsupportedMediaType(undefined);
  if (error.status >= 500) return undefined;
  const errors = [{ where: 'body', what: error.message }];
  return { problem: { ...problem('invalid-request', error.message, { errors }), status: error.status }, headers: {} };
}
