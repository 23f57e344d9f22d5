// In which order VMs of a group are removed. Not here: how many, and which must stay (victims).

import type { VmView } from './model.ts';
import type { Room, Rooms } from './placement/rooms.ts';
import type { RemovalOrder } from './policy.ts';

/** An active VM (launching or in service) that could be removed. */
export interface Candidate {
  readonly view: VmView;
  readonly hostUp: boolean;
  /** Fresh CPU usage; absent when not measured. */
  readonly percent?: number;
  /** Of another template than VMs shall be made from, while that is being put right: goes before those that are not. */
  readonly outdated?: boolean;
}

export function isLaunching({ view }: Candidate): boolean {
  return view.record.phase !== 'in-service';
}

/** In service and well. */
export function isServing(candidate: Candidate): boolean {
  return !isLaunching(candidate) && candidate.view.unhealthy === undefined;
}

function rank(candidate: Candidate): number {
  if (isLaunching(candidate)) return 0;
  if (candidate.view.unhealthy !== undefined) return 1;
  return candidate.outdated === true ? 2 : 3;
}

type Compare = (a: Candidate, b: Candidate) => number;

/** Best to remove first. `count`: how many will go; `rooms`: needed for the order `fullest-host` alone. */
export function ranked(
  candidates: readonly Candidate[],
  order: RemovalOrder,
  count: number,
  rooms?: () => Rooms,
): readonly Candidate[] {
  const compare: Compare = (a, b) => rank(a) - rank(b) || comparison(order)(a, b) || byNewest(a, b);
  const sorted = candidates.toSorted(compare);
  if (order.kind !== 'fullest-host' || rooms === undefined) return sorted;
  return fromFullest(sorted, count, rooms());
}

function comparison(order: RemovalOrder): Compare {
  switch (order.kind) {
    case 'oldest':
      return (a, b) => servedSinceMs(a) - servedSinceMs(b);
    case 'newest':
      return (a, b) => servedSinceMs(b) - servedSinceMs(a);
    case 'label':
      return (a, b) => labelRank(a, order.label) - labelRank(b, order.label);
    default:
      return (a, b) => busyness(a) - busyness(b);
  }
}

/** Ids are given once and rise. */
export function byNewest(a: Candidate, b: Candidate): number {
  return b.view.record.id - a.view.record.id;
}

/** A VM of which nothing is measured may be the busiest of all. */
function busyness({ percent }: Candidate): number {
  return percent ?? Number.MAX_VALUE;
}

export function servedSinceMs({ view: { record } }: Candidate): number {
  return record.servedSinceMs ?? record.phaseAtMs;
}

export function labelOf({ view: { record } }: Candidate, label: string): string | undefined {
  return record.labels !== undefined && Object.hasOwn(record.labels, label) ? record.labels[label] : undefined;
}

/** Without the label, or with one that is no number: last. */
function labelRank(candidate: Candidate, label: string): number {
  const text = labelOf(candidate, label)?.trim() ?? '';
  const value = Number(text);
  return text === '' || Number.isNaN(value) ? Number.MAX_VALUE : value;
}

/** One after the other from the host that is fullest by then: each one that goes makes room on its own. */
function fromFullest(sorted: readonly Candidate[], count: number, rooms: Rooms): readonly Candidate[] {
  const hosts = new Map(rooms.all.map((room) => [room.host, fullnessOf(room)]));
  const fullness = ({ view }: Candidate) => hosts.get(view.record.host);
  const first: Candidate[] = [];
  let left = sorted;
  while (first.length < count && left.length > 0) {
    const next = left.reduce((best, one) =>
      rank(one) === rank(best) && isFuller(fullness(one), fullness(best)) ? one : best,
    );
    first.push(next);
    left = left.filter((one) => one !== next);
    const host = fullness(next);
    if (host === undefined) continue;
    host.freeMiB += next.view.record.flavor?.memoryMiB ?? next.view.domain?.memoryMiB ?? 0;
    host.vms -= 1;
  }
  return [...first, ...left];
}

interface Fullness {
  freeMiB: number;
  readonly totalMiB: number;
  vms: number;
  readonly index: number;
}

function fullnessOf({ index, promised, total, vms }: Room): Fullness {
  return { freeMiB: total.memoryMiB - promised.memoryMiB, totalMiB: total.memoryMiB, vms: vms.length, index };
}

/** The smaller share of its memory free, else more VMs, else the first in the configuration. */
function isFuller(a: Fullness | undefined, b: Fullness | undefined): boolean {
  if (a === undefined || b === undefined || a === b) return false;
  const [share, other] = [freeShare(a), freeShare(b)];
  if (share !== other) return share < other;
  return a.vms === b.vms ? a.index < b.index : a.vms > b.vms;
}

function freeShare({ freeMiB, totalMiB }: Fullness): number {
  return totalMiB > 0 ? freeMiB / totalMiB : 0;
}
