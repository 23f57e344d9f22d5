// `virtscale why`: why a group has the VMs it has, or had them at a past moment: one paragraph, and the whole record.

import type { Command } from 'commander';
import { type PublicDecision, whySchema } from '../decision-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { percent } from './figures.ts';

export function addWhyCommand(root: Command, contextOf: ContextOf): void {
  clientCommand(root, 'why', 'why a group has the VMs it has: one paragraph and the whole record')
    .argument('<group>')
    .option('--at <time>', 'the evaluation that held at this time, e.g. 2026-11-21T06:12:05Z (default: the latest)')
    .action((group: string, options: ClientOptions & { readonly at?: string }) =>
      showWhy(contextOf(options), group, options.at),
    );
}

async function showWhy({ api, terminal, json }: ClientContext, group: string, at: string | undefined): Promise<void> {
  const why = await api.get(`/v1/groups/${encodeURIComponent(group)}/why`, whySchema, { at });
  if (json) return terminal.json(why, 2);
  const { decision } = why;
  terminal.line(`${terminal.styled('dim', why.at)}  ${terminal.styled('bold', decision.group)}`);
  terminal.line(terminal.styled(undefined, why.text));
  for (const [title, lines] of recordOf(decision)) {
    if (lines.length === 0) continue;
    terminal.line('');
    terminal.line(terminal.styled('dim', title));
    for (const line of lines) terminal.line(`  ${terminal.styled(undefined, line)}`);
  }
}

function recordOf(decision: PublicDecision): readonly (readonly [title: string, lines: readonly string[]])[] {
  const { counts, rule } = decision;
  const choice = ({ name, chosen, text }: { name: string; chosen: boolean; text: string }): string =>
    `${chosen ? '→' : ' '} ${name}: ${text}`;
  const moved = (what: string, { from, to, text }: { from: number; to: number; text: string }): string =>
    `${what}: ${from} → ${to}: ${text}`;
  return [
    [
      'SIZE',
      [
        `${decision.desiredBefore} → ${decision.desired}, by ${rule === undefined ? decision.cause : `${decision.cause} ${rule}`}`,
        `in service ${counts.inService}, launching ${counts.launching}, standby ${counts.standby}, draining ${counts.draining}, removing ${counts.removing}, existing ${counts.existing}`,
        ...decision.steps.map((step) => moved(step.step, step)),
      ],
    ],
    ['CPU', Object.entries(decision.cpuPercentByVm).map(([name, value]) => `${name}: ${percent(value)}`)],
    ['RULES', decision.verdicts.map(verdictText)],
    ['LIMITS', decision.limits.map((limit) => moved(limit.limit, limit))],
    ['REFRESH', decision.refresh === undefined ? [] : [refreshText(decision.refresh)]],
    ['HOSTS', decision.hosts.map(choice)],
    ['VMS TO REMOVE', decision.victims.map(choice)],
    ['ACTIONS', decision.actions.map(actionText)],
  ];
}

function verdictText({ rule, verdict, metric, unit, value, threshold, text }: PublicDecision['verdicts'][number]) {
  const figure = (number: number | undefined): string =>
    number === undefined ? '–' : `${Number(number.toFixed(2))}${unit === '' ? '' : ` ${unit}`}`;
  const compared = metric === '' ? '' : `, ${metric} ${figure(value)} against ${figure(threshold)}`;
  return `${rule} (${verdict}${compared}): ${text}`;
}

function refreshText({ done, total, text }: PublicDecision['refresh'] & object): string {
  return `${done} of ${total}: ${text}`;
}

function actionText({ kind, group: _, ...rest }: PublicDecision['actions'][number]): string {
  const parts = Object.entries(rest).map(([key, value]) => `${key} ${String(value)}`);
  return parts.length === 0 ? kind : `${kind}: ${parts.join(', ')}`;
}
