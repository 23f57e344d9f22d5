// The calls about users for the contract of the OpenAPI document: each with success and with failure. Not here: running them (contract).

import { passwordOf, person, tokenOf } from './people.ts';

export const ADA = person('ada', { role: 'admin', quota: { vms: 3 } });
export const ADA_TOKEN = tokenOf('ada', 'admin', { signIn: true, expiresAt: '2999-01-01T00:00:00.000Z' });

const { headers } = ADA_TOKEN;
const password = passwordOf('new');

export const USER_CALLS = {
  'POST /v1/users': [
    { path: '/v1/users', body: { name: 'eve', password }, status: 201 },
    { path: '/v1/users', body: { name: 'eve', password, role: 'admin', quota: { vms: 2, vcpus: null } }, status: 201 },
    { path: '/v1/users', body: { name: 'ada', password }, status: 409 },
    { path: '/v1/users', body: { name: 'Eve', password }, status: 400 },
    { path: '/v1/users', body: { name: 'eve', password: 'short' }, status: 400 },
  ],
  'GET /v1/users': [
    { path: '/v1/users', status: 200 },
    { path: '/v1/users?x=1', status: 400 },
  ],
  'GET /v1/users/{name}': [
    { path: '/v1/users/ada', status: 200 },
    { path: '/v1/users/none', status: 404 },
  ],
  'PATCH /v1/users/{name}': [
    { path: '/v1/users/ada', body: { quota: { snapshots: 5, vms: null }, disabled: 'holiday' }, status: 200 },
    { path: '/v1/users/ada', body: { password }, status: 200 },
    { path: '/v1/users/ada', headers, body: { password, oldPassword: passwordOf('ada') }, status: 200 },
    { path: '/v1/users/ada', headers, body: { password }, status: 400 },
    { path: '/v1/users/ada', headers, body: { password, oldPassword: 'wrong' }, status: 401 },
    { path: '/v1/users/ada', body: {}, status: 400 },
    { path: '/v1/users/none', body: { role: 'user' }, status: 404 },
  ],
  'DELETE /v1/users/{name}': [
    { path: '/v1/users/ada', status: 204 },
    { path: '/v1/users/none', status: 404 },
  ],
  'POST /v1/sign-in': [
    { path: '/v1/sign-in', body: { name: 'ada', password: passwordOf('ada'), expiresIn: '1h' }, status: 200 },
    { path: '/v1/sign-in', body: { name: 'ada', password: 'wrong' }, status: 401 },
    { path: '/v1/sign-in', body: { name: 'none', password: 'wrong' }, status: 401 },
  ],
  'POST /v1/sign-out': [
    { path: '/v1/sign-out', headers, status: 204 },
    { path: '/v1/sign-out', status: 409 },
  ],
  'GET /v1/whoami': [
    { path: '/v1/whoami', status: 200 },
    { path: '/v1/whoami', headers, status: 200 },
    { path: '/v1/whoami?x=1', status: 400 },
  ],
  'GET /v1/audit': [
    { path: '/v1/audit?limit=1&who=ada', status: 200 },
    { path: '/v1/audit?limit=0', status: 400 },
  ],
} as const;
