// How many VMs a rule's change is, given the size of the group. Not here: who asks for it (strategies/).

import type { Change } from './policy.ts';

/** At least one VM; a share is rounded towards zero beyond that. */
export function vmsOf(change: Change, size: number): number {
  return 'vms' in change ? change.vms : Math.max(1, Math.floor(rounded((size * change.percent) / 100)));
}

/** A VM more is not wanted for the last bit of a division. */
export function vmsFor(load: number, perVm: number): number {
  return Math.ceil(rounded(load / perVm));
}

function rounded(value: number): number {
  const nearest = Math.round(value);
  return Math.abs(value - nearest) < 1e-9 * Math.max(1, nearest) ? nearest : value;
}
