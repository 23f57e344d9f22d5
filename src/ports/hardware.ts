// Port: changing what one VM is made of. The contract on each method is what test/contracts/hypervisor-hardware.ts checks.
// As in hypervisor.ts: throw only `Fault`, honour `signal`. Every method may be repeated: what is so already is no error.

import type { Sizes, VmHardware } from '../core/hardware.ts';

/** What became of a file system whose disk has grown. */
export interface FileSystemGrowth {
  /** The guest has the space. */
  readonly grown: boolean;
  /** How, or what is left to do by hand and why; in words for people. */
  readonly text: string;
}

export interface Hardware {
  /** What the VM has now, and what its next start would give it. `gone` when there is no such domain. */
  look(uuid: string, signal: AbortSignal): Promise<VmHardware>;

  /**
   * Makes its first disk `bytes` large: of a running VM at once (the guest sees it), of a stopped one in the pool. `refused`: it is larger
   * already, its memory is saved, or there is no room; then it is as it was.
   */
  growDisk(uuid: string, bytes: number, signal: AbortSignal): Promise<void>;

  /** Lets the guest's root file system take what its disk has, by the agent. Who cannot, says so in the answer; `busy`: the agent may come yet. */
  growFileSystem(uuid: string, signal: AbortSignal): Promise<FileSystemGrowth>;

  /** Changes what the next start gives; what runs stays as it is. `refused` when its memory is saved. */
  define(uuid: string, sizes: Sizes, signal: AbortSignal): Promise<void>;

  /** Tells the balloon of a running VM how much memory it shall have; `look` tells when it has. `refused` beyond its maximum, `conflict` when it does not run. */
  setMemory(uuid: string, memoryMiB: number, signal: AbortSignal): Promise<void>;

  /**
   * Lets a running VM use so many vCPUs: missing ones are plugged in, and the guest takes them into use or out of use by its agent. None is
   * ever unplugged. `refused` beyond its maximum, `conflict` when it does not run, `busy` when plugged ones wait for an agent that does not answer.
   */
  setVcpus(uuid: string, vcpus: number, signal: AbortSignal): Promise<void>;

  /**
   * Adds a network card of this address (lower case) on the network that the host's configuration names, for the next start and, with `live`,
   * to what runs. `refused` when a running VM has no free slot.
   */
  attachNic(uuid: string, mac: string, live: boolean, signal: AbortSignal): Promise<void>;

  /** Takes a card away from the next start and, with `live`, asks the guest to let it go; `look` tells when it has. The card with the forwarded port is `refused`. */
  detachNic(uuid: string, mac: string, live: boolean, signal: AbortSignal): Promise<void>;
}
