// For a group of listed domains: which of them are started next. First listed, first started. Not here: how many (reconcile).

import type { Choice } from '../decision.ts';
import type { DomainObservation, HostName, Snapshot } from '../model.ts';
import type { ListedDomain } from '../policy.ts';

/** Listed domains that can be started now, in the order of the list, and what became of all that were looked at. */
export interface Picked {
  readonly domains: readonly {
    readonly host: HostName;
    readonly name: string;
    readonly uuid: string;
    readonly address?: string;
  }[];
  readonly choices: readonly Choice[];
}

/** `taken`: uuids of domains that have a record or were chosen a moment ago for another group. */
export function pickListed(
  snapshot: Snapshot,
  listed: readonly ListedDomain[],
  count: number,
  taken: ReadonlySet<string>,
): Picked {
  const byName = domainsByName(snapshot, new Set(listed.map(({ name }) => name)));
  const domains: Picked['domains'][number][] = [];
  const choices: Choice[] = [];
  for (const { name, address } of listed) {
    if (domains.length >= count) break;
    const found = byName.get(name) ?? [];
    const free = found.find(({ domain }) => refusal(domain, taken) === undefined);
    const first = found[0];
    if (free !== undefined) {
      domains.push({ host: free.host, name, uuid: free.domain.uuid, ...(address !== undefined && { address }) });
      choices.push({ name, chosen: true, text: `started on host ${free.host}` });
    } else {
      const text = first ? refusal(first.domain, taken) : 'no host that answers has a domain of this name';
      choices.push({ name, chosen: false, text: text ?? '' });
    }
  }
  return { domains, choices };
}

function refusal(domain: DomainObservation, taken: ReadonlySet<string>): string | undefined {
  if (taken.has(domain.uuid)) return 'in use already';
  if (domain.metadata) {
    const { group } = domain.metadata;
    const whose = group === undefined ? 'virtscale' : `group ${group}`;
    return `a VM that ${whose} looks after, not a domain of your own`;
  }
  if (domain.state === 'running') return 'runs already';
  return domain.state === 'unknown' ? 'its state is not known' : undefined;
}

function domainsByName(
  snapshot: Snapshot,
  names: ReadonlySet<string>,
): ReadonlyMap<string, { readonly host: HostName; readonly domain: DomainObservation }[]> {
  const byName = new Map<string, { host: HostName; domain: DomainObservation }[]>();
  for (const host of snapshot.hosts) {
    if (host.state !== 'up') continue;
    for (const domain of host.last?.domains ?? []) {
      if (!names.has(domain.name)) continue;
      const found = byName.get(domain.name) ?? [];
      found.push({ host: host.name, domain });
      byName.set(domain.name, found);
    }
  }
  return byName;
}
