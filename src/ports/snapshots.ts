// Port: snapshots of one host's VMs, a capability of the Hypervisor port and under its rules: throws only `Fault`, honours `signal`.
// The contract on each method is what test/contracts/hypervisor-snapshots.ts checks on every adapter.

import type { Snapshot, SnapshotKind } from '../core/snapshot.ts';

export interface SnapshotWish {
  readonly name: string;
  /** Absent: internal where that is possible. */
  readonly kind?: SnapshotKind;
  /** Of a VM that is off there is none in any case. */
  readonly memory: boolean;
  readonly description?: string;
  /** The operation it is taken for, kept with it. */
  readonly operation: string;
  /** Its file systems are frozen now. */
  readonly frozen: boolean;
  /** Its vCPUs stand still for this alone: it counts as running, and a revert lets it run. */
  readonly resumes: boolean;
}

export interface RevertWish {
  /** Repeating it for the same operation goes on where the try before was cut off; one that had come to its end with an internal snapshot goes back once more. */
  readonly operation: string;
  /** What it shall be afterwards; not looked at when the snapshot has memory: then it is as it was. */
  readonly power: 'running' | 'stopped';
}

export interface Snapshots {
  /** All of them, whoever made them, parents before their children. `gone`: there is no such domain. */
  list(uuid: string, signal: AbortSignal): Promise<readonly Snapshot[]>;

  /** Has the guest's agent freeze its file systems. False: there is none that answers or can. They stay frozen until `thaw`. */
  freeze(uuid: string, signal: AbortSignal): Promise<boolean>;

  /** Lets the file systems go on. One that is not frozen, does not run or is gone is no error; `busy` when the agent does not answer. */
  thaw(uuid: string, signal: AbortSignal): Promise<void>;

  /**
   * Takes it; the VM is as before afterwards. One of that name by the same operation is the answer to a try that was repeated; by
   * anybody else it is `conflict`. `refused`: the kind is not possible with this VM, and why. What fails leaves no files.
   */
  take(uuid: string, wish: SnapshotWish, signal: AbortSignal): Promise<Snapshot>;

  /**
   * Makes the VM what it was; what happened since is lost, other snapshots are not. With memory it runs on from there (its clock
   * stands where it stood), otherwise `power` says. `gone`: there is no such snapshot. `conflict`: others lie above it, which would be lost.
   */
  revert(uuid: string, name: string, wish: RevertWish, signal: AbortSignal): Promise<Snapshot>;

  /** Others stay, its children become its parent's. Files go when nothing needs them any more. An absent one is no error. */
  delete(uuid: string, name: string, signal: AbortSignal): Promise<void>;
}
