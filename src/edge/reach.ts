// What a user (role `user`) reaches of the HTTP API: the one decision per call that every new call needs. What stands in no line is the
// operator's: forgetting a line closes, and a test goes through the API's document and fails for a call without one.
// Not here: which scope an operator's token needs (scopes), what he sees of what he reaches (visibility).

import type { Scope } from '../core/catalog.ts';

/**
 * A scope: his tokens need it, and the call answers of what is his (and of what is shared) alone. `operator`: 403, whatever is asked for.
 * `open`: for everybody, as in the table of scopes.
 */
export type Reach = Scope | 'operator' | 'open';

/** By method and path as the OpenAPI document writes them. */
export const USER_REACH: Readonly<Record<string, Reach>> = {
  'GET /': 'open',
  'GET /healthz': 'open',
  'GET /readyz': 'open',
  'GET /v1/docs': 'open',
  'GET /v1/openapi.json': 'open',
  // Whoever scrapes looks after the hosts: one page for all.
  'GET /metrics': 'operator',

  'POST /v1/sign-in': 'open',
  'POST /v1/sign-out': 'post',
  'GET /v1/whoami': 'read',
  'POST /v1/users': 'open',
  'GET /v1/users': 'read',
  'GET /v1/users/{name}': 'read',
  'PATCH /v1/users/{name}': 'operate',
  'DELETE /v1/users/{name}': 'operate',
  'GET /v1/tokens': 'operate',
  'POST /v1/tokens': 'operate',
  'DELETE /v1/tokens/{name}': 'operate',
  'GET /v1/audit': 'operator',

  // As if there were nobody else on them.
  'GET /v1/hosts': 'read',
  'GET /v1/hosts/{name}': 'read',
  'PATCH /v1/hosts/{name}': 'operator',
  'POST /v1/hosts/{name}/drain': 'operator',
  'POST /v1/hosts/{name}/undrain': 'operator',
  'GET /v1/rebalance': 'operator',
  'POST /v1/rebalance': 'operator',

  'GET /v1/vms': 'read',
  'POST /v1/vms': 'operate',
  // Domains that somebody else made are not his.
  'POST /v1/vms/adopt': 'operator',
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
  'POST /v1/vms/{id}/migrate': 'operate',
  'GET /v1/vms/{id}/console': 'operate',
  'GET /v1/vms/{id}/addresses': 'read',
  'GET /v1/vms/{id}/hardware': 'read',
  'PATCH /v1/vms/{id}/hardware': 'operate',
  'POST /v1/vms/{id}/interfaces': 'operate',
  'DELETE /v1/vms/{id}/interfaces/{mac}': 'operate',
  'GET /v1/vms/{id}/snapshots': 'read',
  'POST /v1/vms/{id}/snapshots': 'operate',
  'GET /v1/vms/{id}/snapshots/{name}': 'read',
  'DELETE /v1/vms/{id}/snapshots/{name}': 'operate',
  'POST /v1/vms/{id}/snapshots/{name}/revert': 'operate',
  'POST /v1/snapshots': 'operate',
  'GET /v1/sd/prometheus': 'read',

  'GET /v1/clusters': 'read',
  'POST /v1/clusters': 'operate',
  'GET /v1/clusters/{name}': 'read',
  'DELETE /v1/clusters/{name}': 'operate',
  'POST /v1/clusters/{name}/nodes': 'operate',
  'DELETE /v1/clusters/{name}/nodes/{node}': 'operate',
  'POST /v1/clusters/{name}/exec': 'operate',
  'PUT /v1/clusters/{name}/files': 'operate',

  'GET /v1/images': 'read',
  'GET /v1/images/{name}': 'read',
  'PUT /v1/images/{name}': 'operate',
  // The daemon would fetch from where only it reaches.
  'POST /v1/images': 'operator',
  'DELETE /v1/images/{name}': 'operate',
  'GET /v1/flavors': 'read',
  'GET /v1/flavors/{name}': 'read',

  'GET /v1/operations': 'read',
  'GET /v1/operations/{id}': 'read',
  'GET /v1/operations/{id}/wait': 'read',
  'POST /v1/operations/{id}/cancel': 'operate',

  // Groups come of policy files: they are the operator's, and to a user as if there were none.
  'GET /v1/groups': 'read',
  'GET /v1/groups/{name}': 'read',
  'GET /v1/groups/{name}/why': 'read',
  'PATCH /v1/groups/{name}': 'operate',
  'POST /v1/groups/{name}/pause': 'operate',
  'POST /v1/groups/{name}/resume': 'operate',
  'PUT /v1/groups/{name}/suspended': 'operate',
  'POST /v1/groups/{name}/refresh/pause': 'operate',
  'POST /v1/groups/{name}/refresh/resume': 'operate',
  'POST /v1/groups/{name}/refresh/rollback': 'operate',
  'POST /v1/groups/{name}/refresh/cancel': 'operate',
  'POST /v1/groups/{name}/metrics/{metric}': 'post',
  'GET /v1/decisions': 'read',
  'GET /v1/decisions/{id}': 'read',
  'GET /v1/events': 'read',
};

/** Of a route as the document writes it. */
export function userReach(method: string, path: string): Reach {
  return USER_REACH[`${method} ${path}`] ?? 'operator';
}
