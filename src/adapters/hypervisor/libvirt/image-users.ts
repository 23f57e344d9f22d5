// Who refers to an image in a pool: a disk that lies over it, or a domain. libvirt itself does not look before it deletes.

import {
  type CallOptions,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  type StoragePool,
  type StorageVolume,
} from '../../../libvirt/index.ts';
import { userOf } from './domain-references.ts';
import { inBatches } from './in-batches.ts';
import { pathsOf } from './pool-volumes.ts';
import { holdsNoDisk } from './volume-names.ts';
import { readVolume } from './volume-xml.ts';

/** The first that is found, in words for people. Overlays in other folders that no domain has are not seen. */
export async function userOfVolumes(
  client: LibvirtClient,
  pool: StoragePool,
  images: readonly StorageVolume[],
  options: CallOptions,
): Promise<string | undefined> {
  if (images.length === 0) return undefined;
  const paths = await pathsOf(client, images, options);
  const volumes = await client.listVolumes(pool, options);
  const disks = volumes.filter(({ name }) => !holdsNoDisk(name));
  const users = await inBatches(disks, async (disk) => {
    const backing = await backingOf(client, disk, options);
    return backing !== undefined && paths.includes(backing) ? `disk ${disk.name}` : undefined;
  });
  const overlay = users.find((user) => user !== undefined);
  if (overlay !== undefined) return overlay;
  const domain = await userOf(client, paths, pool.name, options);
  return domain && `domain ${domain.name} (${domain.uuid})`;
}

async function backingOf(
  client: LibvirtClient,
  volume: StorageVolume,
  options: CallOptions,
): Promise<string | undefined> {
  try {
    return readVolume(await client.volumeXml(volume, 0, options)).backingPath;
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) return undefined;
    throw error;
  }
}
