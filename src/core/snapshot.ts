// Snapshots of VMs: what may be asked for, what one is, which are too many, and how a list of them is a tree. Pure.
// Not here: how a host takes them (ports/snapshots), carrying the work out (engine/snapshots).
//
// The hypervisor is the truth about snapshots: nothing of them is kept in the database but the operation that is under way.

/** `internal`: inside the disk's own file. `external`: the file is frozen, and a new one is written on from then on. */
export type SnapshotKind = 'internal' | 'external';

/**
 * What a revert finds. `application`: every program as it was, since the memory is in it, or nothing ran. `filesystem`: whole file
 * systems, frozen by the guest's agent. `crash`: what a power cut leaves.
 */
export type Consistency = 'application' | 'filesystem' | 'crash';

export interface Snapshot {
  readonly name: string;
  /** Absent: a root. */
  readonly parent?: string;
  /** What the VM has come from: the next one's parent. */
  readonly isCurrent: boolean;
  readonly kind: SnapshotKind;
  readonly hasMemory: boolean;
  /** Of the VM when it was taken. */
  readonly state: 'running' | 'paused' | 'stopped';
  readonly consistency: Consistency;
  /** RFC 3339, whole seconds. */
  readonly createdAt: string;
  readonly description?: string;
  /** The operation that took it; those of one operation belong together. Absent: somebody else made it. */
  readonly operation?: string;
}

/** How many are kept when a new one is taken: at most `count`, none older than `hours`. Either may be absent. */
export interface KeepRule {
  readonly count?: number;
  readonly hours?: number;
}

/** A request for a snapshot of one VM or of several together. */
export interface SnapshotRequest {
  /** Absent: by the time, such as `2026-11-21-180500`. */
  readonly name?: string;
  /** Absent: internal where that is possible. */
  readonly kind?: SnapshotKind;
  /** Absent: with memory. Of a VM that is off there is none in any case. */
  readonly memory?: boolean;
  /** Without memory: `true` fails where no agent freezes the file systems, `false` does not ask. Absent: where there is one. */
  readonly quiesce?: boolean;
  readonly description?: string;
  /** Absent: as the labels of the VM say. */
  readonly keep?: KeepRule;
}

/** What a snapshot operation is about: the request, and what became of it with each VM. */
export interface SnapshotWork {
  readonly name: string;
  readonly kind?: SnapshotKind;
  readonly memory?: boolean;
  readonly quiesce?: boolean;
  readonly description?: string;
  readonly keep?: KeepRule;
  /** Reverts: what the VM shall be afterwards, where the snapshot has no memory that says so. */
  readonly power?: 'running' | 'stopped';
  readonly taken?: readonly TakenSnapshot[];
}

export interface TakenSnapshot {
  readonly vmId: number;
  readonly kind: SnapshotKind;
  readonly memory: boolean;
  readonly consistency: Consistency;
  /** Older ones that the rule removed. */
  readonly removed: readonly string[];
}

export const SNAPSHOT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Labels of a VM that say how many of its snapshots are kept. */
export const KEEP_COUNT_LABEL = 'snapshots/keep-count';
export const KEEP_HOURS_LABEL = 'snapshots/keep-hours';

const HOUR_MS = 3_600_000;

/** `at`: RFC 3339. */
export function nameByTime(at: string): string {
  return at.slice(0, 19).replace('T', '-').replaceAll(':', '');
}

/** What its labels say; whatever is no positive number says nothing. */
export function keepRuleOf(labels: Readonly<Record<string, string>> | undefined): KeepRule | undefined {
  const count = positive(labels?.[KEEP_COUNT_LABEL]);
  const hours = positive(labels?.[KEEP_HOURS_LABEL]);
  if (count === undefined && hours === undefined) return undefined;
  return { ...(count !== undefined && { count }), ...(hours !== undefined && { hours }) };
}

function positive(text: string | undefined): number | undefined {
  const number = text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : 0;
  return number > 0 ? number : undefined;
}

/**
 * Which are too many, oldest first. Never the newest, never the one the VM has come from, never one that somebody else made.
 * `at`: RFC 3339.
 */
export function tooMany(snapshots: readonly Snapshot[], keep: KeepRule, at: string): readonly Snapshot[] {
  const ours = snapshots
    .map((snapshot, index) => ({ snapshot, index }))
    .filter(({ snapshot }) => snapshot.operation !== undefined)
    // Those of one second are listed parents first.
    .sort((a, b) => Date.parse(a.snapshot.createdAt) - Date.parse(b.snapshot.createdAt) || a.index - b.index)
    .map(({ snapshot }) => snapshot);
  const surplus = keep.count === undefined ? 0 : ours.length - keep.count;
  const oldestMs = keep.hours === undefined ? Number.NEGATIVE_INFINITY : Date.parse(at) - keep.hours * HOUR_MS;
  return ours
    .slice(0, -1)
    .filter(({ createdAt, isCurrent }, index) => !isCurrent && (index < surplus || Date.parse(createdAt) < oldestMs));
}

/** Each with how deep it lies, children after their parent, oldest first. One whose parent is not in the list is a root. */
export function asTree<T extends { readonly name: string; readonly parent?: string | undefined }>(
  snapshots: readonly T[],
): readonly { readonly snapshot: T; readonly depth: number; readonly isLast: boolean }[] {
  const names = new Set(snapshots.map(({ name }) => name));
  const childrenOf = new Map<string | undefined, T[]>();
  for (const snapshot of snapshots) {
    const parent =
      snapshot.parent !== undefined && names.has(snapshot.parent) && snapshot.parent !== snapshot.name
        ? snapshot.parent
        : undefined;
    const children = childrenOf.get(parent) ?? [];
    childrenOf.set(parent, children);
    children.push(snapshot);
  }
  const lines: { snapshot: T; depth: number; isLast: boolean }[] = [];
  const walk = (parent: string | undefined, depth: number): void => {
    const children = childrenOf.get(parent) ?? [];
    // A loop, which libvirt does not have, would hide its members, not hang.
    childrenOf.delete(parent);
    children.forEach((snapshot, index) => {
      lines.push({ snapshot, depth, isLast: index === children.length - 1 });
      walk(snapshot.name, depth + 1);
    });
  };
  walk(undefined, 0);
  return lines;
}
