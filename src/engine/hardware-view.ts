// What the edges may ask about what a VM is made of. Not here: carrying it out (hardware, hardware-run), HTTP.

import type { VmHardware } from '../core/hardware.ts';
import type { Caller, CommandResult, OperationStatus } from './view.ts';

/** What every change of a VM's hardware may be allowed. */
export interface HardwareOptions {
  /** The VM may be shut down and started again, where it cannot be done otherwise. */
  readonly restart?: boolean;
  /** A guest that does not shut down has its plug pulled. */
  readonly force?: boolean;
}

/** What a VM shall have from now on; what is absent stays. */
export interface ResizeRequest extends HardwareOptions {
  readonly vcpus?: number;
  readonly memoryMiB?: number;
  /** Never less than it has. */
  readonly diskGiB?: number;
}

/**
 * Changing what a VM is made of. Refused with `conflict`: a VM of a group, one that another operation is about, a disk made smaller, and what
 * needs a restart when none is allowed. `no-capacity`: its host has no more. `unreachable`: its host cannot be asked.
 */
export interface HardwareCommands {
  /** As its host says now. */
  look(id: number, signal: AbortSignal): Promise<CommandResult<VmHardware>>;
  resize(id: number, request: ResizeRequest, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** A further card on the network that the host's configuration names; its address stands in the operation. */
  attachNic(id: number, options: HardwareOptions, caller: Caller): Promise<CommandResult<OperationStatus>>;
  detachNic(id: number, mac: string, options: HardwareOptions, caller: Caller): Promise<CommandResult<OperationStatus>>;
}
