// Placement said once more, as plainly as can be: no rooms, no claims, everything summed up anew for each VM from what stands on a host,
// hosts sorted by a list of numbers. Slow, and written without a look at the real one; the tests compare the two.

import type { HostView, ImageContent, PlacementRules, VmPhase, VmStep } from '../../src/core/model.ts';
import type { Need } from '../../src/core/placement/rooms.ts';

/** Something that stands, or will stand, on a host. */
export interface Thing {
  readonly host: string;
  readonly id?: number;
  readonly set?: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly diskGiB: number;
  readonly phase?: VmPhase;
  readonly step?: VmStep;
  readonly image?: ImageContent;
}

export interface OracleRequest {
  readonly need: Need;
  readonly count: number;
  readonly set: string;
  readonly rules: PlacementRules;
  readonly allOrNothing: boolean;
}

const GIB = 1024 ** 3;

/** `hosts` in the order of the configuration, all with traits. */
export function oracle(
  hosts: readonly HostView[],
  things: readonly Thing[],
  request: OracleRequest,
  lastHost: string | undefined,
): readonly string[] {
  const now = [...things];
  const chosen: string[] = [];
  let last = lastHost;
  for (let i = 0; i < request.count; i += 1) {
    const fitting = hosts.filter((host) => fits(host, now, request));
    const best = pick(request.rules.algorithm ?? 'least-loaded', fitting, hosts, now, request, last);
    if (best === undefined) break;
    chosen.push(best);
    last = best;
    const { vcpus, memoryMiB, diskGiB, image } = request.need;
    const claim = {
      host: best,
      set: request.set,
      vcpus,
      memoryMiB,
      diskGiB,
      phase: 'launching',
      step: 'intended',
    } as const;
    now.push(image === undefined ? claim : { ...claim, image });
  }
  return request.allOrNothing && chosen.length < request.count ? [] : chosen;
}

function fits(host: HostView, things: readonly Thing[], { need, set, rules }: OracleRequest): boolean {
  const { last, traits } = host;
  if (host.state !== 'up' || last === undefined || traits === undefined || traits.cordoned !== undefined) return false;
  const here = things.filter((thing) => thing.host === host.name);
  const total = totals(host);
  const ids = here.map(({ id }) => id);
  const allIds = things.map(({ id }) => id);
  const named = [...(rules.withVms ?? []), ...(rules.withoutVms ?? [])];
  const imageHere = here.some(
    ({ image, phase }) => image?.sha256 === need.image?.sha256 && phase !== undefined && phase !== 'removing',
  );
  const launchingMiB = sum(here.filter(({ phase }) => phase === 'launching').map(({ memoryMiB }) => memoryMiB));
  const imageGiB = need.image === undefined || imageHere ? 0 : need.image.fileBytes / GIB;
  const conditions = [
    last.capacity.cpus > 0 && last.capacity.memoryMiB > 0 && last.capacity.diskGiB > 0,
    rules.host === undefined || rules.host === host.name,
    Object.entries(rules.labels ?? {}).every(
      ([key, value]) => new Map(Object.entries(traits.labels)).get(key) === value,
    ),
    named.every((id) => allIds.includes(id)),
    (rules.withVms ?? []).every((id) => ids.includes(id)),
    !(rules.withoutVms ?? []).some((id) => ids.includes(id)),
    rules.apart !== true || !here.some((thing) => thing.set === set),
    sum(here.map(({ vcpus }) => vcpus)) + need.vcpus <= total.vcpus,
    sum(here.map(({ memoryMiB }) => memoryMiB)) + need.memoryMiB <= total.memoryMiB,
    sum(here.map(({ diskGiB }) => diskGiB)) + need.diskGiB <= total.diskGiB,
    last.capacity.memoryFreeMiB - launchingMiB >= need.memoryMiB,
    last.capacity.diskFreeGiB - comingGiB(here) - imageGiB > 0,
  ];
  return conditions.every(Boolean);
}

/** Images that launching VMs have yet to bring, each once. */
function comingGiB(here: readonly Thing[]): number {
  const arrived = here.filter(
    ({ phase, step }) => phase !== 'removing' && !(phase === 'launching' && step === 'intended'),
  );
  const has = new Set(arrived.map(({ image }) => image?.sha256));
  const coming = here.filter(({ phase, step }) => phase === 'launching' && step === 'intended');
  const missing = new Map<string, number>();
  for (const { image } of coming) {
    if (image !== undefined && !has.has(image.sha256)) missing.set(image.sha256, image.fileBytes / GIB);
  }
  return sum([...missing.values()]);
}

function totals({ last, traits }: HostView) {
  const times = (has = 0, kept = 0, ratio = 1) => (has > kept ? (has - kept) * ratio : 0);
  const { capacity } = last ?? {};
  const { overcommit, reserved } = traits ?? {};
  return {
    vcpus: times(capacity?.cpus, reserved?.vcpus, overcommit?.cpus),
    memoryMiB: times(capacity?.memoryMiB, reserved?.memoryMiB, overcommit?.memory),
    diskGiB: times(capacity?.diskGiB, reserved?.diskGiB, overcommit?.disk),
  };
}

function pick(
  algorithm: string,
  fitting: readonly HostView[],
  hosts: readonly HostView[],
  things: readonly Thing[],
  { need, set }: OracleRequest,
  lastHost: string | undefined,
): string | undefined {
  const lastPlace = hosts.findIndex(({ name }) => name === lastHost);
  const rows = fitting.map((host) => {
    const here = things.filter((thing) => thing.host === host.name);
    const total = totals(host);
    const used = {
      vcpus: sum(here.map(({ vcpus }) => vcpus)),
      memoryMiB: sum(here.map(({ memoryMiB }) => memoryMiB)),
      diskGiB: sum(here.map(({ diskGiB }) => diskGiB)),
    };
    const parts = (['vcpus', 'memoryMiB', 'diskGiB'] as const).filter((part) => total[part] > 0);
    const free = (part: (typeof parts)[number]) => total[part] - used[part];
    const place = hosts.indexOf(host);
    return {
      name: host.name,
      place,
      /** Steps from the last used one: the one itself is furthest away. */
      steps: place > lastPlace ? place - lastPlace : place - lastPlace + hosts.length,
      vms: here.filter((thing) => thing.set !== undefined).length,
      siblings: here.filter((thing) => thing.set === set).length,
      freeMiB: free('memoryMiB'),
      load: Math.max(0, ...parts.map((part) => (total[part] - free(part)) / total[part])),
      left: Math.max(
        0,
        ...parts.filter((part) => need[part] > 0).map((part) => (free(part) - need[part]) / total[part]),
      ),
      busy: host.last?.capacity.cpuRatio,
    };
  });
  type Row = (typeof rows)[number];
  const keys: Readonly<Record<string, (row: Row) => readonly number[]>> = {
    'least-loaded': (row) => [row.vms, -row.freeMiB, row.place],
    'first-fit': (row) => [row.place],
    'round-robin': (row) => [row.steps],
    fifo: (row) => [row.load, row.steps],
    threshold: (row) => [row.vms, -row.freeMiB, row.place],
    'best-fit': (row) => [row.left, row.place],
    spread: (row) => [row.siblings, row.vms, -row.freeMiB, row.place],
  };
  const able = algorithm === 'threshold' ? rows.filter(({ busy, load }) => (busy ?? load) <= 0.8) : rows;
  const key = keys[algorithm];
  if (key === undefined) throw new Error(`the oracle does not know ${algorithm}`);
  const sorted = able.toSorted((a, b) => {
    const [left, right] = [key(a), key(b)];
    const at = left.findIndex((value, index) => value !== right[index]);
    return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
  });
  return sorted[0]?.name;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
