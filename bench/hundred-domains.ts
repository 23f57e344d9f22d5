// An embedded libvirt host with many paused, tiny domains: what polling is measured against. Not here: measuring (poll-bench).

import { randomUUID } from 'node:crypto';
import { type EmbeddedHost, startEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import { DomainCreateFlags, LibvirtClient } from '../src/libvirt/index.ts';

/** More at a time than there are cores brings nothing. */
const AT_A_TIME = 2;
const CREATE_TIMEOUT_MS = 30_000;

/** Starts the host with `count` domains. On failure nothing is left. */
export async function startHostWithDomains(stateDir: string, count: number): Promise<EmbeddedHost> {
  const host = await startEmbeddedHost({ stateDir, name: 'bench' });
  const libvirt = new LibvirtClient({ uri: host.uri });
  try {
    const names = Array.from({ length: count }, (_, i) => `tiny-${i + 1}`).values();
    const work = async () => {
      for (const name of names) {
        await libvirt.createDomainXml(tinyDomain(name, host.accel), DomainCreateFlags.START_PAUSED, {
          timeoutMs: CREATE_TIMEOUT_MS,
        });
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    return host;
  } catch (error) {
    await host.stopAll();
    throw error;
  } finally {
    await libvirt.close();
  }
}

/** 16 MiB and nothing to boot from. */
export function tinyDomain(name: string, accel: 'kvm' | 'qemu'): string {
  return `<domain type='${accel}'>
  <name>${name}</name>
  <uuid>${randomUUID()}</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>`;
}
