// A bed of 2 to 4 whole hosts on one machine, each in namespaces of its own with a system libvirtd, sshd and a bridge.
// Needs root (requirements.ts says whether this machine will do). Nothing of it is left after `stop`, nor after a crash:
// hosts die with their owner, and the next start removes what is left of beds whose owner is dead.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BedHost } from './bed-host.ts';
import { BEDS_FOLDER, newBedName } from './bed-name.ts';
import { controlSpace, hostAddress, makeControlSpace, makeHostSpace, runIn, startDhcp } from './bed-network.ts';
import type { Command, CommandOptions } from './command.ts';
import { type CpuController, type CpuQuotas, findCpuController, makeHostCgroup, quotaSetting } from './cpu-quota.ts';
import { makeCredentials } from './credentials.ts';
import { writeHostSettings } from './host-settings.ts';
import { removeAbandonedHostBeds, removeHostBed } from './reaper.ts';

export interface HostBedOptions {
  /** 1 to 4. */
  readonly hosts: number;
  readonly quotas?: CpuQuotas;
  readonly signal?: AbortSignal;
  readonly log?: (line: string) => void;
}

export interface HostBed {
  /** Of everything that belongs to it. */
  readonly name: string;
  readonly dir: string;
  readonly hosts: readonly BedHost[];
  /** Whether the quotas asked for are in force, and if not, why. */
  readonly quotas: { readonly inForce: boolean; readonly reason: string };
  /** The namespace for clients: `ip netns exec THIS PROGRAM`. */
  readonly controlSpace: string;
  /** Runs a program in it; resolves with what it wrote to standard output. */
  ctl(command: Command, options?: CommandOptions): Promise<string>;
  /** Removes everything. May be called again. */
  stop(): Promise<void>;
}

const HOSTS_MAX = 4;
const START_LIMIT_MS = 40_000;

/** @throws Error with the failed command's words or the end of a host's logs; then nothing is left of the bed */
export async function startHostBed({
  hosts: count,
  quotas = {},
  signal,
  log = () => {},
}: HostBedOptions): Promise<HostBed> {
  if (!Number.isInteger(count) || count < 1 || count > HOSTS_MAX) throw new Error(`a bed has 1 to ${HOSTS_MAX} hosts`);
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  const end = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  for (const abandoned of await removeAbandonedHostBeds()) log(`removed ${abandoned}, whose owner has died`);
  const name = await newBedName('h');
  try {
    return await makeBed(name, count, quotas, end, log);
  } catch (error) {
    await removeHostBed(name);
    if (limit.aborted && !signal?.aborted) throw new Error(`no bed within ${START_LIMIT_MS} ms`, { cause: error });
    throw error;
  }
}

async function makeBed(
  name: string,
  count: number,
  quotas: CpuQuotas,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<HostBed> {
  const dir = join(BEDS_FOLDER, name);
  // Root alone: whoever reaches a host's unix socket controls it.
  await mkdir(dir, { mode: 0o700 });
  const named = Array.from({ length: count }, (_, index) => ({
    name: `h${index + 1}`,
    address: hostAddress(index + 1),
  }));
  const limits = await cpuLimits(quotas);
  const making = makeCredentials(dir, named, signal);
  await allOrFirstError<unknown>([making, makeControlSpace(name, signal)]);
  const credentials = await making;
  const dhcp = await startDhcp(name, dir);
  const hosts = await allOrFirstError(
    named.map(async (host, index) => {
      const place = { ...host, dir: join(dir, host.name) };
      await mkdir(place.dir);
      await writeHostSettings(place, named, credentials, limits.vm);
      await makeHostSpace(name, host.name, index + 1, signal);
      const cgroup = await limits.cgroupFor(`${name}-${host.name}`);
      const bedHost = new BedHost({ ...place, bed: name, number: index + 1, credentials, cgroup });
      await bedHost.powerOn(signal);
      log(`host ${host.name} is up`);
      return bedHost;
    }),
  );
  if (dhcp.exitCode !== null) throw new Error(`dnsmasq has ended (status ${dhcp.exitCode}): see ${dir}/dnsmasq.log`);
  let stopping: Promise<void> | undefined;
  return {
    name,
    dir,
    hosts,
    quotas: limits.verdict,
    controlSpace: controlSpace(name),
    ctl: (command, options = {}) => runIn(controlSpace(name), command, options),
    stop: () => {
      stopping ??= removeHostBed(name);
      return stopping;
    },
  };
}

/** Nothing is under way any more when it rejects: then what was made can be removed. */
async function allOrFirstError<T>(work: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}

interface CpuLimits {
  readonly verdict: HostBed['quotas'];
  readonly vm: { readonly file: string; readonly text: string } | undefined;
  cgroupFor(name: string): Promise<{ readonly folder: string; readonly controller: CpuController } | undefined>;
}

async function cpuLimits(quotas: CpuQuotas): Promise<CpuLimits> {
  const { hostPercent, vmPercent } = quotas;
  const none = (reason: string): CpuLimits => ({
    verdict: { inForce: false, reason },
    vm: undefined,
    cgroupFor: async () => undefined,
  });
  if (hostPercent === undefined && vmPercent === undefined) return none('none were asked for');
  if (hostPercent !== undefined && vmPercent !== undefined && vmPercent > hostPercent) {
    throw new Error(`a VM cannot have ${vmPercent} % of a CPU where its host has ${hostPercent} %`);
  }
  const controller = await findCpuController();
  if ('reason' in controller) return none(`this machine cannot limit CPU: ${controller.reason}`);
  return {
    verdict: { inForce: true, reason: `cgroup v${controller.version} in ${controller.folder}` },
    vm: vmPercent === undefined ? undefined : quotaSetting(controller, vmPercent),
    cgroupFor: async (name) => ({ folder: await makeHostCgroup(controller, name, quotas), controller }),
  };
}
