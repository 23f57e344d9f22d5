// Fewer VMs in service: whom to drain. Not here: how many are too many (reconcile), the order (removal-order).

import type { Action, AppliedLimit, Choice } from './decision.ts';
import type { Membership } from './membership.ts';
import type { Suspendable } from './memory.ts';
import type { Rooms } from './placement/rooms.ts';
import type { Policy } from './policy.ts';
import { type Candidate, isLaunching, isServing } from './removal-order.ts';
import { chooseVictims, type Victims } from './victims.ts';
import { vmsText } from './wording.ts';

export interface ShrinkInput {
  readonly policy: Pick<Policy, 'group' | 'removal'>;
  readonly membership: Membership;
  /** Launching or in service, without those just chosen to go. */
  readonly candidates: readonly Candidate[];
  /** VMs too many; positive. */
  readonly excess: number;
  /** As many VMs as this must go on serving. */
  readonly min: number;
  readonly suspended: readonly Suspendable[];
  readonly rooms: () => Rooms;
  readonly nowMs: number;
  /** Why VMs are too many. */
  readonly reason: string;
}

export interface Shrunk {
  readonly actions: readonly Action[];
  readonly limits: readonly AppliedLimit[];
  readonly victims: readonly Choice[];
  readonly text: string;
}

export function shrink(input: ShrinkInput): Shrunk {
  const { candidates, excess, min, nowMs, policy, reason, rooms, suspended } = input;
  const size = candidates.length;
  if (suspended.includes('remove')) {
    const text = `${vmsText(excess)} too many: removing is suspended.`;
    return { actions: [], limits: [{ limit: 'suspended', from: size - excess, to: size, text }], victims: [], text };
  }
  const inServiceMax = Math.max(0, candidates.filter((one) => !isLaunching(one)).length - min);
  const servingMax = Math.max(0, candidates.filter(isServing).length - min);
  const options = { order: policy.removal, count: excess, inServiceMax, servingMax, nowMs, rooms };
  const victims = chooseVictims(candidates, options);
  const { chosen } = victims;
  const actions = chosen.map(({ record, unhealthy }): Action => {
    const drain = { kind: 'drain', group: policy.group, vmId: record.id, reason, because: 'size' } as const;
    return unhealthy === undefined ? drain : { ...drain, atOnce: true };
  });
  const short = shortfalls(victims, min);
  const limits = short.map((one) => ({ ...one, from: size - excess, to: size - chosen.length }));
  const names = chosen.map(({ record }) => record.name).join(', ');
  const sentences = [...(chosen.length > 0 ? [`Removing ${names}.`] : []), ...short.map(({ text }) => text)];
  return { actions, limits, victims: victims.choices, text: sentences.join(' ') };
}

/** Why fewer go than should. */
function shortfalls(
  { needed, unknown, shielded }: Victims,
  min: number,
): readonly { readonly limit: 'min' | 'stale' | 'protected'; readonly text: string }[] {
  const short: { limit: 'min' | 'stale' | 'protected'; text: string }[] = [];
  if (needed > 0) {
    const text = `${vmsText(needed)} too many, but the policy wants at least ${vmsText(min)} in service: they stay until others are ready.`;
    short.push({ limit: 'min', text });
  }
  if (unknown > 0) {
    const text = `${vmsText(unknown)} too many, but what they do now is not known: they stay until their hosts have answered.`;
    short.push({ limit: 'stale', text });
  }
  if (shielded > 0) {
    const text = `${vmsText(shielded)} too many, but the rest are protected: they stay.`;
    short.push({ limit: 'protected', text });
  }
  return short;
}
