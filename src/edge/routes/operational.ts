// What machines ask of the daemon itself: liveness, readiness, metrics; and the pages and documents for people.

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { EngineView } from '../../engine/view.ts';
import { withDeadline } from '../deadline.ts';
import { ProblemError } from '../problem.ts';
import { docsPage } from '../web/docs-page.ts';
import type { Page } from '../web/page.ts';
import { statusPage } from '../web/status-page.ts';

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

  app.get('/v1/openapi.json', (c) =>
    c.json(
      app.getOpenAPI31Document({
        openapi: '3.1.0',
        info: {
          title: 'virtscale',
          version,
          description: 'Auto Scaling groups for plain libvirt. Problems are RFC 9457 documents.',
          license: { name: 'MIT' },
        },
        servers: [{ url: '/' }],
      }),
    ),
  );

  app.get('/v1/docs', () => pageResponse(docsPage));
  app.get('/', () => pageResponse(statusPage));
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
