/**
 * Typed verbs on domains: finding, observing, life cycle, saving. Thin: each is one call of the table, in our units.
 */
import { DomainStatsFlags } from '../constants.ts';
import { type CallOptions, DEFAULT_CALL_TIMEOUT_MS } from '../session.ts';
import { type Domain, type ParamValue, paramsToRecord } from '../structs.ts';
import { HostVerbs } from './host.ts';

/** Calls that copy memory or whole disks: their default deadline. */
export const LONG_CALL_TIMEOUT_MS = 600_000;

/** The options of a call that may take minutes. */
export const long = (options: CallOptions = {}): CallOptions => ({ timeoutMs: LONG_CALL_TIMEOUT_MS, ...options });

/** Counters and sizes of a domain; `state` is a number of `DomainState`. `cpuTimeNs` starts anew with each start. */
export interface DomainInfo {
  readonly state: number;
  readonly maxMemoryKiB: number;
  readonly memoryKiB: number;
  readonly vcpus: number;
  readonly cpuTimeNs: bigint;
}

/** What became of one domain of {@link DomainVerbs.domainsInfo}. */
export type DomainInfoResult =
  | { readonly domain: Domain; readonly info: DomainInfo; readonly error?: undefined }
  | { readonly domain: Domain; readonly info?: undefined; readonly error: unknown };

/** One domain's statistics. Any key may be absent at any time. */
export interface DomainStats {
  readonly domain: Domain;
  readonly params: Readonly<Record<string, ParamValue>>;
}

/** Calls of one query that may wait in the connection's queue: well below its limit. */
const PIPELINE_BATCH = 256;

export abstract class DomainVerbs extends HostVerbs {
  /** All domains, or those that `flags` (`ListDomainsFlags`) select. */
  async listDomains(flags = 0, options?: CallOptions): Promise<readonly Domain[]> {
    return (await this.call('CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags }, options)).domains;
  }

  /** @throws LibvirtError NO_DOMAIN when there is none. */
  async domainByName(name: string, options?: CallOptions): Promise<Domain> {
    return (await this.call('DOMAIN_LOOKUP_BY_NAME', { name }, options)).dom;
  }

  /** @throws LibvirtError NO_DOMAIN when there is none. */
  async domainByUuid(uuid: string, options?: CallOptions): Promise<Domain> {
    return (await this.call('DOMAIN_LOOKUP_BY_UUID', { uuid }, options)).dom;
  }

  /** State and its reason, as numbers of `DomainState` and `Domain…Reason`. Never waits for the domain's QEMU. */
  domainState(dom: Domain, options?: CallOptions): Promise<{ readonly state: number; readonly reason: number }> {
    return this.call('DOMAIN_GET_STATE', { dom, flags: 0 }, options);
  }

  /** CPU time, memory and state. Does not wait for a stuck QEMU: the call to poll with. */
  async domainInfo(dom: Domain, options?: CallOptions): Promise<DomainInfo> {
    const { state, maxMem, memory, nrVirtCpu, cpuTime } = await this.call('DOMAIN_GET_INFO', { dom }, options);
    return {
      state,
      maxMemoryKiB: Number(maxMem),
      memoryKiB: Number(memory),
      vcpus: nrVirtCpu,
      cpuTimeNs: cpuTime,
    };
  }

  /**
   * {@link domainInfo} of many, pipelined; one result or error for each, in the order given. The deadline is that of
   * the whole: a daemon that hangs costs it once, not once per domain.
   */
  async domainsInfo(doms: readonly Domain[], options: CallOptions = {}): Promise<readonly DomainInfoResult[]> {
    const { timeoutMs = DEFAULT_CALL_TIMEOUT_MS } = options;
    const deadline = performance.now() + timeoutMs;
    const infoOf = async (domain: Domain): Promise<DomainInfoResult> => {
      try {
        const remainingMs = Math.max(1, deadline - performance.now());
        return { domain, info: await this.domainInfo(domain, { ...options, timeoutMs: remainingMs }) };
      } catch (error) {
        return { domain, error };
      }
    };
    const results: DomainInfoResult[] = [];
    for (let start = 0; start < doms.length; start += PIPELINE_BATCH) {
      results.push(...(await Promise.all(doms.slice(start, start + PIPELINE_BATCH).map(infoOf))));
    }
    return results;
  }

  /**
   * Statistics of all domains (or of `doms`), one after another inside the daemon: about 1 ms per domain and group.
   * `stats` are bits of `DomainStatsGroup`; 0 asks for all. Unless `flags` says otherwise a stuck domain is not waited
   * for: its record is shorter.
   */
  async allDomainStats(
    query: {
      readonly doms?: readonly Domain[] | undefined;
      readonly stats: number;
      readonly flags?: number | undefined;
    },
    options?: CallOptions,
  ): Promise<readonly DomainStats[]> {
    const { doms = [], stats, flags = DomainStatsFlags.NOWAIT } = query;
    const { retStats } = await this.call('CONNECT_GET_ALL_DOMAIN_STATS', { doms, stats, flags }, options);
    return retStats.map(({ dom, params }) => ({ domain: dom, params: paramsToRecord(params) }));
  }

  /** The domain's XML (`DomainXmlFlags`). May wait 30 s behind another job: keep it off the polling path. */
  async domainXml(dom: Domain, flags = 0, options?: CallOptions): Promise<string> {
    return (await this.call('DOMAIN_GET_XML_DESC', { dom, flags }, options)).xml;
  }

  // Life cycle.

  /** Defines a persistent domain, or redefines the one of the same uuid. */
  async defineDomain(xml: string, flags = 0, options?: CallOptions): Promise<Domain> {
    return (await this.call('DOMAIN_DEFINE_XML_FLAGS', { xml, flags }, options)).dom;
  }

  /** Starts a transient domain. */
  async createDomainXml(xml: string, flags = 0, options?: CallOptions): Promise<Domain> {
    return (await this.call('DOMAIN_CREATE_XML', { xml_desc: xml, flags }, options)).dom;
  }

  /** Starts a defined domain; resolves with the domain and its new id. */
  async createDomain(dom: Domain, flags = 0, options?: CallOptions): Promise<Domain> {
    return (await this.call('DOMAIN_CREATE_WITH_FLAGS', { dom, flags }, options)).dom;
  }

  async suspendDomain(dom: Domain, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_SUSPEND', { dom }, options);
  }

  async resumeDomain(dom: Domain, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_RESUME', { dom }, options);
  }

  /** Asks the guest to shut down; resolves when it was asked, not when it is down. */
  async shutdownDomain(dom: Domain, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_SHUTDOWN_FLAGS', { dom, flags }, options);
  }

  async rebootDomain(dom: Domain, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_REBOOT', { dom, flags }, options);
  }

  async resetDomain(dom: Domain, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_RESET', { dom, flags: 0 }, options);
  }

  /** Ends the domain's QEMU. A stuck one takes about 11 s. */
  async destroyDomain(dom: Domain, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_DESTROY_FLAGS', { dom, flags }, options);
  }

  /** Removes the definition. A running domain goes on running, as a transient one: destroy it first. */
  async undefineDomain(dom: Domain, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_UNDEFINE_FLAGS', { dom, flags }, options);
  }

  // Metadata.

  /** Sets (or, without `metadata`, removes) an element or text; `type` of `MetadataType`, `flags` of `AffectFlags`. */
  async setMetadata(
    dom: Domain,
    what: {
      readonly type: number;
      readonly metadata?: string | undefined;
      readonly key?: string | undefined;
      readonly uri?: string | undefined;
      readonly flags?: number | undefined;
    },
    options?: CallOptions,
  ): Promise<void> {
    const { type, metadata, key, uri, flags = 0 } = what;
    await this.call('DOMAIN_SET_METADATA', { dom, type, metadata, key, uri, flags }, options);
  }

  /** @throws LibvirtError NO_DOMAIN_METADATA when there is none. */
  async getMetadata(
    dom: Domain,
    what: { readonly type: number; readonly uri?: string | undefined; readonly flags?: number | undefined },
    options?: CallOptions,
  ): Promise<string> {
    const { type, uri, flags = 0 } = what;
    return (await this.call('DOMAIN_GET_METADATA', { dom, type, uri, flags }, options)).metadata;
  }

  // Saving memory.

  /** Writes the domain's memory to `path` on the host and ends it. Default deadline 10 minutes. */
  async saveDomain(
    dom: Domain,
    path: string,
    how: { readonly xml?: string | undefined; readonly flags?: number | undefined } = {},
    options?: CallOptions,
  ): Promise<void> {
    await this.call('DOMAIN_SAVE_FLAGS', { dom, to: path, dxml: how.xml, flags: how.flags ?? 0 }, long(options));
  }

  /** Starts a domain from a saved file, with other XML if given. Default deadline 10 minutes. */
  async restoreDomain(
    path: string,
    how: { readonly xml?: string | undefined; readonly flags?: number | undefined } = {},
    options?: CallOptions,
  ): Promise<void> {
    await this.call('DOMAIN_RESTORE_FLAGS', { from: path, dxml: how.xml, flags: how.flags ?? 0 }, long(options));
  }

  /** Saves the domain where libvirt keeps it for the next start. Default deadline 10 minutes. */
  async managedSave(dom: Domain, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_MANAGED_SAVE', { dom, flags }, long(options));
  }

  async hasManagedSave(dom: Domain, options?: CallOptions): Promise<boolean> {
    return (await this.call('DOMAIN_HAS_MANAGED_SAVE_IMAGE', { dom, flags: 0 }, options)).result === 1;
  }

  async removeManagedSave(dom: Domain, options?: CallOptions): Promise<void> {
    await this.call('DOMAIN_MANAGED_SAVE_REMOVE', { dom, flags: 0 }, options);
  }
}
