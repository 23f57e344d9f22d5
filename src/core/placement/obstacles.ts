// Why a host cannot take a VM: the one test of whether it fits, and the words for it. Not here: which of those that fit is taken.

import type { HostName, PlacementRules } from '../model.ts';
import { sizeText } from '../wording.ts';
import { imageGiB, type Need, type Room, type Rooms } from './rooms.ts';

/** Nearest to fitting first: in this order they are told. */
export const OBSTACLES = [
  'memory-free',
  'disk-free',
  'memory',
  'vcpus',
  'disk',
  'apart',
  'with-vms',
  'without-vms',
  'unknown-vm',
  'unknown',
  'closed',
  'labels',
  'host',
] as const;
export type Obstacle = (typeof OBSTACLES)[number];

/** For many hosts at once, after their number. */
export const OBSTACLE_TEXT: Readonly<Record<Obstacle, string>> = {
  'memory-free': 'too little memory really free',
  'disk-free': 'too little disk really free',
  memory: 'too little memory left',
  vcpus: 'too few vCPUs left',
  disk: 'too little disk left',
  apart: 'one of the same group or request is there',
  'with-vms': 'not where the VM is that it shall be with',
  'without-vms': 'a VM is there that it shall not be with',
  'unknown-vm': 'a VM that is named does not exist',
  unknown: 'they do not tell what they have',
  closed: 'not up or cordoned',
  labels: 'other labels',
  host: 'another host is asked for',
};

/** One VM to be placed, with what the rules name looked up. */
export interface Wanted {
  readonly need: Need;
  /** Whose VMs are its siblings: a group's name, or an operation's id. */
  readonly set: string;
  readonly rules: PlacementRules;
  /** Hosts of the VMs that the rules name; those that are on none are not in it. */
  readonly hostOfVm: ReadonlyMap<number, HostName>;
  /** The first VM that the rules name and that is on none of the hosts. */
  readonly unknownVm?: number;
}

export function wantedOf(rooms: Rooms, need: Need, set: string, rules: PlacementRules): Wanted {
  const named = new Set([...(rules.withVms ?? []), ...(rules.withoutVms ?? [])]);
  const hostOfVm = new Map<number, HostName>();
  if (named.size > 0) {
    for (const { host, vms } of rooms.all) {
      for (const { id } of vms) if (id !== undefined && named.has(id)) hostOfVm.set(id, host);
    }
  }
  const unknownVm = [...named].find((id) => !hostOfVm.has(id));
  return { need, set, rules, hostOfVm, ...(unknownVm !== undefined && { unknownVm }) };
}

/** The first thing in the way; absent when the VM fits. What people asked for comes before what the host has. */
export function obstacleOf(room: Room, wanted: Wanted): Obstacle | undefined {
  return ruledOut(room, wanted.rules) ?? shut(room) ?? badCompany(room, wanted) ?? tooSmall(room, wanted.need);
}

/** By the rules about the host itself, which hold whatever is on it. */
export function ruledOut(room: Room, { host, labels }: PlacementRules): Obstacle | undefined {
  if (host !== undefined && host !== room.host) return 'host';
  return labels !== undefined && missingLabel(room, labels) !== undefined ? 'labels' : undefined;
}

function shut(room: Room): Obstacle | undefined {
  if (room.closed !== undefined) return 'closed';
  return room.unknown === undefined ? undefined : 'unknown';
}

function badCompany(room: Room, wanted: Wanted): Obstacle | undefined {
  const { withVms, withoutVms, apart } = wanted.rules;
  if (wanted.unknownVm !== undefined) return 'unknown-vm';
  if (withVms?.some((id) => wanted.hostOfVm.get(id) !== room.host)) return 'with-vms';
  if (withoutVms?.some((id) => wanted.hostOfVm.get(id) === room.host)) return 'without-vms';
  return apart === true && siblingsIn(room, wanted.set) > 0 ? 'apart' : undefined;
}

export function tooSmall(room: Room, need: Need): Obstacle | undefined {
  const { total, promised } = room;
  if (promised.vcpus + need.vcpus > total.vcpus) return 'vcpus';
  if (promised.memoryMiB + need.memoryMiB > total.memoryMiB) return 'memory';
  if (promised.diskGiB + need.diskGiB > total.diskGiB) return 'disk';
  if (need.memoryMiB > room.memoryFreeMiB) return 'memory-free';
  return room.diskFreeGiB - imageGiB(room, need) > 0 ? undefined : 'disk-free';
}

/** VMs on the host that belong to the same group or request. */
export function siblingsIn({ vms }: Room, set: string): number {
  let siblings = 0;
  for (const { group, operation } of vms) if ((group ?? operation) === set) siblings += 1;
  return siblings;
}

/** One sentence for people about this host. */
export function obstacleText(obstacle: Obstacle, room: Room, wanted: Wanted): string {
  const { need, rules, hostOfVm } = wanted;
  const { total, promised } = room;
  switch (obstacle) {
    case 'host':
      return `host ${rules.host} is asked for`;
    case 'labels':
      return labelText(room, rules.labels ?? {});
    case 'closed':
      return room.closed ?? '';
    case 'unknown':
      return room.unknown ?? '';
    case 'unknown-vm':
      return `there is no VM ${wanted.unknownVm}, which the request names`;
    case 'with-vms': {
      const id = rules.withVms?.find((vm) => hostOfVm.get(vm) !== room.host);
      return `VM ${id}, which it shall be with, is on host ${hostOfVm.get(id ?? 0)}`;
    }
    case 'without-vms':
      return `VM ${rules.withoutVms?.find((id) => hostOfVm.get(id) === room.host)}, which it shall not be with, is there`;
    case 'apart':
      return 'one of the same group or request is there, and they are to be apart';
    case 'vcpus':
      return `a VM needs ${sizeText(need.vcpus)} vCPUs, ${left(total.vcpus, promised.vcpus)} are left`;
    case 'memory':
      return `a VM needs ${need.memoryMiB} MiB, ${left(total.memoryMiB, promised.memoryMiB)} MiB are left`;
    case 'disk':
      return `a VM needs ${sizeText(need.diskGiB)} GiB of disk, ${left(total.diskGiB, promised.diskGiB)} GiB are left`;
    case 'memory-free':
      return `a VM needs ${need.memoryMiB} MiB, ${left(room.memoryFreeMiB, 0)} MiB of the host's memory are really free`;
    case 'disk-free': {
      const imageNeeds = imageGiB(room, need);
      const what = imageNeeds > 0 ? `its image needs ${sizeText(imageNeeds)} GiB` : 'a disk needs some room';
      return `${what}, ${left(room.diskFreeGiB, 0)} GiB of the pool are really free`;
    }
  }
}

function left(total: number, promised: number): string {
  const rest = sizeText(Math.max(0, total - promised));
  return promised > 0 ? `${rest} of ${sizeText(total)}` : rest;
}

function missingLabel({ labels: has }: Room, labels: Readonly<Record<string, string>>): string | undefined {
  return Object.keys(labels).find((key) => has[key] !== labels[key]);
}

function labelText(room: Room, labels: Readonly<Record<string, string>>): string {
  const key = missingLabel(room, labels) ?? '';
  const has = Object.hasOwn(room.labels, key) ? `its label ${key} is ${room.labels[key]}` : `it has no label ${key}`;
  return `${has}; ${labels[key]} is asked for`;
}
