// The OpenAPI 3.1 document: from the routes, with what the table of scopes says about each.
// Not here: the routes and their schemas.

import type { OpenAPIHono } from '@hono/zod-openapi';
import { SCOPES } from './scopes.ts';

type Document = ReturnType<OpenAPIHono['getOpenAPI31Document']>;

const VERBS = ['get', 'put', 'post', 'patch', 'delete'] as const;

export function openApiDocument(app: OpenAPIHono, version: string): Document {
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'virtscale',
      version,
      description:
        'Auto Scaling groups for plain libvirt. Problems are RFC 9457 documents. `x-scope` is the scope a token needs; without any token made, programs on the same machine need none.',
      license: { name: 'MIT' },
    },
    servers: [{ url: '/' }],
  });
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const verb of VERBS) {
      const operation = item[verb];
      if (operation === undefined) continue;
      const scope = SCOPES[`${verb.toUpperCase()} ${path}`] ?? 'admin';
      operation.security = scope === 'open' ? [] : [{ token: [] }];
      operation['x-scope'] = scope;
      operation.operationId ??= operationId(verb, path);
    }
  }
  const components = document.components ?? {};
  const token = { type: 'http', scheme: 'bearer', description: 'A token of POST /v1/tokens: vs_…' } as const;
  return { ...document, components: { ...components, securitySchemes: { token } } };
}

/** `post /v1/vms/{id}/start` → `postVmsIdStart`. */
function operationId(verb: string, path: string): string {
  const words = path
    .replace('/v1/', '')
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '');
  return verb + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}
