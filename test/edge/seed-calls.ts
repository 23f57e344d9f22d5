// The seeds' routes alone over an engine in memory, asked as their clients ask. Not here: guards, expectations about answers.

import { OpenAPIHono } from '@hono/zod-openapi';
import { expect } from 'vitest';
import { addSeedRoutes } from '../../src/edge/routes/seeds.ts';
import { CollectedLog } from './collected-log.ts';
import { FakeEngine, type FakeEngineParts } from './fake-engine.ts';

export interface Ask {
  readonly method?: string;
  readonly body?: string | FormData;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

export function seeds(parts: FakeEngineParts = {}) {
  const engine = new FakeEngine(parts);
  const log = new CollectedLog();
  const app = new OpenAPIHono();
  addSeedRoutes(app, { engine, log });
  const ask = (path: string, how: Ask = {}) => app.request(`http://127.0.0.1:7070${path}`, how);
  /** The text, as the order of the keys is part of the promise. */
  const text = async (path: string, how: Ask = {}): Promise<string> => {
    const response = await ask(path, how);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    return response.text();
  };
  const json = async (path: string, how: Ask = {}) => JSON.parse(await text(path, how));
  return { engine, log, ask, text, json };
}
