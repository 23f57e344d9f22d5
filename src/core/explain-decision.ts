// Makes the record of a decision: its cause, and the sentence for people. Not here: the paragraph for those who ask why (why-text).

import type { Decision } from './decision.ts';
import type { Membership } from './membership.ts';
import type { Policy } from './policy.ts';
import type { Reconciled } from './reconcile.ts';
import type { Sized } from './size.ts';
import { vmsText } from './wording.ts';

export interface Outcome {
  readonly policy: Policy;
  readonly membership: Membership;
  readonly sized: Sized;
  /** A user set `desired` since the last decision. */
  readonly asked: boolean;
  /** Absent: the policy only observes. */
  readonly reconciled?: Reconciled;
  readonly nowMs: number;
}

export function explainDecision(outcome: Outcome): Decision {
  const { policy, membership, sized, reconciled, nowMs } = outcome;
  const cause = causeOf(outcome);
  const { cpuPercent } = membership;
  const observed = reconciled === undefined;
  return {
    group: policy.group,
    atMs: nowMs,
    desiredBefore: sized.desiredBefore,
    desired: sized.desired,
    cause,
    ...(cause === 'rule' && sized.followed && { rule: sized.followed.rule }),
    counts: { desired: sized.desired, ...membership.counts },
    ...(cpuPercent !== undefined && { cpuPercent }),
    cpuByVm: membership.cpuByVm,
    verdicts: sized.verdicts,
    steps: sized.steps,
    limits: [...sized.limits, ...(reconciled?.limits ?? [])],
    ...(sized.heldBack !== undefined && { heldBack: sized.heldBack }),
    ...(reconciled?.refresh && { refresh: reconciled.refresh }),
    hosts: reconciled?.hosts ?? [],
    victims: reconciled?.victims ?? [],
    actions: reconciled?.actions ?? [],
    ...(observed && { observed }),
    text: observed ? `Observed only: ${textOf(cause, outcome)}` : textOf(cause, outcome),
  };
}

/** Why VMs go, as `vm.draining` tells it. */
export function drainReason({ sized, asked, policy }: Pick<Outcome, 'sized' | 'asked' | 'policy'>): string {
  const { bounded, desired, desiredBefore, followed } = sized;
  if (desired !== bounded && followed) return `rule ${followed.rule}: ${followed.text}`;
  if (bounded < desiredBefore) return `the policy allows at most ${vmsText(policy.max)}`;
  return asked ? `a user asked for ${vmsText(desired)}` : `more than the ${vmsText(desired)} wanted`;
}

function causeOf({ sized, asked, reconciled }: Outcome): Decision['cause'] {
  if (sized.desired !== sized.bounded) return sized.followed === undefined ? 'limits' : 'rule';
  if (sized.bounded !== sized.desiredBefore) return 'limits';
  if (asked) return 'user';
  return reconciled?.about ?? 'none';
}

function textOf(cause: Decision['cause'], { membership, sized, reconciled }: Outcome): string {
  const { counts, active } = membership;
  const { desired, desiredBefore, followed, heldBack } = sized;
  const sentences: string[] = [];
  if (cause === 'rule' && followed) {
    const set = sized.steps.find(({ step }) => step === 'schedule');
    // What a forecast says stands among the limits.
    if (followed.type === 'schedule') sentences.push(set?.text ?? followed.text);
    else if (followed.type !== 'forecast') sentences.push(`Rule ${followed.rule}: ${followed.text}`);
  }
  if (cause === 'user') sentences.push(`A user asked for ${vmsText(desired)}.`);
  sentences.push(...sized.limits.map(({ text }) => text));
  if (desired !== desiredBefore) sentences.push(`Desired goes from ${desiredBefore} to ${desired}.`);
  if (cause === 'replace' && active.length !== desired) {
    const missing = desired - active.length;
    const what = missing > 0 ? `${vmsText(missing)} missing` : `${vmsText(-missing)} too many`;
    sentences.push(`${what} of ${desired} desired.`);
  }
  if (reconciled?.text !== undefined) sentences.push(reconciled.text);
  if (sentences.length > 0) return sentences.join(' ');
  sentences.push(`${counts.inService} of ${vmsText(desired)} in service.`);
  if (counts.launching > 0) sentences.push(`${vmsText(counts.launching)} launching.`);
  if (heldBack !== undefined) sentences.push(heldBack);
  sentences.push(...sized.verdicts.map((verdict) => `${verdict.rule}: ${verdict.text}`));
  return sentences.join(' ');
}
