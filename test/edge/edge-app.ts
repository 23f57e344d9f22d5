// The app over a fake engine, as the edge tests use it.

import type { OpenAPIHono } from '@hono/zod-openapi';
import { createApp } from '../../src/edge/app.ts';
import { Metrics } from '../../src/edge/metrics.ts';
import { CollectedLog } from './collected-log.ts';
import { clock, FakeEngine, type FakeEngineParts } from './fake-engine.ts';

export interface EdgeApp {
  readonly app: OpenAPIHono;
  readonly engine: FakeEngine;
  readonly metrics: Metrics;
  readonly log: CollectedLog;
}

export function edgeApp(parts: FakeEngineParts = {}): EdgeApp {
  const engine = new FakeEngine(parts);
  const metrics = new Metrics({ version: '1.2.3' });
  metrics.observe(engine);
  const log = new CollectedLog();
  const app = createApp({ engine, clock, metrics, version: '1.2.3', log, names: ['scaler.example'] });
  return { app, engine, metrics, log };
}
