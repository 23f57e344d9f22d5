// What an owner has at this moment of what quotas limit: VMs without a group, queued ones, and what belongs to them. Pure.
// Not here: whether that is too much (core/user).

import { needOf } from '../core/placement/place.ts';
import { NOTHING, type Quota, type QuotaAmounts, quotaOf } from '../core/user.ts';
import type { LedgerState } from './ledger.ts';

/** Everything of this owner, VMs that are still queued included. To be asked within the change that takes more. */
export function usedBy(state: Pick<LedgerState, 'vms' | 'operations'>, owner: string): QuotaAmounts {
  const used: { -readonly [K in keyof QuotaAmounts]: number } = { ...NOTHING };
  const add = (count: number, need: { vcpus: number; memoryMiB: number; diskGiB: number }) => {
    used.vms += count;
    used.vcpus += count * need.vcpus;
    used.memoryMiB += count * need.memoryMiB;
    used.diskGiB += count * need.diskGiB;
  };
  for (const vm of state.vms.values()) {
    if (vm.group === undefined && vm.owner === owner && vm.flavor) add(1, needOf(vm.flavor, vm.image));
  }
  for (const { owner: whose, create, state: stands } of state.operations.values()) {
    if (stands === 'queued' && whose === owner && create) add(create.names.length, needOf(create.flavor, create.image));
  }
  return used;
}

/** What this owner may have: a user's own quota where it says something, else the one the configuration gives every owner. */
export function quotaFor(state: Pick<LedgerState, 'users'>, owner: string, everybody: Quota): Quota {
  return quotaOf(state.users.get(owner), everybody);
}
