// The app over a fake engine, as the edge tests use it.

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { WithoutToken } from '../../src/config/daemon-config.ts';
import { Access } from '../../src/edge/access.ts';
import { createApp } from '../../src/edge/app.ts';
import { Metrics } from '../../src/edge/metrics.ts';
import { CollectedLog } from './collected-log.ts';
import { clock, FakeEngine, type FakeEngineParts } from './fake-engine.ts';
import { cheapPasswords } from './people.ts';

export interface EdgeApp {
  readonly app: OpenAPIHono;
  readonly engine: FakeEngine;
  readonly access: Access;
  readonly metrics: Metrics;
  readonly log: CollectedLog;
}

export interface EdgeOptions {
  readonly withoutToken?: WithoutToken;
  /** False: requests of app.request() come from nowhere, and no loopback is assumed. */
  readonly near?: boolean;
  /** For limits of tries. Absent: the process's clock. */
  readonly nowMs?: () => number;
}

export function edgeApp(
  parts: FakeEngineParts = {},
  { withoutToken, near = true, nowMs = () => performance.now() }: EdgeOptions = {},
): EdgeApp {
  const engine = new FakeEngine(parts);
  const access = new Access({ engine, withoutToken, ...(near && { withoutSocket: 'loopback' as const }) });
  const metrics = new Metrics({ version: '1.2.3' });
  metrics.observe(engine);
  const log = new CollectedLog();
  const passwords = cheapPasswords();
  const app = createApp({
    engine,
    access,
    clock,
    metrics,
    version: '1.2.3',
    log,
    names: ['scaler.example'],
    passwords,
    nowMs,
  });
  return { app, engine, access, metrics, log };
}
