// People who share the hosts: who they are, how much each may have, and whether a request goes beyond that. Pure.
// Not here: passwords (edge/passwords), keeping users (engine/users), what a role may see (edge/visibility).

/** user: sees and touches only what is his. admin: everything, as the operator's own tokens. */
export type Role = 'user' | 'admin';

/** What one owner may have at a time of VMs without a group. Absent parts: as much as fits. */
export interface Quota {
  readonly vms?: number;
  readonly vcpus?: number;
  readonly memoryMiB?: number;
  readonly diskGiB?: number;
  readonly snapshots?: number;
}

/** Amounts of what a quota limits, all of them. */
export type QuotaAmounts = Required<Quota>;

export const NOTHING: QuotaAmounts = { vms: 0, vcpus: 0, memoryMiB: 0, diskGiB: 0, snapshots: 0 };

export interface User {
  /** Chosen once, never given to anybody else: the `owner` of what he does, also after he is gone. */
  readonly name: string;
  readonly role: Role;
  /** Wall times, RFC 3339. */
  readonly createdAt: string;
  /** Why he is not let in any more, in words for people. Absent: he is. */
  readonly disabled?: string;
  readonly quota: Quota;
  /** He is gone; what is left is his name, so that nobody else is taken for him. */
  readonly deletedAt?: string;
}

/** A user as he is kept. `password`: its hash with the parameters it was made with; empty: there is none, and none fits. */
export interface UserRecord extends User {
  readonly password: string;
}

/** What goes beyond a quota, part by part in the order of {@link QUOTA_PARTS} the first one. */
export interface OverQuota {
  readonly part: keyof Quota;
  readonly allowed: number;
  readonly used: number;
  readonly asked: number;
  /** For people: names the quota, what is used and what was asked. */
  readonly reason: string;
}

export const QUOTA_PARTS = ['vms', 'vcpus', 'memoryMiB', 'diskGiB', 'snapshots'] as const satisfies (keyof Quota)[];

const UNITS: Readonly<Record<keyof Quota, string>> = {
  vms: 'VMs',
  vcpus: 'vCPUs',
  memoryMiB: 'MiB of memory',
  diskGiB: 'GiB of disk',
  snapshots: 'snapshots',
};

/**
 * Whether `asked` on top of `used` goes beyond what `user` may have. To be asked within the change that reserves it, so that two
 * requests at once cannot both pass. What is not asked for is not looked at: who is over already may still take less of something else.
 */
export function overQuota(
  { quota }: { readonly quota: Quota },
  used: Partial<QuotaAmounts>,
  asked: Partial<QuotaAmounts>,
): OverQuota | undefined {
  for (const part of QUOTA_PARTS) {
    const allowed = quota[part];
    const more = asked[part] ?? 0;
    const has = used[part] ?? 0;
    if (allowed === undefined || more <= 0 || has + more <= allowed) continue;
    const reason = `over the quota of ${shown(allowed)} ${UNITS[part]}: ${shown(has)} in use, ${shown(more)} more asked for`;
    return { part, allowed, used: has, asked: more, reason };
  }
  return undefined;
}

/** The quota in force: a user's own where it says something, else the one of every owner. */
export function quotaOf(user: { readonly quota: Quota } | undefined, everybody: Quota): Quota {
  return { ...everybody, ...user?.quota };
}

function shown(amount: number): string {
  return String(Math.round(amount * 100) / 100);
}
