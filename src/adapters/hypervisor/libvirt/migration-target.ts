// What a host makes ready for a VM that moves to it: volumes of the same names, an address, the XML as it will be here.
// Not here: the moving itself (migration).

import type { Endpoint } from '../../../core/model.ts';
import { type CallOptions, ErrorCode, isLibvirtError, type LibvirtClient } from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { MigrationArrival, MigrationOrder, MigrationSource } from '../../../ports/migration.ts';
import { cloudInitFiles } from '../../images/cloud-init.ts';
import { seedIso } from '../../images/seed-iso.ts';
import type { AccelSource } from './accel-source.ts';
import type { Definitions } from './definitions.ts';
import type { GuestNetwork } from './domain-xml.ts';
import type { HostPool } from './host-pool.ts';
import { networkText, xmlForTarget } from './migration-xml.ts';
import type { PlacedImages } from './placed-images.ts';
import type { PoolVolumes } from './pool-volumes.ts';
import { type Backing, diskXml, fileXml } from './volume-xml.ts';

/** Left free beside what is copied. */
const SPARE_BYTES = 16 * 1024 * 1024;

export interface MigrationTargetParts {
  readonly host: string;
  readonly uri: string;
  readonly work: LibvirtClient;
  readonly pool: HostPool;
  readonly volumes: PoolVolumes;
  readonly images: PlacedImages;
  readonly definitions: Definitions;
  readonly network: GuestNetwork;
  readonly accel: AccelSource;
}

export async function prepareArrival(
  order: MigrationOrder,
  parts: MigrationTargetParts,
  call: CallOptions & { readonly signal: AbortSignal },
): Promise<MigrationArrival> {
  const { source } = order;
  await mustTake(source, parts, call);
  const pool = await parts.pool.need(call);
  const folder = await parts.pool.folder(pool, call);
  if (order.disks !== 'shared') await makeVolumes(order, parts, call);
  const endpoint = await chosenEndpoint(source, parts, call);
  const at = { folder, ...(endpoint && { endpoint }) };
  return {
    uri: parts.uri,
    ...(endpoint && { endpoint }),
    xml: xmlForTarget(source.xml, source, at),
    persistentXml: xmlForTarget(source.persistentXml, source, at),
  };
}

async function mustTake(source: MigrationSource, parts: MigrationTargetParts, call: CallOptions): Promise<void> {
  const { accel, host, network, work } = parts;
  const domains = await work.listDomains(0, call);
  const taken = domains.find(({ name, uuid }) => name === source.name || uuid === source.uuid);
  if (taken !== undefined) {
    const what = `${source.name} (${source.uuid}) cannot come: there is ${taken.name} (${taken.uuid})`;
    throw new Fault('conflict', `host ${host}: ${what}`, {
      advice: `Rename or remove that domain (virsh undefine ${taken.name}), if it is not needed.`,
    });
  }
  if (networkText(network) !== source.network) {
    const what = `its guests have the network "${networkText(network)}", those of the other host "${source.network}"`;
    throw new Fault('refused', `host ${host}: ${what}`, { advice: 'Give both hosts the same network.' });
  }
  if (network.kind === 'network') await mustHaveNetwork(network.name, parts, call);
  const { kind } = await accel.get(call.signal);
  if (kind === source.accel) return;
  const what = `its guests run by ${kind}, that one by ${source.accel}`;
  throw new Fault('refused', `host ${host}: ${what}`, { advice: 'Shut it down and make it anew there.' });
}

async function mustHaveNetwork(name: string, { host, work }: MigrationTargetParts, call: CallOptions): Promise<void> {
  try {
    await work.call('NETWORK_LOOKUP_BY_NAME', { name }, call);
  } catch (error) {
    if (!isLibvirtError(error, ErrorCode.NO_NETWORK)) throw error;
    throw new Fault('refused', `host ${host}: there is no network ${name}`, {
      advice: `Make it: virsh net-define, virsh net-start ${name}.`,
    });
  }
}

async function makeVolumes(order: MigrationOrder, parts: MigrationTargetParts, call: CallOptions): Promise<void> {
  const { pool: hostPool, volumes, work } = parts;
  const { source } = order;
  const pool = await hostPool.need(call);
  await hostPool.refreshIfPossible(pool, call);
  const { availableBytes } = await work.poolInfo(pool, call);
  const needBytes = source.disks.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, SPARE_BYTES);
  if (availableBytes < needBytes) throw hostPool.full();
  const below = await backingOf(order, parts, call);
  for (const { capacityBytes, volume } of source.disks) {
    await volumes.replace(pool, volume, diskXml(volume, below, capacityBytes), call);
  }
  for (const volume of source.readOnly) {
    if (order.cloudInit === undefined) {
      throw hostPool.refused(`nobody knows what is in ${volume}, which the guest reads`, 'Take it out of the VM.');
    }
    const seed = seedIso(cloudInitFiles({ ...order.cloudInit, instanceId: source.uuid }));
    const made = await volumes.replace(pool, volume, fileXml(volume, seed.length), call);
    await work.uploadVolume(made, { length: seed.length }, once(seed), call);
  }
}

/** Only of the first disk: the others were empty when they were made, and are copied whole all the same. */
async function backingOf(
  { disks, image, source }: MigrationOrder,
  { images, pool }: MigrationTargetParts,
  call: CallOptions,
): Promise<Backing | undefined> {
  if (disks !== 'changes') return undefined;
  if (image === undefined || source.disks.length !== 1) {
    throw new Error(`${source.name} is to be copied over an image, and has ${source.disks.length} disks`);
  }
  const path = await images.pathOf(image, call);
  if (path !== undefined) return { path, format: image.format };
  throw pool.refused(`the image below ${source.name} (${image.sha256}) is not on this host`, 'It is brought first.');
}

async function chosenEndpoint(
  { uuid }: MigrationSource,
  { definitions, network }: MigrationTargetParts,
  call: CallOptions,
): Promise<Endpoint | undefined> {
  return network.kind === 'forward' ? definitions.reserve(uuid, network, call) : undefined;
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
