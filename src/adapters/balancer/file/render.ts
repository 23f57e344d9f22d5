// The file that a balancer is told to read: a `backend` section for HAProxy, an `upstream` for nginx. Pure.
// Not here: writing it, making the balancer read it (file-balancer).

import { isIPv6 } from 'node:net';
import type { BalancerServer } from '../../../ports/balancer.ts';
import { serverNameOf } from '../server-name.ts';

export type FileFormat = 'haproxy' | 'nginx';

/** The first line of each: a file without it is somebody else's. */
export const FILE_HEAD =
  '# Written by virtscale. Changes are lost: it writes this file anew when servers come or go.\n';

/** nginx refuses an upstream without servers. This one is never asked: clients get 502, as with HAProxy's 503. */
const NGINX_NOBODY = '    server 127.0.0.1:1 down;\n';

/** The same servers in any order give the same text. */
export function renderServers(format: FileFormat, backend: string, servers: readonly BalancerServer[]): string {
  const sorted = servers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return FILE_HEAD + (format === 'haproxy' ? haproxyBackend(backend, sorted) : nginxUpstream(backend, sorted));
}

/** How servers are chosen, checked and retried is said in HAProxy's own `defaults`. Weight 0 is HAProxy's word for draining. */
function haproxyBackend(backend: string, servers: readonly BalancerServer[]): string {
  const lines = servers.map(
    ({ name, state, ...where }) =>
      `    server ${serverNameOf(name)} ${addressOf(where)} check${state === 'drain' ? ' weight 0' : ''}\n`,
  );
  return `backend ${backend}\n${lines.join('')}`;
}

/** nginx's `drain` costs money; with `down` the old workers finish what they have, and the new ones send nothing there. */
function nginxUpstream(backend: string, servers: readonly BalancerServer[]): string {
  const lines = servers.map(
    ({ name, state, ...where }) =>
      `    server ${addressOf(where)}${state === 'drain' ? ' down' : ''}; # ${serverNameOf(name)}\n`,
  );
  return `upstream ${backend} {\n${lines.join('') || NGINX_NOBODY}}\n`;
}

function addressOf({ address, port }: Pick<BalancerServer, 'address' | 'port'>): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
