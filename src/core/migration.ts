// Moving a running VM to another host: what is kept of it, and what is to be done next, from a look at both hosts. Pure.
// Not here: looking and doing (engine/migration-judge, migration-run), the calls (ports/migration), where a VM goes (placement).

import type { Endpoint, HostName } from './model.ts';

/**
 * Where the VM's disks are at the target. `shared`: both hosts have the same storage, nothing is copied. `changes`: an overlay of the same
 * image, into which what the VM has written is copied. `whole`: everything is copied, and nothing lies below.
 */
export type DiskWay = 'shared' | 'changes' | 'whole';

/**
 * The target's copy is left paused by libvirt and let run by virtscale alone, once the source's copy is certainly gone: libvirt by itself
 * lets the source go on when the target's last answer is lost, although the target may run by then.
 *
 *   preparing ──target has volumes and an address──▶ moving ──the call ended, or nobody knows how──▶ (both hosts are looked at)
 *      │                                               │
 *      │                                               ├─ source gone, target runs ──▶ arrived ──source's leftovers removed──▶ succeeded
 *      │ refused, cancelled                            │
 *      └───────────────▶ undoing ◀── source has it ────┘
 *                           └── nothing of it left at the target ──▶ failed, cancelled
 *
 * `preparing` has made nothing but volumes at the target. `moving` is stored before libvirt is asked to move it: from then on only a look
 * at both hosts says who has the VM. A host that does not answer is waited for, however long: unreachable is not gone.
 */
export type MigrationStage = 'preparing' | 'moving' | 'arrived' | 'undoing';

/** What an operation of kind vm.migrate keeps. */
export interface Migration {
  readonly vmId: number;
  readonly from: HostName;
  readonly to: HostName;
  readonly stage: MigrationStage;
  readonly disks: DiskWay;
  /** Absent: as fast as it goes. */
  readonly bandwidthMiBps?: number;
  /** Of the moving itself; then it is called off, and the VM goes on where it is. */
  readonly timeoutMs: number;
  /** When `moving` began. */
  readonly movingSinceMs?: number;
  /** At the target, where it has one of its own there. */
  readonly endpoint?: Endpoint;
  /** Why it is being undone, in words for people. */
  readonly reason?: string;
  /** It ran out of time; absent: it did not. */
  readonly timedOut?: boolean;
  /** Who wants it: absent, a person; else the operation that drains the host, or `rebalance`. */
  readonly parent?: string;
}

/**
 * One of the two copies, as its host says now. `off`: defined, without QEMU. `paused`: it has a QEMU whose vCPUs stand still: one that is
 * arriving, has arrived, or is leaving.
 */
export interface Copy {
  readonly state: 'absent' | 'off' | 'paused' | 'running';
  /** libvirt is at work on it (it is being moved): what it is now says nothing about what it will be. */
  readonly busy: boolean;
  /** Its definition is kept: at the target that is so once it has arrived whole. */
  readonly persistent: boolean;
}

/** One step toward exactly one copy; after each both hosts are looked at again. */
export type NextMove =
  /** libvirt still moves it, or the two looks do not go together. */
  | { readonly kind: 'wait' }
  /** The target's copy goes: the source has the VM. */
  | { readonly kind: 'clear-target' }
  | { readonly kind: 'resume-source' }
  /** The source's copy goes: the target has the VM. */
  | { readonly kind: 'clear-source' }
  | { readonly kind: 'resume-target' }
  /** Nothing of it is at the target but volumes. */
  | { readonly kind: 'stayed' }
  | { readonly kind: 'arrived' }
  /** On neither host. */
  | { readonly kind: 'lost' };

/**
 * Who has the VM, once its moving has begun. The source is looked at first. A copy that is let run (resume) is the only one that has a
 * QEMU at that moment: never two run. A copy is removed only while the other one is whole: never none.
 */
export function nextMove(source: Copy, target: Copy): NextMove {
  if (source.busy) return { kind: 'wait' };
  switch (source.state) {
    case 'running':
      if (target.state === 'absent') return { kind: 'stayed' };
      // It began to run between the two looks (or somebody started it by hand): a later look will tell.
      return { kind: target.state === 'running' ? 'wait' : 'clear-target' };
    case 'paused':
      // The source's memory is whole until the target's runs.
      if (target.state === 'running') return { kind: 'clear-source' };
      return { kind: target.state === 'absent' ? 'resume-source' : 'clear-target' };
    case 'off':
    case 'absent':
      return withoutSource(source, target);
  }
}

function withoutSource(source: Copy, target: Copy): NextMove {
  const sourceIsLeft = source.state === 'off';
  switch (target.state) {
    case 'absent':
      return { kind: sourceIsLeft ? 'stayed' : 'lost' };
    case 'paused':
      // The guest switched itself off while it was being moved: what has come over is no whole copy.
      if (sourceIsLeft && !target.persistent) return { kind: 'clear-target' };
      return { kind: 'resume-target' };
    case 'running':
    case 'off':
      return { kind: sourceIsLeft ? 'clear-source' : 'arrived' };
  }
}

/** Figures of a migration under way, or of one that has ended. */
export interface MoveFigures {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond?: number;
  /** Of memory, which the guest may make anew as fast as it goes. */
  readonly remainingMs?: number;
  /** For how long neither copy ran, as libvirt measured or expects it. */
  readonly downtimeMs?: number;
}

const MIB = 1024 * 1024;

/** One line for people: `61 of 192 MiB, 153 MiB/s, about 1 s left`. */
export function figuresText({ bytesPerSecond, doneBytes, remainingMs, totalBytes }: MoveFigures): string {
  const whole = (bytes: number): string => (bytes / MIB).toFixed(0);
  return [
    `${whole(doneBytes)} of ${whole(totalBytes)} MiB`,
    ...(bytesPerSecond === undefined ? [] : [`${whole(bytesPerSecond)} MiB/s`]),
    ...(remainingMs === undefined ? [] : [`about ${Math.ceil(remainingMs / 1000)} s left`]),
  ].join(', ');
}
