// `virtscale metrics post`: a number for a metric of a group's policy, as a guest or an application would send it.

import { z } from '@hono/zod-openapi';
import { type Command, InvalidArgumentError } from 'commander';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { wholeNumber } from './values.ts';

export function addMetricCommands(root: Command, contextOf: ContextOf): void {
  const metrics = root.command('metrics').description('numbers that rules of policies measure: post');
  clientCommand(metrics, 'post', "tell a group's policy a number; it replaces the one posted before")
    .argument('<group>')
    .argument('<metric>', 'its name in the policy, as in { posted: NAME }')
    .argument('<value>', 'a number', finiteNumber)
    .option('--vm <id>', 'of this VM (default: of the whole group)', wholeNumber)
    .action((group: string, metric: string, value: number, options: ClientOptions & { readonly vm?: number }) =>
      post(contextOf(options), group, metric, value, options.vm),
    );
}

async function post(
  { api, terminal, json }: ClientContext,
  group: string,
  metric: string,
  value: number,
  vm: number | undefined,
): Promise<void> {
  const path = `/v1/groups/${encodeURIComponent(group)}/metrics/${encodeURIComponent(metric)}`;
  const of = vm === undefined ? {} : { vm };
  await api.send('POST', path, z.unknown(), { body: { value, ...of } });
  if (json) return terminal.json({ group, metric, value, ...of }, 2);
  const whose = vm === undefined ? group : `${group}, VM ${vm}`;
  terminal.line(`${terminal.styled('bold', whose)}: ${terminal.styled(undefined, metric)} is ${value}`);
}

function finiteNumber(text: string): number {
  const value = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}
