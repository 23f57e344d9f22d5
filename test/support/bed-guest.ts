// VMs for the beds: the guest image, a spec, and the calls of the port that bring a VM up and take it away.
// Not here: the beds themselves (test/bed).
import { join } from 'node:path';
import { ensureGuestImage } from '../../src/adapters/hypervisor/embedded/guest-image.ts';
import type { Image } from '../../src/core/model.ts';
import type { Hypervisor, VmSpec } from '../../src/ports/hypervisor.ts';

/** Shared by all tests of this machine and user. */
const IMAGES = `/tmp/virtscale-test-images-${process.getuid?.() ?? 0}`;

export interface BedImage {
  readonly image: Image;
  /** Kernel arguments for guests behind forwarded ports. */
  readonly userNetworkArgs: string;
  readonly memoryMiB: number;
}

export async function bedImage(): Promise<BedImage> {
  const { dir, disk, initrd, kernel, kernelArgs, memoryMiB, userNetworkArgs } = await ensureGuestImage({ dir: IMAGES });
  const direct = { kernel: join(dir, kernel), initrd: join(dir, initrd), args: kernelArgs };
  const image: Image = { name: 'backend', path: join(dir, disk), format: 'qcow2', direct };
  return { image, userNetworkArgs, memoryMiB: memoryMiB.suggested };
}

export function bedSpec({ image, memoryMiB }: BedImage, id: number): VmSpec {
  return {
    name: `bed-${id}`,
    uuid: `00000000-0000-4000-8000-${String(id).padStart(12, '0')}`,
    image,
    flavor: { name: 'small', vcpus: 1, memoryMiB },
    ready: { http: { port: 80, path: '/' } },
    metadata: { id, group: 'bed', owner: 'test', operation: `test-${id}`, image: 'backend', flavor: 'small' },
  };
}

export async function launch(hypervisor: Hypervisor, spec: VmSpec, signal: AbortSignal): Promise<void> {
  await hypervisor.createDisk(spec, signal);
  await hypervisor.define(spec, signal);
  await hypervisor.start(spec.uuid, signal);
}

export async function remove(hypervisor: Hypervisor, spec: VmSpec, signal: AbortSignal): Promise<void> {
  await hypervisor.destroy(spec.uuid, signal);
  await hypervisor.undefine(spec.uuid, signal);
  await hypervisor.deleteDisk(spec.name, signal);
}
