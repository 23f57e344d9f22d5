// The seeds' eight calls: what each takes, does and answers, key by key as those clients read it.
// Not here: paths, methods and guards (routes/seeds), how arguments are read (arguments).

import type { Caller, CommandResult, Fabric, HostStatus, OperationStatus } from '../../engine/view.ts';
import { answered } from '../routes/route-parts.ts';
import { idArgument, optionalIdArgument, type SeedArguments, SeedRefusal, textArgument } from './arguments.ts';

/** Who asks for a change, and whether he still waits for it. */
export interface SeedRequest {
  readonly caller: Caller;
  readonly signal: AbortSignal;
}

type Reading = {
  readonly writes: false;
  readonly answer: (fabric: Fabric, given: SeedArguments) => object;
};
type Writing = {
  readonly writes: true;
  readonly answer: (fabric: Fabric, given: SeedArguments, request: SeedRequest) => Promise<object>;
};

export type SeedCall = (Reading | Writing) & {
  /** The key that is 0 when it fails; without one the whole answer is 0. */
  readonly fails?: 'vmid' | 'status' | 'pmid' | 'vmids';
};

/** By path, without a slash at the end. */
export const SEED_CALLS: ReadonlyMap<string, SeedCall> = new Map<string, SeedCall>([
  ['/vm/create', { writes: true, fails: 'vmid', answer: createVm }],
  ['/vm/query', { writes: false, fails: 'vmid', answer: queryVm }],
  ['/vm/destroy', { writes: true, fails: 'status', answer: destroyVm }],
  ['/vm/types', { writes: false, answer: listTypes }],
  ['/pm/list', { writes: false, answer: (fabric) => ({ pmids: byId(fabric.hosts()).map(({ id }) => id) }) }],
  ['/pm/listvms', { writes: false, fails: 'vmids', answer: listVms }],
  ['/pm/query', { writes: false, fails: 'pmid', answer: queryPm }],
  [
    '/image/list',
    { writes: false, answer: (fabric) => ({ images: byId(fabric.images()).map(({ id, name }) => ({ id, name })) }) },
  ],
]);

/** Bringing a large image to a host for the first time is part of it. */
const WAIT_MS = 600_000;
/** After giving up: until it is clear what became of it. */
const CANCEL_WAIT_MS = 10_000;

async function createVm(fabric: Fabric, given: SeedArguments, { caller, signal }: SeedRequest): Promise<object> {
  const name = textArgument(given, 'name');
  const flavor = flavorOf(fabric, idArgument(given, 'instance_type'));
  const image = imageOf(fabric, optionalIdArgument(given, 'image_id'));
  const begun = accepted(await answered('asking for the VM', fabric.createVms({ name, flavor, image }, caller)));
  const { id } = begun.operation;
  let status = await fabric.ended(id, WAIT_MS, signal);
  if (status?.operation.endedAt === undefined) {
    // The client is gone, or is told 0: in both cases nobody would know of the VM.
    await fabric.cancel(id, caller);
    status = await fabric.ended(id, CANCEL_WAIT_MS);
  }
  const vm = status?.operation.vms[0];
  if (status?.operation.state === 'succeeded' && vm !== undefined) return { vmid: vm.id };
  throw new SeedRefusal(failureText(id, status));
}

function queryVm(fabric: Fabric, given: SeedArguments): object {
  const vmid = idArgument(given, 'vmid');
  const { record } = vmOf(fabric, vmid);
  const type = fabric.flavors().find(({ name }) => name === record.flavor?.name);
  return { vmid, name: record.name, instance_type: type?.id ?? 0, pmid: fabric.host(record.host)?.id ?? 0 };
}

async function destroyVm(fabric: Fabric, given: SeedArguments, { caller, signal }: SeedRequest): Promise<object> {
  const vmid = idArgument(given, 'vmid');
  const { record } = vmOf(fabric, vmid);
  if (record.kind === 'adopted' || record.kind === 'existing') {
    throw new SeedRefusal(
      `VM ${vmid} is a domain that somebody else made: virtscale looks after it and never removes it`,
    );
  }
  const begun = accepted(await answered('asking for the end of the VM', fabric.deleteVm(vmid, caller)));
  const { id } = begun.operation;
  const status = await fabric.ended(id, WAIT_MS, signal);
  if (status?.operation.state === 'succeeded') return { status: 1 };
  throw new SeedRefusal(failureText(id, status));
}

function listTypes(fabric: Fabric): object {
  const types = byId(fabric.flavors()).map(({ id, vcpus, memoryMiB, diskGiB }) => {
    // What a VM is given is rounded up: a client that adds types up must not promise more than there is.
    return { tid: id, cpu: vcpus, ram: Math.ceil(memoryMiB), disk: Math.ceil(diskGiB ?? 0) };
  });
  return { types };
}

function listVms(fabric: Fabric, given: SeedArguments): object {
  return { vmids: fabric.vmIdsOn(hostOf(fabric, given).name) };
}

function queryPm(fabric: Fabric, given: SeedArguments): object {
  const host = hostOf(fabric, given);
  const { capacity } = host;
  if (capacity === undefined || host.condition === 'connecting' || host.condition === 'unreachable') {
    const why = host.reason === undefined ? '' : `: ${host.reason}`;
    throw new SeedRefusal(
      host.condition === 'unreachable'
        ? `${host.name} does not answer${why}`
        : `${host.name} has not answered yet${why}`,
    );
  }
  return {
    pmid: host.id,
    capacity: {
      cpu: capacity.cpus,
      ram: Math.floor(capacity.memoryMiB),
      disk: Math.floor(capacity.diskGiB),
    },
    free: {
      cpu: Math.max(0, capacity.cpus - host.runningVcpus),
      ram: Math.floor(capacity.memoryFreeMiB),
      disk: Math.floor(capacity.diskFreeGiB),
    },
    vms: host.running,
  };
}

function hostOf(fabric: Fabric, given: SeedArguments): HostStatus {
  const pmid = idArgument(given, 'pmid');
  const host = fabric.hostById(pmid);
  if (host === undefined) throw new SeedRefusal(`there is no physical machine ${pmid}; /pm/list lists them`);
  return host;
}

function vmOf(fabric: Fabric, vmid: number) {
  const vm = fabric.vm(vmid);
  if (vm === undefined) throw new SeedRefusal(`there is no VM ${vmid}; ids are not reused after a removal`);
  return vm;
}

function flavorOf(fabric: Fabric, tid: number): string {
  const flavor = fabric.flavors().find(({ id }) => id === tid);
  if (flavor === undefined) throw new SeedRefusal(`there is no instance_type ${tid}; /vm/types lists them`);
  return flavor.name;
}

/** In the seeds' list of arguments it is missing, in their URL it is there: where there is only one, it need not be said. */
function imageOf(fabric: Fabric, imageId: number | undefined): string {
  const images = fabric.images();
  if (imageId === undefined) {
    const [only, ...others] = images;
    if (only !== undefined && others.length === 0) return only.name;
    throw new SeedRefusal(
      only === undefined ? 'there are no images' : 'image_id is missing; /image/list lists the images to choose from',
    );
  }
  const image = images.find(({ id }) => id === imageId);
  if (image === undefined) throw new SeedRefusal(`there is no image_id ${imageId}; /image/list lists them`);
  return image.name;
}

/** The same order after a restart and when lines of the files have moved. */
function byId<T extends { readonly id: number }>(things: readonly T[]): readonly T[] {
  return things.toSorted((a, b) => a.id - b.id);
}

function accepted<T>(result: CommandResult<T>): T {
  if (result.ok) return result.value;
  throw new SeedRefusal(withHosts(result.reason, result.hosts));
}

function failureText(id: string, status: OperationStatus | undefined): string {
  if (status === undefined) return `what became of operation ${id} is not known any more`;
  const { state, failure } = status.operation;
  if (failure !== undefined) return withHosts(failure.detail, failure.hosts);
  if (state === 'cancelled') return 'it was cancelled';
  return `it is not done yet and goes on as operation ${id}`;
}

function withHosts(detail: string, hosts: readonly { readonly name: string; readonly text: string }[] = []): string {
  return [detail, ...hosts.map(({ name, text }) => `${name}: ${text}`)].join('; ');
}
