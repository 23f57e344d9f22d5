// The answer to "why is the group this size?" as one readable paragraph: everything a decision's record holds, in words.
// Not here: the record itself (decision), how it came about (decide).

import type { Action, Choice, Decision, RuleVerdict } from './decision.ts';
import { amountText, percentText, vmsText } from './wording.ts';

/** VMs, hosts and candidates named in one sentence; the others are counted. */
const NAMED_MAX = 10;

export function whyText(decision: Decision): string {
  return [
    countsText(decision),
    sizeText(decision),
    cpuText(decision),
    ...decision.verdicts.map((verdict) => verdictText(verdict, decision.steps)),
    decision.heldBack ?? '',
    ...limitTexts(decision),
    decision.refresh?.text ?? '',
    choicesText('Looked at for VMs', decision.hosts, 'taken', 'not taken'),
    choicesText('Looked at for removal', decision.victims, 'goes', 'stays'),
    actionsText(decision),
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

function countsText({ group, counts }: Decision): string {
  const { inService, launching, standby, draining, removing, existing } = counts;
  const others = [
    [launching, 'launching'],
    [standby, 'in standby'],
    [draining, 'draining'],
    [removing, 'being removed'],
  ] as const;
  const parts = others.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
  return `Group ${group} has ${vmsText(inService)} in service${parts.join('')}; ${existing} exist${existing === 1 ? 's' : ''} in all.`;
}

function sizeText({ cause, desired, desiredBefore, rule, steps, observed }: Decision): string {
  const would = observed ? 'would have' : 'wants';
  const by = { rule: ` because of rule ${rule ?? ''}`, user: ' because a user asked for it', limits: ' by its limits' };
  const because = cause === 'rule' || cause === 'user' || cause === 'limits' ? by[cause] : '';
  if (steps.length === 0) return `It ${would} ${vmsText(desired)}${because}, as before.`;
  const course = steps.map(({ from, text, to }) => `${from} → ${to} (${withoutStop(text)})`).join(', then ');
  const summary = desired === desiredBefore ? 'as before' : `where it wanted ${desiredBefore} before`;
  return `It ${would} ${vmsText(desired)}${because}, ${summary}: ${course}.`;
}

function cpuText({ cpuByVm, cpuPercent }: Decision): string {
  const vms = Object.entries(cpuByVm);
  if (vms.length === 0) return 'No VM has a fresh CPU value.';
  const mean = cpuPercent === undefined ? 'CPU (none in service)' : `CPU ${percentText(cpuPercent)} on average`;
  const named = vms.slice(0, NAMED_MAX).map(([name, percent]) => `${name} ${percentText(percent)}`);
  return `${mean}: ${named.join(', ')}${moreText(vms.length)}.`;
}

function verdictText(verdict: RuleVerdict, steps: Decision['steps']): string {
  const { expected, measured, metric, rule, text, threshold, type, unit, value } = verdict;
  const facts = [
    ...(value === undefined ? [] : [`${metric} ${amountText(value, unit)}`]),
    ...(threshold === undefined
      ? []
      : [`${type === 'target' ? 'target' : 'threshold'} ${amountText(threshold, unit)}`]),
    ...(expected !== undefined && measured !== undefined && measured < expected
      ? [`${measured} of ${expected} measured`]
      : []),
  ];
  const known = facts.length > 0 ? ` (${facts.join(', ')})` : '';
  // The steps tell of a rule that is followed already.
  const said = steps.some((step) => step.text.includes(text)) ? '' : `${withoutStop(text)}; `;
  return `Rule ${rule}${known}: ${said}${VERDICT_TEXT[verdict.verdict]}.`;
}

const VERDICT_TEXT: Readonly<Record<RuleVerdict['verdict'], string>> = {
  fires: 'it fires',
  quiet: 'it asks for nothing',
  counting: 'it waits for its time to be over',
  'cooling-down': 'it is cooling down',
  'no-data': 'it has no data',
  'would-flap': 'it is held back so that the size does not flap',
  warming: 'it waits for VMs that are warming up',
  suspended: 'it is suspended',
  idle: 'it does not hold now',
};

/** Limits that are not among the steps. */
function limitTexts({ limits, steps }: Decision): readonly string[] {
  const told = new Set(steps.map(({ text }) => text));
  return limits
    .filter(({ text }) => !told.has(text))
    .map(({ from, text, to }) => `${withoutStop(text)} (${from} → ${to}).`);
}

function choicesText(what: string, choices: readonly Choice[], yes: string, no: string): string {
  if (choices.length === 0) return '';
  const named = choices
    .slice(0, NAMED_MAX)
    .map(({ chosen, name, text }) => `${name} ${chosen ? yes : no} (${text.replace(/^stays: /, '')})`);
  return `${what}: ${named.join('; ')}${moreText(choices.length)}.`;
}

function actionsText({ actions, observed }: Decision): string {
  if (observed) return 'The policy only observes: nothing is done.';
  if (actions.length === 0) return 'Nothing is to be done.';
  const counts = new Map<string, number>();
  for (const action of actions) {
    const what = actionText(action);
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  const told = [...counts].map(([what, count]) => (count === 1 ? what : `${what} (${count} times)`));
  return `To be done: ${told.slice(0, NAMED_MAX).join(', ')}${moreText(told.length)}.`;
}

function actionText(action: Action): string {
  switch (action.kind) {
    case 'launch': {
      const verb = action.way === 'fork' ? 'fork a VM' : 'boot a VM';
      const from = action.template === undefined ? '' : ' from the template before';
      const to = action.standby === undefined ? '' : ` for standby (${action.standby})`;
      return `${verb}${from}${to} on host ${action.host}`;
    }
    case 'start':
      return `start ${action.domain} on host ${action.host}`;
    case 'wake':
      return `wake VM ${action.vmId} (${action.way})`;
    case 'return':
      return `take VM ${action.vmId} back into service`;
    case 'drain':
      return `${action.atOnce ? 'remove' : 'drain'} VM ${action.vmId}`;
    case 'discard':
      return `give up standby VM ${action.vmId}`;
  }
}

function moreText(count: number): string {
  return count > NAMED_MAX ? ` and ${count - NAMED_MAX} more` : '';
}

function withoutStop(text: string): string {
  return text.replace(/\.$/, '');
}
