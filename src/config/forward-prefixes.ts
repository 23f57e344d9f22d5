// Which addresses of 127.0.0.0/8 the hosts of one machine forward their guests' ports from: given out, and held apart.
// Not here: the single address of a VM below its host's prefix (the libvirt adapter chooses it).

import type { FileProblem } from './file-problem.ts';
import type { YamlText } from './yaml-text.ts';

/** 127.0.1, 127.0.2 … 127.0.255, 127.1.0 … without those of `chosen`; more than there can be hosts. */
export function* freeForwardPrefixes(chosen: readonly string[]): Generator<string, never> {
  for (let n = 1; n < 256 * 256; n += 1) {
    const prefix = `127.${Math.floor(n / 256)}.${n % 256}`;
    if (!chosen.includes(prefix)) yield prefix;
  }
  throw new Error('more hosts than prefixes of 127.0.0.0/8');
}

/** Hosts whose QEMUs run on this machine and that were given the same prefix: two VMs would be given one address. */
export function sharedForwardPrefixes(yaml: YamlText): readonly FileProblem[] {
  const { hosts } = yaml.value as { readonly hosts?: unknown };
  const owners = new Map<string, string>();
  const problems: FileProblem[] = [];
  for (const [index, raw] of (Array.isArray(hosts) ? (hosts as readonly unknown[]) : []).entries()) {
    const host = raw as { name?: unknown; uri?: unknown; network?: { forward?: unknown } | null } | null;
    const prefix = host?.network?.forward;
    if (typeof prefix !== 'string' || !isHere(host?.uri)) continue;
    const owner = owners.get(prefix);
    if (owner === undefined) owners.set(prefix, String(host?.name).slice(0, 100));
    else {
      const reason = `host ${owner} has ${prefix} already: give each host of this machine a prefix of its own`;
      problems.push(yaml.problem(['hosts', index, 'network', 'forward'], reason));
    }
  }
  return problems;
}

/** An embedded host, or a URI without a machine's name. */
function isHere(uri: unknown): boolean {
  return uri === undefined || (typeof uri === 'string' && /^[a-z]+(\+unix)?:\/\/\//i.test(uri));
}
