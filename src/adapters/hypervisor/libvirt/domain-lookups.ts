// Small questions about one domain, and libvirt's "there is none" as an answer instead of an error.

import {
  type CallOptions,
  type Domain,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';

/** libvirt finds a domain by its uuid alone. */
export function byUuid(uuid: string): Domain {
  return { uuid, name: '', id: -1 };
}

/** For `catch`: no such domain is undefined. */
export function absent(error: unknown): undefined {
  if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return undefined;
  throw error;
}

/** For `catch`: swallows libvirt's errors of these codes. */
export function unless(...codes: readonly number[]): (error: unknown) => void {
  return (error) => {
    if (!isLibvirtError(error, ...codes)) throw error;
  };
}

/** Undefined when there is no such domain; else whether it has a QEMU. */
export async function isActive(client: LibvirtClient, uuid: string, call: CallOptions): Promise<boolean | undefined> {
  try {
    const { active } = await client.call('DOMAIN_IS_ACTIVE', { dom: byUuid(uuid) }, call);
    return active === 1;
  } catch (error) {
    return absent(error);
  }
}
