// What libvirt tells of the machine itself: versions, accelerator, CPU model, and how busy its CPUs were between two readings.
// Not here: memory and disk (host-poll), whether KVM works (accel-probe).

import { type CallOptions, formatVersion, isLibvirtError, type LibvirtClient } from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { HostInfo } from '../../../ports/hypervisor.ts';
import type { AccelSource } from './accel-source.ts';
import { childOf, parseXml } from './xml-tree.ts';

/** Procedures that virtscale needs came with it: Debian 12, Ubuntu 24.04, RHEL 9.2. */
const LIBVIRT_LEAST = 9_000_000;

/** A host's libvirt or QEMU is seldom another one from one minute to the next. */
const FINGERPRINT_MS = 20_000;

export class HostFacts {
  readonly #client: LibvirtClient;
  readonly #host: string;
  readonly #accel: AccelSource;
  #fingerprint: { readonly text: string; readonly atMs: number } | undefined;

  constructor(client: LibvirtClient, host: string, accel: AccelSource) {
    this.#client = client;
    this.#host = host;
    this.#accel = accel;
  }

  /** @throws Fault `refused` for a libvirt that is too old. */
  async info(call: CallOptions): Promise<HostInfo> {
    const [libvirt, qemu, cpu] = await Promise.all([
      this.#client.libVersion(call),
      this.#client.hypervisorVersion(call),
      this.#cpu(call),
    ]);
    if (libvirt < LIBVIRT_LEAST) {
      const message = `host ${this.#host}: libvirt ${formatVersion(libvirt)} is too old`;
      const advice = `virtscale needs libvirt ${formatVersion(LIBVIRT_LEAST)} or later (Debian 12, Ubuntu 24.04, RHEL 9.2); upgrade the host.`;
      throw new Fault('refused', message, { advice });
    }
    const { kind, reason } = await this.#accel.get(call.signal);
    const versions = { libvirt: formatVersion(libvirt), qemu: formatVersion(qemu) };
    return { ...versions, accel: kind, accelReason: reason, ...cpu };
  }

  /** What saved memory depends on: it is restored only where this is the same. */
  async fingerprint(call: CallOptions): Promise<string> {
    const nowMs = performance.now();
    if (this.#fingerprint !== undefined && nowMs - this.#fingerprint.atMs < FINGERPRINT_MS)
      return this.#fingerprint.text;
    const [libvirt, qemu, { kind }, cpu] = await Promise.all([
      this.#client.libVersion(call),
      this.#client.hypervisorVersion(call),
      this.#accel.get(call.signal),
      this.#client.capabilities(call).then(cpuText, orNothing),
    ]);
    const text = JSON.stringify([libvirt, qemu, kind, cpu]);
    this.#fingerprint = { text, atMs: nowMs };
    return text;
  }

  /** Empty where libvirt does not tell: it does not always know the CPU. */
  async #cpu(call: CallOptions): Promise<Pick<HostInfo, 'arch' | 'cpuModel'>> {
    let xml: string;
    try {
      xml = await this.#client.capabilities(call);
    } catch (error) {
      if (isLibvirtError(error)) return {};
      throw error;
    }
    const cpu = childOf(parseXml(xml), 'host', 'cpu');
    const arch = childOf(cpu, 'arch')?.text;
    const cpuModel = childOf(cpu, 'model')?.text;
    return { ...(arch && { arch }), ...(cpuModel && { cpuModel }) };
  }
}

/** The host's CPU as libvirt describes it, without what differs from one start of the machine to the next. */
function cpuText(capabilities: string): string {
  const cpu = /<cpu>.*?<\/cpu>/s.exec(capabilities)?.[0] ?? '';
  return cpu.replace(/<counter [^>]*>/g, '');
}

function orNothing(error: unknown): string {
  if (isLibvirtError(error)) return '';
  throw error;
}

/** Time since the machine was started, over all CPUs: in use, and in all. */
interface CpuTimes {
  readonly busyNs: bigint;
  readonly totalNs: bigint;
}

/** Readings closer together than this measure the counters' grain: they are told in ticks of 10 ms. */
const LEAST_NS = 200_000_000n;
/** `utilization` is a percentage, which some drivers tell instead of times. */
const NO_TIME = 'utilization';

export class CpuUse {
  readonly #client: LibvirtClient;
  #last: CpuTimes | undefined;
  #ratio: number | undefined;

  constructor(client: LibvirtClient) {
    this.#client = client;
  }

  /** 0–1 since the reading before; undefined until there are two, and where libvirt does not tell. */
  async read(options: CallOptions): Promise<number | undefined> {
    let stats: Readonly<Record<string, bigint>>;
    try {
      stats = await this.#client.nodeCpuStats(options);
    } catch (error) {
      if (isLibvirtError(error)) return undefined;
      throw error;
    }
    return this.#since(timesOf(stats));
  }

  #since(now: CpuTimes): number | undefined {
    const last = this.#last;
    const totalNs = last === undefined ? 0n : now.totalNs - last.totalNs;
    // The machine was started anew, or a reading came so soon after another that it says nothing.
    if (totalNs >= 0n && last !== undefined && totalNs < LEAST_NS) return this.#ratio;
    this.#last = now;
    if (last === undefined || totalNs < 0n) this.#ratio = undefined;
    else this.#ratio = Math.min(1, Math.max(0, Number(now.busyNs - last.busyNs) / Number(totalNs)));
    return this.#ratio;
  }
}

function timesOf(stats: Readonly<Record<string, bigint>>): CpuTimes {
  let busyNs = 0n;
  let idleNs = 0n;
  for (const [kind, ns] of Object.entries(stats)) {
    if (kind === 'idle' || kind === 'iowait') idleNs += ns;
    else if (kind !== NO_TIME) busyNs += ns;
  }
  return { busyNs, totalNs: busyNs + idleNs };
}
