// Liveness, readiness, the OpenAPI document, the pages.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { EVENT_TYPES } from '../../src/edge/event-text.ts';
import { PROBLEM_NAMES, problem } from '../../src/edge/problem.ts';
import { edgeApp } from './edge-app.ts';
import { parsePrometheus } from './prometheus-text.ts';

interface Operation {
  readonly responses: Readonly<Record<string, unknown>>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

async function openApi(): Promise<Document> {
  const answer = await edgeApp().app.request('/v1/openapi.json');
  return (await answer.json()) as Document;
}

describe('the OpenAPI document', () => {
  it('describes every route of /v1, and nothing else', async () => {
    const { app } = edgeApp();
    const document = await openApi();
    expect(document.openapi).toBe('3.1.0');
    const described = Object.entries(document.paths).flatMap(([path, verbs]) =>
      Object.keys(verbs).map((verb) => `${verb} ${path}`),
    );
    const served = app.routes
      .filter(({ path, method }) => path.startsWith('/v1/') && method !== 'ALL')
      .map(({ path, method }) => `${method.toLowerCase()} ${path.replaceAll(/:([a-z]+)/g, '{$1}')}`)
      .filter((route) => !/openapi\.json|docs/.test(route));
    expect(described.toSorted()).toEqual([...new Set(served)].toSorted());
    expect(described).toContain('patch /v1/groups/{name}');
  });

  it('has no reference that leads nowhere', async () => {
    const document = await openApi();
    const references = JSON.stringify(document).match(/"#\/[^"]+"/g) ?? [];
    expect(references.length).toBeGreaterThan(10);
    for (const reference of references) {
      const path: readonly string[] = JSON.parse(reference).slice(2).split('/');
      const found = path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
      expect(found, reference).toBeDefined();
    }
  });

  it('gives query arguments their types and says what each write may answer', async () => {
    const document = await openApi();
    expect(JSON.stringify(document.paths['/v1/decisions'])).toContain('"type":"integer"');
    expect(Object.keys(document.paths['/v1/groups/{name}']?.['patch']?.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '400', '403', '404', '409', '413', '415', '422']),
    );
  });
});

describe('the daemon itself', () => {
  it('is alive, and ready when the engine is', async () => {
    const { app, engine } = edgeApp();
    expect(await (await app.request('/healthz')).json()).toEqual({ status: 'ok', version: '1.2.3' });
    expect((await app.request('/readyz')).status).toBe(200);
    engine.ready = { ready: false, reason: 'no host has answered yet' };
    const answer = await app.request('/readyz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ detail: 'no host has answered yet' });
    expect((await app.request('/healthz')).status).toBe(200);
  });

  it('answers HEAD and keeps browsers from guessing', async () => {
    const answer = await edgeApp().app.request('/v1/groups', { method: 'HEAD' });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe('');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe.each(['/', '/v1/docs'])('the page %s', (path) => {
  it('is self-contained, and its policy allows exactly what is in it', async () => {
    const answer = await edgeApp().app.request(path);
    const html = await answer.text();
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(html).not.toMatch(/https?:\/\//);
    expect(html).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son[a-z]+="|style="/);
    for (const tag of ['script', 'style']) {
      const text = new RegExp(`<${tag}[^>]*>([\\s\\S]*?)</${tag}>`).exec(html)?.[1] ?? '';
      expect(text.length).toBeGreaterThan(100);
      expect(policy).toContain(`${tag}-src 'sha256-${createHash('sha256').update(text).digest('base64')}'`);
    }
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
  });

  it('has a script without syntax errors', async () => {
    const html = await (await edgeApp().app.request(path)).text();
    const script = /<script[^>]*>([\s\S]*?)<\/script>/.exec(html)?.[1] ?? '';
    expect(() => new Script(`(async () => {${script}})`)).not.toThrow();
  });
});

describe('the documents', () => {
  const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  const rows = (name: string, pattern: RegExp) =>
    [...read(name).matchAll(pattern)].map(([, first]) => first).toSorted();

  it('EVENTS.md has a row for every event type, and for no other', () => {
    expect(rows('EVENTS.md', /^\| `([a-z]+\.[a-z]+)` \|/gm)).toEqual(EVENT_TYPES.toSorted());
  });

  it('METRICS.md has a row for every metric of ours with its type, and for no other', async () => {
    const families = parsePrometheus(await (await edgeApp().app.request('/metrics')).text());
    const ours = [...families.values()].filter(({ name }) => /^(virtscale|libvirt)_/.test(name));
    const documented = rows('METRICS.md', /^\| `((?:virtscale|libvirt)_[a-z_]+` \| [a-z]+) \|/gm);
    expect(documented).toEqual(ours.map(({ name, type }) => [name, type].join('` | ')).toSorted());
  });

  it('API.md has a row for every problem, with its status', () => {
    const documented = rows('API.md', /^\| `([a-z-]+` \| \d{3}) \|/gm);
    expect(documented).toEqual(PROBLEM_NAMES.map((name) => [name, problem(name, '').status].join('` | ')).toSorted());
  });
});
