// Whether the fake engine takes a request for VMs, and which host gets the next one: goes round, and takes the first with room.
// Not here: real placement (src/core/placement), making VMs (fake-fabric).

import type { Choice } from '../../src/core/decision.ts';
import type { Flavor } from '../../src/core/model.ts';
import type { CreateRequest, Fabric, HostStatus } from '../../src/engine/view.ts';
import { conflict, type Refusal } from './fake-catalog.ts';

type Fleet = Pick<Fabric, 'hosts' | 'vms' | 'image' | 'flavors'>;

/** What is wrong with the request in itself. */
export function refusalOf(fleet: Fleet, request: CreateRequest, names: readonly string[]): Refusal | undefined {
  const invalid = (where: string, reason: string): Refusal => ({ ok: false, refused: 'invalid', where, reason });
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/.test(request.name)) return invalid('name', 'this is no name for a VM');
  const flavor = fleet.flavors().find(({ name }) => name === request.flavor);
  if (flavor === undefined) return invalid('flavor', `there is no flavor ${request.flavor}`);
  if (request.image !== undefined && fleet.image(request.image)?.image === undefined) {
    return invalid('image', `there is no image ${request.image} that is ready`);
  }
  const taken = names.find((name) => fleet.vms().some(({ record }) => record.name === name));
  if (taken !== undefined) return { ...conflict(`there is a VM ${taken}`), where: 'name' };
  const hosts = fleet.hosts().map((host): Choice => {
    const fits = (host.capacity?.memoryMiB ?? 0) >= flavor.memoryMiB;
    return { name: host.name, chosen: false, text: fits ? 'fits' : `has less than ${flavor.memoryMiB} MiB` };
  });
  if (hosts.some(({ text }) => text === 'fits')) return undefined;
  return { ok: false, refused: 'no-capacity', reason: 'no host could ever hold it', where: 'flavor', hosts };
}

export class FakePlacement {
  readonly #fleet: Fleet;
  #lastHost = -1;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** Goes on from the host used last. */
  place(flavor: Flavor, wanted?: string): { readonly host?: string; readonly choices: readonly Choice[] } {
    const hosts = this.#fleet.hosts();
    const choices: Choice[] = [];
    for (let step = 1; step <= hosts.length; step++) {
      const at = (this.#lastHost + step) % hosts.length;
      const host = hosts[at];
      if (host === undefined) continue;
      const why = unfit(host, flavor, wanted);
      choices.push({ name: host.name, chosen: why === undefined, text: why ?? 'has room' });
      if (why !== undefined) continue;
      this.#lastHost = at;
      return { host: host.name, choices };
    }
    return { choices };
  }
}

function unfit(host: HostStatus, flavor: Flavor, wanted: string | undefined): string | undefined {
  if (wanted !== undefined && wanted !== host.name) return 'another host was asked for';
  if (host.traits.cordoned !== undefined) return `cordoned: ${host.traits.cordoned}`;
  if (host.condition === 'unreachable' || host.condition === 'connecting') return `is ${host.condition}`;
  const free = (host.capacity?.memoryMiB ?? 0) - host.runningMemoryMiB;
  return free < flavor.memoryMiB ? `${free} MiB free, ${flavor.memoryMiB} MiB needed` : undefined;
}
