// The hardware port on libvirt: what a domain has and will have, disks grown, memory ballooned, vCPUs plugged in, cards added.
// Not here: what its XML says (hardware-xml), the file system in the guest (guest-file-system), what to do when (the engine).

import type { Sizes, VmHardware, VmNic } from '../../../core/hardware.ts';
import {
  AffectFlags,
  type CallOptions,
  DomainMemoryFlags,
  DomainVcpuFlags,
  DomainXmlFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { FileSystemGrowth, Hardware } from '../../../ports/hardware.ts';
import type { Definitions } from './definitions.ts';
import { byUuid, isActive } from './domain-lookups.ts';
import type { GuestNetwork } from './domain-xml.ts';
import type { GuestAgent } from './guest-agent.ts';
import { growFileSystem } from './guest-file-system.ts';
import { type HardwareText, nicIn, nicXml, readHardware } from './hardware-xml.ts';

const KIB_PER_MIB = 1024;
/** An agent that is there answers in some ms. */
const AGENT_MS = 1500;
/** A kernel takes a while to notice a vCPU that was plugged in. */
const NOTICE_MS = 8000;
const NOTICE_PAUSE_MS = 200;

type Guarded = <T>(what: string, signal: AbortSignal, work: (call: CallOptions) => Promise<T>) => Promise<T>;

export interface DomainHardwareParts {
  readonly host: string;
  readonly control: LibvirtClient;
  readonly work: LibvirtClient;
  /** Whatever a stuck QEMU or guest can hold up. */
  readonly guests: LibvirtClient;
  readonly agent: GuestAgent;
  readonly definitions: Definitions;
  readonly network: GuestNetwork;
  /** Faults come out of it; a call gets its deadline there. */
  readonly guarded: Guarded;
  /** The pool has changed. */
  readonly forgetSpace: () => void;
}

export class DomainHardware implements Hardware {
  readonly #parts: DomainHardwareParts;

  constructor(parts: DomainHardwareParts) {
    this.#parts = parts;
  }

  look(uuid: string, signal: AbortSignal): Promise<VmHardware> {
    return this.#guarded(`look at the hardware of ${uuid}`, signal, (call) => this.#look(uuid, call));
  }

  growDisk(uuid: string, bytes: number, signal: AbortSignal): Promise<void> {
    return this.#guarded(`grow the disk of ${uuid}`, signal, (call) => this.#growDisk(uuid, bytes, call));
  }

  growFileSystem(uuid: string, signal: AbortSignal): Promise<FileSystemGrowth> {
    return this.#guarded(`grow the file system in ${uuid}`, signal, async (call) => {
      if (await isActive(this.#parts.control, uuid, call)) return growFileSystem(this.#parts.agent, uuid, call);
      return { grown: false, text: 'it does not run: the file system in the guest is as large as before' };
    });
  }

  define(uuid: string, sizes: Sizes, signal: AbortSignal): Promise<void> {
    return this.#guarded(`change the definition of ${uuid}`, signal, (call) => this.#define(uuid, sizes, call));
  }

  setMemory(uuid: string, memoryMiB: number, signal: AbortSignal): Promise<void> {
    return this.#guarded(`set the memory of ${uuid}`, signal, async (call) => {
      const { sizes } = await this.#running(uuid, call);
      if (memoryMiB > sizes.maxMemoryMiB) throw this.#beyond(uuid, `${memoryMiB} MiB`, `${sizes.maxMemoryMiB} MiB`);
      await this.#parts.guests.setMemory(byUuid(uuid), memoryMiB * KIB_PER_MIB, DomainMemoryFlags.MEM_LIVE, call);
    });
  }

  setVcpus(uuid: string, vcpus: number, signal: AbortSignal): Promise<void> {
    return this.#guarded(`set the vCPUs of ${uuid}`, signal, (call) => this.#setVcpus(uuid, vcpus, call));
  }

  attachNic(uuid: string, mac: string, live: boolean, signal: AbortSignal): Promise<void> {
    return this.#guarded(`add network card ${mac} to ${uuid}`, signal, (call) => this.#attach(uuid, mac, live, call));
  }

  detachNic(uuid: string, mac: string, live: boolean, signal: AbortSignal): Promise<void> {
    return this.#guarded(`take network card ${mac} from ${uuid}`, signal, (call) =>
      this.#detach(uuid, mac, live, call),
    );
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  /** Domains that are nobody's VMs are not touched; a domain that is not there is `gone`. */
  #guarded<T>(what: string, signal: AbortSignal, work: (call: CallOptions) => Promise<T>): Promise<T> {
    return this.#parts.guarded(what, signal, async (call) => {
      try {
        return await work(call);
      } catch (error) {
        if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) {
          throw new Fault('gone', `host ${this.#parts.host}: ${what}: there is no such domain`, { cause: error });
        }
        throw error;
      }
    });
  }

  async #look(uuid: string, call: CallOptions): Promise<VmHardware> {
    const { guests } = this.#parts;
    const [next, now] = await this.#texts(uuid, call);
    const saved = now === undefined && (await guests.hasManagedSave(byUuid(uuid), call));
    const text = now ?? next;
    const [diskBytes, online] = await Promise.all([
      text.disk && this.#diskBytes(uuid, text.disk.target, call),
      now && this.#online(uuid, call),
    ]);
    return {
      running: now !== undefined,
      saved,
      next: next.sizes,
      ...(now && { now: now.sizes }),
      ...(online !== undefined && { onlineVcpus: online }),
      ...(diskBytes !== undefined && { diskBytes }),
      nics: nicsOf(next, now),
      freeSlots: now?.freeSlots ?? 0,
    };
  }

  /** What its definition says, and what runs. What runs can have no more vCPUs where one more could not be saved or migrated. */
  async #texts(uuid: string, call: CallOptions): Promise<readonly [HardwareText, HardwareText | undefined]> {
    const { control, guests } = this.#parts;
    const next = readHardware(await guests.domainXml(byUuid(uuid), DomainXmlFlags.INACTIVE, call));
    if (!(await isActive(control, uuid, call))) return [next, undefined];
    const now = readHardware(await guests.domainXml(byUuid(uuid), 0, call));
    if (now.canPlugVcpus) return [next, now];
    return [next, { ...now, sizes: { ...now.sizes, maxVcpus: now.sizes.vcpus } }];
  }

  async #diskBytes(uuid: string, path: string, call: CallOptions): Promise<number> {
    const info = await this.#parts.guests.call('DOMAIN_GET_BLOCK_INFO', { dom: byUuid(uuid), path, flags: 0 }, call);
    return Number(info.capacity);
  }

  /** Asked of the agent, which must be there first: libvirt would wait for it as long as it takes. */
  async #online(uuid: string, call: CallOptions): Promise<number | undefined> {
    const { agent, guests } = this.#parts;
    if (!(await agent.answers(uuid, AGENT_MS, call))) return undefined;
    const flags = DomainVcpuFlags.GUEST | DomainVcpuFlags.LIVE;
    try {
      return (await guests.call('DOMAIN_GET_VCPUS_FLAGS', { dom: byUuid(uuid), flags }, call)).num;
    } catch (error) {
      if (isLibvirtError(error)) return undefined;
      throw error;
    }
  }

  async #running(uuid: string, call: CallOptions): Promise<HardwareText> {
    await this.#parts.definitions.mustBeOurs(uuid, call);
    const [, now] = await this.#texts(uuid, call);
    if (now !== undefined) return now;
    throw new Fault('conflict', `host ${this.#parts.host}: domain ${uuid} does not run`);
  }

  async #mustNotBeSaved(uuid: string, call: CallOptions): Promise<void> {
    if (!(await this.#parts.guests.hasManagedSave(byUuid(uuid), call))) return;
    const message = `host ${this.#parts.host}: the memory of domain ${uuid} is saved, and would not fit what is changed`;
    throw new Fault('refused', message, { advice: 'Start the VM first.' });
  }

  async #growDisk(uuid: string, bytes: number, call: CallOptions): Promise<void> {
    const { definitions, forgetSpace, guests, host, work } = this.#parts;
    await definitions.mustBeOurs(uuid, call);
    const [next, now] = await this.#texts(uuid, call);
    const { disk } = now ?? next;
    if (disk === undefined) throw new Fault('refused', `host ${host}: domain ${uuid} has no disk that can be grown`);
    const has = await this.#diskBytes(uuid, disk.target, call);
    if (has === bytes) return;
    if (has > bytes) throw new Fault('refused', `host ${host}: the disk of domain ${uuid} has ${has} bytes already`);
    if (now !== undefined) await guests.blockResize(byUuid(uuid), disk.target, bytes, call);
    else {
      await this.#mustNotBeSaved(uuid, call);
      const volume = await work.volumeByPath(disk.path ?? '', call).catch((error: unknown) => {
        if (!isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) throw error;
        const advice = 'Start the VM: the disk of one that runs can be grown wherever it lies.';
        throw new Fault('refused', `host ${host}: ${disk.path} lies in no storage pool`, { advice });
      });
      await work.resizeVolume(volume, bytes, 0, call);
    }
    forgetSpace();
  }

  /** The maximum goes first: it carries what is below it down, and makes room for what is to go above. */
  async #define(uuid: string, sizes: Sizes, call: CallOptions): Promise<void> {
    const { definitions, guests } = this.#parts;
    await definitions.mustBeOurs(uuid, call);
    await this.#mustNotBeSaved(uuid, call);
    const domain = byUuid(uuid);
    const has = readHardware(await guests.domainXml(domain, DomainXmlFlags.INACTIVE, call)).sizes;
    const { MEM_CONFIG, MEM_MAXIMUM } = DomainMemoryFlags;
    if (has.maxMemoryMiB !== sizes.maxMemoryMiB) {
      await guests.setMemory(domain, sizes.maxMemoryMiB * KIB_PER_MIB, MEM_CONFIG | MEM_MAXIMUM, call);
    }
    await guests.setMemory(domain, sizes.memoryMiB * KIB_PER_MIB, MEM_CONFIG, call);
    const { CONFIG, MAXIMUM } = DomainVcpuFlags;
    if (sizes.vcpus < has.vcpus) await guests.setVcpus(domain, sizes.vcpus, CONFIG, call);
    if (has.maxVcpus !== sizes.maxVcpus) await guests.setVcpus(domain, sizes.maxVcpus, CONFIG | MAXIMUM, call);
    if (sizes.vcpus >= has.vcpus) await guests.setVcpus(domain, sizes.vcpus, CONFIG, call);
  }

  async #setVcpus(uuid: string, vcpus: number, call: CallOptions): Promise<void> {
    const { agent, guests, host } = this.#parts;
    const { sizes } = await this.#running(uuid, call);
    if (vcpus > sizes.maxVcpus) throw this.#beyond(uuid, `${vcpus} vCPUs`, `${sizes.maxVcpus}`);
    // Only ever more: what a guest shall not use any more stays plugged in until its next start.
    if (vcpus > sizes.vcpus) await guests.setVcpus(byUuid(uuid), vcpus, DomainVcpuFlags.LIVE, call);
    if (!(await agent.answers(uuid, AGENT_MS, call))) {
      throw new Fault('busy', `host ${host}: no agent answers in ${uuid}, and only it can take vCPUs in or out of use`);
    }
    const endMs = performance.now() + NOTICE_MS;
    for (;;) {
      try {
        return await guests.setVcpus(byUuid(uuid), vcpus, DomainVcpuFlags.GUEST | DomainVcpuFlags.LIVE, call);
      } catch (error) {
        const isNew = vcpus > sizes.vcpus && isLibvirtError(error) && performance.now() < endMs;
        if (!isNew) throw error;
        call.signal?.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, NOTICE_PAUSE_MS));
      }
    }
  }

  async #attach(uuid: string, mac: string, live: boolean, call: CallOptions): Promise<void> {
    const { definitions, guests, host, network } = this.#parts;
    await definitions.mustBeOurs(uuid, call);
    const [next, now] = await this.#texts(uuid, call);
    const xml = nicXml(mac, network);
    const isIn = (text: HardwareText): boolean => text.nics.some((nic) => nic.mac === mac);
    if (live && now !== undefined && !isIn(now)) {
      if (now.freeSlots === 0) {
        const message = `host ${host}: domain ${uuid} has no free slot for another card while it runs`;
        throw new Fault('refused', message, { advice: 'Let it be restarted, or use a flavor with spareNics.' });
      }
      await guests.attachDevice(byUuid(uuid), xml, AffectFlags.AFFECT_LIVE, call);
    }
    if (!isIn(next)) {
      if (now === undefined) await this.#mustNotBeSaved(uuid, call);
      await guests.attachDevice(byUuid(uuid), xml, AffectFlags.AFFECT_CONFIG, call);
    }
  }

  async #detach(uuid: string, mac: string, live: boolean, call: CallOptions): Promise<void> {
    const { control, definitions, guests, host } = this.#parts;
    await definitions.mustBeOurs(uuid, call);
    const domain = byUuid(uuid);
    const [next, now] = await this.#texts(uuid, call);
    const kinds = [next, now].map((text) => text?.nics.find((nic) => nic.mac === mac)?.kind);
    if (kinds.includes('forward') || kinds.includes('cluster')) {
      throw new Fault('refused', `host ${host}: card ${mac} of domain ${uuid} is the one it is reached by`);
    }
    const defined = nicIn(await guests.domainXml(domain, DomainXmlFlags.INACTIVE, call), mac);
    if (defined !== undefined) await guests.detachDevice(domain, defined, AffectFlags.AFFECT_CONFIG, call);
    if (!live || !(await isActive(control, uuid, call))) return;
    const plugged = nicIn(await guests.domainXml(domain, 0, call), mac);
    if (plugged === undefined) return;
    try {
      await guests.detachDevice(domain, plugged, AffectFlags.AFFECT_LIVE, call);
    } catch (error) {
      // The guest was asked before and is about to let it go.
      if (!isLibvirtError(error) || !/already in the process of unplug|is pending/i.test(error.message)) throw error;
    }
  }

  #beyond(uuid: string, wanted: string, maximum: string): Fault {
    const message = `host ${this.#parts.host}: domain ${uuid} can have ${maximum} while it runs, not ${wanted}`;
    return new Fault('refused', message, { advice: 'It needs a restart for more.' });
  }
}

function nicsOf(next: HardwareText, now: HardwareText | undefined): readonly VmNic[] {
  const all = new Map([...next.nics, ...(now?.nics ?? [])].map((nic) => [nic.mac, nic]));
  const isIn = (text: HardwareText | undefined, mac: string): boolean =>
    text?.nics.some((nic) => nic.mac === mac) ?? false;
  return [...all.values()].map((nic) => ({ ...nic, now: isIn(now, nic.mac), next: isIn(next, nic.mac) }));
}
