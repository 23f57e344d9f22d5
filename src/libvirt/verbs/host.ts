/**
 * Typed verbs on the physical host and its hypervisor. Thin: each is one call of the table, in our units.
 */
import type { ArgsOf, ProcedureName, RetOf } from '../procedures.ts';
import type { CallOptions } from '../session.ts';

/** The physical machine. Its memory can be wrong on NUMA machines: prefer {@link HostVerbs.nodeMemoryStats}. */
export interface NodeInfo {
  readonly model: string;
  readonly memoryKiB: number;
  readonly cpus: number;
  readonly mhz: number;
  readonly nodes: number;
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

/** libvirt's version number, major · 1 000 000 + minor · 1 000 + release, as text. */
export const formatVersion = (version: number): string =>
  `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}.${version % 1_000}`;

const ALL_CPUS = -1;
const ALL_CELLS = -1;

/** What every layer of verbs is built on: the one `call`. Every verb throws what `call` throws. */
export abstract class HostVerbs {
  /** Makes any call of the procedure table. */
  abstract call<N extends ProcedureName>(name: N, args: ArgsOf<N>, options?: CallOptions): Promise<RetOf<N>>;

  async hostname(options?: CallOptions): Promise<string> {
    return (await this.call('CONNECT_GET_HOSTNAME', {}, options)).hostname;
  }

  /** Such as 9 000 000 for libvirt 9.0.0; see {@link formatVersion}. */
  async libVersion(options?: CallOptions): Promise<number> {
    return Number((await this.call('CONNECT_GET_LIB_VERSION', {}, options)).lib_ver);
  }

  /** The hypervisor's version in the same form, such as 7 002 022 for QEMU 7.2.22. */
  async hypervisorVersion(options?: CallOptions): Promise<number> {
    return Number((await this.call('CONNECT_GET_VERSION', {}, options)).hv_ver);
  }

  async nodeInfo(options?: CallOptions): Promise<NodeInfo> {
    const { memory, ...rest } = await this.call('NODE_GET_INFO', {}, options);
    return { ...rest, memoryKiB: Number(memory) };
  }

  /** Time in ns since boot, summed over all CPUs, by kind (`kernel`, `user`, `idle`, `iowait`, …). */
  async nodeCpuStats(options?: CallOptions): Promise<Readonly<Record<string, bigint>>> {
    const query = { cpuNum: ALL_CPUS, flags: 0 };
    const { nparams } = await this.call('NODE_GET_CPU_STATS', { ...query, nparams: 0 }, options);
    const { params } = await this.call('NODE_GET_CPU_STATS', { ...query, nparams }, options);
    return Object.fromEntries(params.map(({ field, value }) => [field, value]));
  }

  /** KiB by kind (`total`, `free`, `buffers`, `cached`). */
  async nodeMemoryStats(options?: CallOptions): Promise<Readonly<Record<string, number>>> {
    const query = { cellNum: ALL_CELLS, flags: 0 };
    const { nparams } = await this.call('NODE_GET_MEMORY_STATS', { ...query, nparams: 0 }, options);
    const { params } = await this.call('NODE_GET_MEMORY_STATS', { ...query, nparams }, options);
    return Object.fromEntries(params.map(({ field, value }) => [field, Number(value)]));
  }

  /** Free memory in bytes, by another count than {@link nodeMemoryStats}: in containers it can be far lower. */
  async freeMemory(options?: CallOptions): Promise<number> {
    return Number((await this.call('NODE_GET_FREE_MEMORY', {}, options)).freeMem);
  }

  /** The hypervisor's capabilities as XML. It says nothing about whether KVM works. */
  async capabilities(options?: CallOptions): Promise<string> {
    return (await this.call('CONNECT_GET_CAPABILITIES', {}, options)).capabilities;
  }

  /** What domains of this kind may have, as XML; what is left out is the hypervisor's default. */
  async domainCapabilities(
    kind: {
      readonly emulator?: string | undefined;
      readonly arch?: string | undefined;
      readonly machine?: string | undefined;
      readonly virtType?: string | undefined;
    } = {},
    options?: CallOptions,
  ): Promise<string> {
    const { emulator, arch, machine, virtType } = kind;
    const args = { emulatorbin: emulator, arch, machine, virttype: virtType, flags: 0 };
    return (await this.call('CONNECT_GET_DOMAIN_CAPABILITIES', args, options)).capabilities;
  }
}
