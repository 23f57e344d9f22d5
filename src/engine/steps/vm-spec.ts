// What the hypervisor is told to make, from a VM's record. Not here: making it.

import type { VmRecord } from '../../core/model.ts';
import type { VmSpec } from '../../ports/hypervisor.ts';

export function specOf(record: VmRecord): VmSpec {
  const { cloudInit, flavor, group, image, kind, networks, ready, template, way } = record;
  if (flavor === undefined || (image === undefined && kind !== 'blank')) {
    throw new Error(`VM ${record.name} is to be made, but its record has no image or flavor`);
  }
  const forkOf = way === 'fork' && template !== undefined ? { template } : {};
  return {
    name: record.name,
    uuid: record.uuid,
    flavor,
    ...(image && { image }),
    ...(ready && { ready }),
    ...(cloudInit && { cloudInit }),
    ...(networks && { networks }),
    ...forkOf,
    metadata: {
      id: record.id,
      ...(group !== undefined && { group }),
      owner: record.owner,
      operation: record.operation,
      image: image?.name ?? '',
      flavor: flavor.name,
      ...forkOf,
    },
  };
}
