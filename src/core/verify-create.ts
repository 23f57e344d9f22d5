// Verifies a request for VMs, the first of the four steps a request takes: what is refused here never becomes an operation.
// Pure. Not here: placing (placement/), and what only a host can say.

import type { CatalogImage } from './catalog.ts';
import type { Choice } from './decision.ts';
import { SSH_KEYS_MAX, sshKeyProblem, userDataProblem } from './guest-setup.ts';
import type { Flavor, HostView, Image, ReadyCheck } from './model.ts';
import type { CreateRequest, CreateVms } from './operation.ts';
import { couldEverHold, needOf } from './placement/place.ts';
import { portOf } from './ready-check.ts';
import { overQuota, type Quota, type QuotaAmounts } from './user.ts';

export type { Quota };

export interface VerifyContext {
  readonly flavors: readonly Flavor[];
  readonly images: ReadonlyMap<string, CatalogImage>;
  /** Names of all VMs there are or will be, and of the domains seen on hosts. */
  readonly taken: ReadonlySet<string>;
  readonly hosts: readonly HostView[];
  /** Names of the placement algorithms there are. */
  readonly algorithms: readonly string[];
  readonly quota: Quota;
  /** What the caller has already, VMs that are still queued included. */
  readonly used: QuotaAmounts;
}

export type Verdict =
  | { readonly ok: true; readonly create: CreateVms }
  | {
      readonly ok: false;
      readonly refused: 'not-found' | 'invalid' | 'conflict' | 'no-capacity';
      readonly reason: string;
      readonly where: string;
      readonly hosts?: readonly Choice[];
    };

export const VMS_PER_REQUEST = 500;
/** Fits a host name, a file name and a libvirt domain's name, and needs quoting nowhere. */
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const GIB = 1024 ** 3;
/** Until it runs; an image that has to be brought first does not count. Real images under emulation boot for half a minute. */
const LAUNCH_DEADLINE_MS = 600_000;

export function verifyCreate(request: CreateRequest, context: VerifyContext): Verdict {
  return (
    verifyNames(request, context) ??
    verifyGuest(request) ??
    verifyPlacement(request, context) ??
    verifyMeans(request, context)
  );
}

type Refusal = Extract<Verdict, { ok: false }>;

function no(refused: Refusal['refused'], where: string, reason: string): Refusal {
  return { ok: false, refused, where, reason };
}

function verifyNames(request: CreateRequest, { taken }: VerifyContext): Refusal | undefined {
  const names = namesOf(request);
  const { count = names.length } = request;
  if (!Number.isInteger(count) || count < 1 || count > VMS_PER_REQUEST) {
    return no('invalid', 'count', `count must be a whole number from 1 to ${VMS_PER_REQUEST}`);
  }
  if (!names.every((one) => NAME.test(one))) {
    const reason =
      'a name has 1 to 63 letters a–z, digits, dots, hyphens and underscores, and begins and ends with a letter or digit';
    return no('invalid', 'name', reason);
  }
  const known = names.find((one) => taken.has(one));
  return known === undefined ? undefined : no('conflict', 'name', `there is a VM or a domain named ${known} already`);
}

/** One name as it is; several with a number each, or as they were given. */
function namesOf({ name, count = 1, names }: CreateRequest): readonly string[] {
  if (names !== undefined) return names;
  return count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}

function verifyGuest({ sshKeys = [], userData, ready }: CreateRequest): Refusal | undefined {
  if (sshKeys.length > SSH_KEYS_MAX) return no('invalid', 'sshKeys', `at most ${SSH_KEYS_MAX} keys`);
  for (const [index, key] of sshKeys.entries()) {
    const problem = sshKeyProblem(key);
    if (problem !== undefined) return no('invalid', `sshKeys.${index}`, problem);
  }
  const problem = userData === undefined ? undefined : userDataProblem(userData);
  if (problem !== undefined) return no('invalid', 'userData', problem);
  return ready && verifyReady(ready);
}

function verifyReady(ready: ReadyCheck): Refusal | undefined {
  const port = portOf(ready);
  const kind = 'http' in ready ? 'http' : 'tcp';
  const isPort = port === undefined || (port >= 1 && port <= 65_535);
  const isPath = !('http' in ready) || ready.http.path.startsWith('/');
  if (isPort && isPath) return undefined;
  const path = kind === 'http' ? ' and a path that begins with /' : '';
  return no('invalid', `ready.${kind}`, `needs a port from 1 to 65535${path}`);
}

function verifyPlacement({ placement = {} }: CreateRequest, { algorithms, hosts }: VerifyContext): Refusal | undefined {
  const { algorithm, host } = placement;
  if (algorithm !== undefined && !algorithms.includes(algorithm)) {
    return no(
      'invalid',
      'placement.algorithm',
      `there is no algorithm ${algorithm}; there are: ${algorithms.join(', ')}`,
    );
  }
  if (host !== undefined && !hosts.some(({ name }) => name === host)) {
    return no('invalid', 'placement.host', `there is no host ${host}`);
  }
  return undefined;
}

/** Flavor, image, quota, and whether any host could ever hold such a VM. */
function verifyMeans(request: CreateRequest, context: VerifyContext): Verdict {
  const { ready, sshKeys = [], userData, placement = {}, allOrNothing = false } = request;
  const names = namesOf(request);
  const count = names.length;
  const flavor = flavorOf(request, context);
  if ('ok' in flavor) return flavor;
  const source = sourceOf(request.image, flavor, context.images);
  if ('ok' in source) return source;
  const need = needOf(flavor, source.image);
  const over = overQuota(context, context.used, {
    vms: count,
    vcpus: count * need.vcpus,
    memoryMiB: count * need.memoryMiB,
    diskGiB: count * need.diskGiB,
  });
  if (over !== undefined) return no('conflict', 'count', over.reason);
  const never = couldEverHold(context.hosts, { need, count: 1, set: '', rules: placement });
  if (never !== undefined) {
    const reason = `no host could ever hold a VM of flavor ${flavor.name}, not even an empty one`;
    return { ...no('no-capacity', 'flavor', reason), hosts: never };
  }
  const guest = sshKeys.length > 0 || userData !== undefined;
  return {
    ok: true,
    create: {
      names,
      flavor,
      ...source,
      ...(ready && { ready }),
      ...(guest && { cloudInit: { sshKeys, ...(userData !== undefined && { userData }) } }),
      placement,
      allOrNothing,
      launchDeadlineMs: LAUNCH_DEADLINE_MS,
    },
  };
}

/** What is told of a VM whose amounts were given by themselves. */
const OWN_AMOUNTS = 'custom';

function flavorOf(request: CreateRequest, { flavors }: VerifyContext): Flavor | Refusal {
  const { flavor } = request;
  if (typeof flavor !== 'string') return withRoom({ name: OWN_AMOUNTS, ...flavor }, request);
  const known = flavors.find(({ name }) => name === flavor);
  if (known !== undefined) return withRoom(known, request);
  const names = flavors.map(({ name }) => name).join(', ');
  return no('invalid', 'flavor', `there is no flavor ${flavor}; there are: ${names || 'none'}`);
}

/** The flavor with the room above it that was asked for. */
function withRoom(flavor: Flavor, { maxMemoryMiB, maxVcpus, spareNics }: CreateRequest): Flavor | Refusal {
  if ((maxVcpus ?? flavor.vcpus) < flavor.vcpus) {
    return no('invalid', 'maxVcpus', `flavor ${flavor.name} has ${flavor.vcpus} vCPUs; maxVcpus is at least as many`);
  }
  if ((maxMemoryMiB ?? flavor.memoryMiB) < flavor.memoryMiB) {
    const reason = `flavor ${flavor.name} has ${flavor.memoryMiB} MiB; maxMemoryMiB is at least as much`;
    return no('invalid', 'maxMemoryMiB', reason);
  }
  return {
    ...flavor,
    ...(maxVcpus !== undefined && { maxVcpus }),
    ...(maxMemoryMiB !== undefined && { maxMemoryMiB }),
    ...(spareNics !== undefined && { spareNics }),
  };
}

function sourceOf(
  name: string | undefined,
  flavor: Flavor,
  images: ReadonlyMap<string, CatalogImage>,
): Pick<CreateVms, 'image' | 'awaitsImage'> | Refusal {
  if (name === undefined) {
    if (flavor.diskGiB !== undefined) return {};
    return no(
      'invalid',
      'image',
      `flavor ${flavor.name} has no disk of its own: name an image, or a flavor with a disk`,
    );
  }
  const known = images.get(name);
  if (known === undefined) {
    const names = [...images.keys()].join(', ');
    return no('invalid', 'image', `there is no image ${name}; there are: ${names || 'none'}`);
  }
  if (known.state === 'failed') {
    return no('conflict', 'image', `image ${name} could not be had: ${known.reason ?? 'no reason given'}`);
  }
  if (known.image === undefined) return { awaitsImage: name };
  const reason = tooSmall(flavor, known.image);
  return reason === undefined ? { image: known.image } : no('invalid', 'flavor', reason);
}

/** Why this flavor's disk cannot hold the image. */
export function tooSmall(flavor: Flavor, image: Image): string | undefined {
  const { virtualBytes = 0 } = image.content ?? {};
  if (flavor.diskGiB === undefined || flavor.diskGiB * GIB >= virtualBytes) return undefined;
  const wanted = Math.ceil((virtualBytes / GIB) * 100) / 100;
  return `the disk of flavor ${flavor.name} has ${flavor.diskGiB} GiB, but image ${image.name} needs ${wanted} GiB`;
}
