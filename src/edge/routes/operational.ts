// What machines ask of the daemon itself: liveness, readiness, metrics; and the pages and documents for people.

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { EngineView } from '../../engine/view.ts';
import { withDeadline } from '../deadline.ts';
import { etagOf, isUnchanged } from '../etag.ts';
import { openApiDocument } from '../openapi.ts';
import { ProblemError } from '../problem.ts';
import { docsPage } from '../web/docs-page.ts';
import type { Page } from '../web/page.ts';
import { statusPage } from '../web/status-page.ts';
import { notModified } from './route-parts.ts';

export interface MetricsText {
  readonly contentType: string;
  text(): Promise<string>;
}

const SCRAPE_MS = 10_000;

export function addOperationalRoutes(
  app: OpenAPIHono,
  {
    engine,
    metrics,
    version,
  }: { readonly engine: EngineView; readonly metrics: MetricsText; readonly version: string },
): void {
  app.get('/healthz', (c) => c.json({ status: 'ok', version }));

  app.get('/readyz', (c) => {
    const { ready, reason = 'no reason given' } = engine.readiness();
    if (!ready) throw new ProblemError('not-ready', reason, {}, { 'retry-after': '1' });
    return c.json({ status: 'ready', version });
  });

  app.get('/metrics', async (c) => {
    const text = await withDeadline(SCRAPE_MS, 'collecting the metrics', metrics.text());
    return c.body(text, 200, { 'content-type': metrics.contentType });
  });

  let document: { readonly text: string; readonly etag: string } | undefined;
  app.get('/v1/openapi.json', (c) => {
    document ??= withTag(JSON.stringify(openApiDocument(app, version)));
    const { text, etag } = document;
    if (isUnchanged(c.req.header('if-none-match'), etag)) return notModified(etag);
    return c.body(text, 200, { 'content-type': 'application/json', etag });
  });

  app.get('/v1/docs', () => pageResponse(docsPage));
  app.get('/', () => pageResponse(statusPage));
}

function withTag(text: string): { readonly text: string; readonly etag: string } {
  return { text, etag: etagOf(text) };
}

function pageResponse(page: Page): Response {
  return new Response(page.html, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': page.contentSecurityPolicy,
      'x-frame-options': 'DENY',
    },
  });
}
