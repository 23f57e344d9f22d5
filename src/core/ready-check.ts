// What can be read off a readiness check. Not here: carrying it out (ports/prober, ports/hypervisor).

import type { ReadyCheck } from './model.ts';

/** The guest's port that clients use; undefined for a check by agent, which says nothing of ports. */
export function portOf(check: ReadyCheck): number | undefined {
  if ('http' in check) return check.http.port;
  return 'tcp' in check ? check.tcp.port : undefined;
}
