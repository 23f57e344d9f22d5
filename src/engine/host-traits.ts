// What is said about a host beside what libvirt says: configuration and cordons, joined. Pure.

import type { HostName, HostTraits } from '../core/model.ts';
import { DEFAULT_TRAITS } from '../core/placement/rooms.ts';
import type { FabricSettings } from './settings.ts';

export function traitsOf(
  host: HostName,
  index: number,
  settings: FabricSettings,
  cordons: ReadonlyMap<HostName, string>,
): HostTraits {
  const cordoned = cordons.get(host);
  return {
    ...DEFAULT_TRAITS,
    ...settings.traits.get(host),
    index,
    ...(cordoned !== undefined && { cordoned }),
  };
}
