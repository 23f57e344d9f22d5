// Which scope each call of the HTTP API needs: the one table for tokens of the operator and of admins. A test holds it against the
// OpenAPI document. Not here: who has which scope (access), what users reach (reach).

import type { Scope } from '../core/catalog.ts';

/** `open`: for everybody, as it tells nothing and changes nothing. */
export type Needed = Scope | 'open';

/** By method and path as the OpenAPI document writes them. */
export const SCOPES: Readonly<Record<string, Needed>> = {
  'GET /': 'open',
  'GET /healthz': 'open',
  'GET /readyz': 'open',
  'GET /v1/docs': 'open',
  'GET /v1/openapi.json': 'open',
  'GET /metrics': 'read',

  'GET /v1/hosts': 'read',
  'GET /v1/hosts/{name}': 'read',
  'PATCH /v1/hosts/{name}': 'admin',
  'POST /v1/hosts/{name}/drain': 'admin',
  'POST /v1/hosts/{name}/undrain': 'admin',
  'GET /v1/rebalance': 'read',
  'POST /v1/rebalance': 'admin',

  'GET /v1/vms': 'read',
  'POST /v1/vms': 'operate',
  'POST /v1/vms/adopt': 'operate',
  'GET /v1/vms/{id}': 'read',
  'PATCH /v1/vms/{id}': 'operate',
  'DELETE /v1/vms/{id}': 'operate',
  'POST /v1/vms/{id}/start': 'operate',
  'POST /v1/vms/{id}/pause': 'operate',
  'POST /v1/vms/{id}/resume': 'operate',
  'POST /v1/vms/{id}/shutdown': 'operate',
  'POST /v1/vms/{id}/reboot': 'operate',
  'POST /v1/vms/{id}/reset': 'operate',
  'POST /v1/vms/{id}/stop': 'operate',
  // What guests print is often more than a reader should see (first-boot passwords, keys).
  'GET /v1/vms/{id}/console': 'operate',
  'GET /v1/vms/{id}/addresses': 'read',
  'GET /v1/vms/{id}/hardware': 'read',
  'PATCH /v1/vms/{id}/hardware': 'operate',
  'POST /v1/vms/{id}/migrate': 'operate',
  'POST /v1/vms/{id}/interfaces': 'operate',
  'DELETE /v1/vms/{id}/interfaces/{mac}': 'operate',

  'GET /v1/clusters': 'read',
  'POST /v1/clusters': 'operate',
  'GET /v1/clusters/{name}': 'read',
  'DELETE /v1/clusters/{name}': 'operate',
  'POST /v1/clusters/{name}/nodes': 'operate',
  'DELETE /v1/clusters/{name}/nodes/{node}': 'operate',
  'POST /v1/clusters/{name}/exec': 'operate',
  'PUT /v1/clusters/{name}/files': 'operate',

  'GET /v1/vms/{id}/snapshots': 'read',
  'POST /v1/vms/{id}/snapshots': 'operate',
  'GET /v1/vms/{id}/snapshots/{name}': 'read',
  'DELETE /v1/vms/{id}/snapshots/{name}': 'operate',
  'POST /v1/vms/{id}/snapshots/{name}/revert': 'operate',
  'POST /v1/snapshots': 'operate',

  'GET /v1/images': 'read',
  'GET /v1/images/{name}': 'read',
  'PUT /v1/images/{name}': 'operate',
  // Files of the daemon's machine and of others only with admin: see routes/images.
  'POST /v1/images': 'operate',
  'DELETE /v1/images/{name}': 'operate',
  'GET /v1/flavors': 'read',
  'GET /v1/flavors/{name}': 'read',

  'GET /v1/operations': 'read',
  'GET /v1/operations/{id}': 'read',
  'GET /v1/operations/{id}/wait': 'read',
  'POST /v1/operations/{id}/cancel': 'operate',

  'GET /v1/groups': 'read',
  'GET /v1/groups/{name}': 'read',
  'PATCH /v1/groups/{name}': 'operate',
  'POST /v1/groups/{name}/pause': 'operate',
  'POST /v1/groups/{name}/resume': 'operate',
  'GET /v1/groups/{name}/why': 'read',
  'PUT /v1/groups/{name}/suspended': 'operate',
  'POST /v1/groups/{name}/refresh/pause': 'operate',
  'POST /v1/groups/{name}/refresh/resume': 'operate',
  'POST /v1/groups/{name}/refresh/rollback': 'operate',
  'POST /v1/groups/{name}/refresh/cancel': 'operate',
  // All that a guest's token can do.
  'POST /v1/groups/{name}/metrics/{metric}': 'post',
  'GET /v1/decisions': 'read',
  'GET /v1/decisions/{id}': 'read',
  'GET /v1/events': 'read',

  // Before anybody is let in; making a user asks for more itself: routes/users.
  'POST /v1/sign-in': 'open',
  'POST /v1/users': 'open',
  'POST /v1/sign-out': 'post',
  'GET /v1/whoami': 'read',
  'GET /v1/users': 'admin',
  'GET /v1/users/{name}': 'admin',
  'PATCH /v1/users/{name}': 'admin',
  'DELETE /v1/users/{name}': 'admin',
  'GET /v1/audit': 'admin',

  'GET /v1/tokens': 'admin',
  'POST /v1/tokens': 'admin',
  'DELETE /v1/tokens/{name}': 'admin',

  'GET /v1/sd/prometheus': 'read',
};

const SEED_WRITES: ReadonlySet<string> = new Set(['/vm/create', '/vm/destroy']);
const SEED_FAMILY = /^\/(?:vm|pm|image)(?:\/|$)/;

/** The seeds' calls: by path alone, whatever the method. Undefined: not one of their paths. */
export function seedScope(path: string): Scope | undefined {
  if (!SEED_FAMILY.test(path)) return undefined;
  return SEED_WRITES.has(path.replace(/\/+$/, '')) ? 'operate' : 'read';
}

/** The seeds change things with GET, too. */
export function isSeedWrite(path: string): boolean {
  return SEED_WRITES.has(path.replace(/\/+$/, ''));
}

/** A route as the document writes it, from how hono knows it (`/v1/vms/:id`). */
export function routeName(routePath: string): string {
  return routePath.replaceAll(/:([a-zA-Z]+)(?:\{[^}]*\})?/g, '{$1}');
}

/** Of a route as hono knows it (`/v1/vms/:id`). One that stands in no table is for admins: forgetting it must not open it. */
export function neededScope(method: string, routePath: string): Needed {
  return SCOPES[`${method} ${routeName(routePath)}`] ?? 'admin';
}
