// What the configuration says about hosts for placement, with every default filled in.
// Not here: reading it (daemon-file), loading modules (src/placements.ts).

import type { HostName, HostTraits } from '../core/model.ts';
import { DEFAULT_TRAITS } from '../core/placement/rooms.ts';
import type { DaemonConfig } from './daemon-config.ts';

type Configured = Pick<DaemonConfig, 'hosts' | 'placement'>;

/** Of every host, in the order of the configuration. A host's own overcommit comes before that of `placement:`. */
export function hostTraitsOf({ hosts, placement }: Configured): ReadonlyMap<HostName, HostTraits> {
  return new Map(
    hosts.map(({ name, labels = {}, reserved, overcommit }, index): [HostName, HostTraits] => [
      name,
      {
        index,
        labels,
        overcommit: { ...DEFAULT_TRAITS.overcommit, ...placement?.overcommit, ...overcommit },
        reserved: { ...DEFAULT_TRAITS.reserved, ...reserved },
      },
    ]),
  );
}
