/**
 * Typed verbs that change a domain while it lives: size, devices, snapshots, agent, migration and jobs.
 */
import { AffectFlags, BlockResizeFlags, MigrateFlags } from '../constants.ts';
import type { CallOptions } from '../session.ts';
import {
  type Domain,
  type DomainInterface,
  type DomainSnapshot,
  type ParamValue,
  paramsToRecord,
  type TypedParam,
} from '../structs.ts';
import { DomainVerbs, long } from './domain.ts';

/** Parameters of a migration by libvirt's names; sizes in the units libvirt documents (bandwidth in MiB/s). */
export interface MigrateParams {
  readonly migrate_uri?: string;
  readonly destination_name?: string;
  readonly destination_xml?: string;
  readonly persistent_xml?: string;
  readonly graphics_uri?: string;
  readonly listen_address?: string;
  readonly disks_uri?: string;
  readonly 'tls.destination'?: string;
  readonly migrate_disks?: readonly string[];
  readonly compression?: readonly string[];
  readonly bandwidth?: bigint;
  readonly 'bandwidth.postcopy'?: bigint;
  readonly disks_port?: number;
  readonly 'auto_converge.initial'?: number;
  readonly 'auto_converge.increment'?: number;
  readonly 'parallel.connections'?: number;
}

/** The wire type follows from the value: all of libvirt's migration parameters are strings, ints or 64-bit unsigned. */
const migrateParam = (field: string, value: string | number | bigint): TypedParam => {
  if (typeof value === 'string') return { field, value: { type: 'string', value } };
  if (typeof value === 'bigint') return { field, value: { type: 'ullong', value } };
  return { field, value: { type: 'int', value } };
};

const migrateParams = (params: MigrateParams): TypedParam[] =>
  Object.entries(params as Record<string, string | number | bigint | readonly string[]>).flatMap(([field, value]) =>
    typeof value === 'object' ? value.map((each) => migrateParam(field, each)) : [migrateParam(field, value)],
  );

/** A running or finished job: `type` of `JobType`, and libvirt's parameters of it (times in ms, sizes in bytes). */
export interface JobStats {
  readonly type: number;
  readonly params: Readonly<Record<string, ParamValue>>;
}

const AGENT_MARGIN_MS = 10_000;

export abstract class GuestVerbs extends DomainVerbs {
  // Size and devices. `flags` default to the live domain.

  /** Memory in KiB; `flags` of `DomainMemoryFlags`. Above the maximum it is refused with INVALID_ARG. */
  async setMemory(dom: Domain, memoryKiB: number, flags = 1, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_SET_MEMORY_FLAGS', { dom, memory: BigInt(memoryKiB), flags }, options);
  }

  /** `flags` of `DomainVcpuFlags`. Never take vCPUs from a live domain under emulation: QEMU can deadlock later. */
  async setVcpus(dom: Domain, count: number, flags = 1, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_SET_VCPUS_FLAGS', { dom, nvcpus: count, flags }, options);
  }

  async attachDevice(
    dom: Domain,
    xml: string,
    flags: number = AffectFlags.AFFECT_LIVE,
    options?: CallOptions,
  ): Promise<void> {
    await this.call('DOMAIN_ATTACH_DEVICE_FLAGS', { dom, xml, flags }, options);
  }

  /** Asks the guest to let a device go; the event `device-removed` tells when it has. */
  async detachDevice(
    dom: Domain,
    xml: string,
    flags: number = AffectFlags.AFFECT_LIVE,
    options?: CallOptions,
  ): Promise<void> {
    await this.call('DOMAIN_DETACH_DEVICE_FLAGS', { dom, xml, flags }, options);
  }

  async updateDevice(
    dom: Domain,
    xml: string,
    flags: number = AffectFlags.AFFECT_LIVE,
    options?: CallOptions,
  ): Promise<void> {
    await this.call('DOMAIN_UPDATE_DEVICE_FLAGS', { dom, xml, flags }, options);
  }

  /** Resizes a disk of a running domain, in bytes; of a stopped one resize the volume instead. */
  async blockResize(dom: Domain, disk: string, sizeBytes: number, options?: CallOptions): Promise<void> {
    const args = { dom, disk, size: BigInt(sizeBytes), flags: BlockResizeFlags.BYTES };
    await this.call('DOMAIN_BLOCK_RESIZE', args, options);
  }

  // Snapshots.

  /** `flags` of `SnapshotCreateFlags`. An internal one of a running domain pauses it. Default deadline 10 minutes. */
  async createSnapshot(dom: Domain, xml: string, flags = 0, options?: CallOptions): Promise<DomainSnapshot> {
    return (await this.call('DOMAIN_SNAPSHOT_CREATE_XML', { dom, xml_desc: xml, flags }, long(options))).snap;
  }

  async listSnapshots(dom: Domain, flags = 0, options?: CallOptions): Promise<readonly DomainSnapshot[]> {
    return (await this.call('DOMAIN_LIST_ALL_SNAPSHOTS', { dom, need_results: 1, flags }, options)).snapshots;
  }

  /** @throws LibvirtError NO_DOMAIN_SNAPSHOT when there is none. */
  async snapshotByName(dom: Domain, name: string, options?: CallOptions): Promise<DomainSnapshot> {
    return (await this.call('DOMAIN_SNAPSHOT_LOOKUP_BY_NAME', { dom, name, flags: 0 }, options)).snap;
  }

  async snapshotXml(snap: DomainSnapshot, flags = 0, options?: CallOptions): Promise<string> {
    return (await this.call('DOMAIN_SNAPSHOT_GET_XML_DESC', { snap, flags }, options)).xml;
  }

  /** `flags` of `SnapshotRevertFlags`. External ones only from libvirt 9.9 on. Default deadline 10 minutes. */
  async revertSnapshot(snap: DomainSnapshot, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_REVERT_TO_SNAPSHOT', { snap, flags }, long(options));
  }

  async deleteSnapshot(snap: DomainSnapshot, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_SNAPSHOT_DELETE', { snap, flags }, long(options));
  }

  // The guest as seen from outside and inside.

  /** `source` of `InterfaceAddressesSource`. */
  async interfaceAddresses(dom: Domain, source: number, options?: CallOptions): Promise<readonly DomainInterface[]> {
    return (await this.call('DOMAIN_INTERFACE_ADDRESSES', { dom, source, flags: 0 }, options)).ifaces;
  }

  /**
   * Sends a QEMU guest agent command (JSON text) and resolves with its answer (JSON text). `timeoutSeconds` is the
   * daemon's own limit; the call's deadline is a little later unless given.
   * @throws LibvirtError AGENT_UNRESPONSIVE when no agent is there (yet).
   */
  async agentCommand(dom: Domain, json: string, timeoutSeconds: number, options?: CallOptions): Promise<string> {
    const deadline = { timeoutMs: Math.max(0, timeoutSeconds) * 1_000 + AGENT_MARGIN_MS, ...options };
    const args = { dom, cmd: json, timeout: timeoutSeconds, flags: 0 };
    return (await this.call('DOMAIN_AGENT_COMMAND', args, deadline)).result ?? '';
  }

  // Migration and jobs.

  /**
   * Moves a domain to another host: this host's daemon talks to the one at `destUri` (as seen from this host).
   * `flags` of `MigrateFlags`; PEER2PEER is added. Default deadline 10 minutes. When the outcome is unknown ask both hosts.
   */
  async migrateP2p(
    dom: Domain,
    how: { readonly destUri: string; readonly params?: MigrateParams | undefined; readonly flags: number },
    options?: CallOptions,
  ): Promise<void> {
    const args = {
      dom,
      dconnuri: how.destUri,
      params: migrateParams(how.params ?? {}),
      cookie_in: new Uint8Array(0),
      flags: how.flags | MigrateFlags.PEER2PEER,
    };
    await this.call('DOMAIN_MIGRATE_PERFORM3_PARAMS', args, long(options));
  }

  /** Progress of the domain's job, or (`flags` of `JobStatsFlags`) the figures of the last finished one. */
  async jobStats(dom: Domain, flags = 0, options?: CallOptions): Promise<JobStats> {
    const { type, params } = await this.call('DOMAIN_GET_JOB_STATS', { dom, flags }, options);
    return { type, params: paramsToRecord(params) };
  }

  /** Cancels the domain's job. Use another connection than the one whose call runs the job. */
  async abortJob(dom: Domain, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_ABORT_JOB', { dom }, options);
  }
}
