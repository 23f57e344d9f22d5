// `virtscale token`: who may come in. The text of a token is shown once, when it is made.

import { z } from '@hono/zod-openapi';
import type { Command } from 'commander';
import { newTokenSchema, tokensSchema } from '../fabric-schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import type { Cell } from './terminal.ts';
import { duration, tokenScope } from './values.ts';

interface CreateOptions {
  readonly scope: string;
  readonly expires?: string;
}

export function addTokenCommands(root: Command, contextOf: ContextOf): void {
  const token = root.command('token').description('tokens that let programs in: create, list, delete');
  clientCommand(token, 'create', 'make a token; its text is printed once and cannot be had again')
    .argument('<name>', 'what it is for; shown as the owner of what is done with it')
    .requiredOption(
      '-s, --scope <scope>',
      'read, operate or admin, each including those before it; or post: nothing but metrics',
      tokenScope,
    )
    .option('-e, --expires <duration>', 'ends by itself after this, e.g. 90d (default: never)', duration)
    .action((name: string, options: ClientOptions & CreateOptions) => create(contextOf(options), name, options));
  listCommand(token, 'the tokens, without their texts').action((options: ClientOptions) => show(contextOf(options)));
  clientCommand(token, 'delete', 'let nobody in with these any more, at once')
    .argument('<name...>')
    .action((names: string[], options: ClientOptions) => remove(contextOf(options), names));
}

async function create({ api, terminal, json }: ClientContext, name: string, options: CreateOptions): Promise<void> {
  const { scope, expires } = options;
  const body = { name, scope, ...(expires !== undefined && { expiresIn: expires }) };
  const made = await api.send('POST', '/v1/tokens', newTokenSchema, { body });
  if (json) terminal.json(made, 2);
  if (made.token === undefined) {
    // The answer with the text was lost with the connection; what was repeated never carries it.
    throw new CommandFailure(
      1,
      `token ${name} was made, but its text was lost on the way: delete it and make it again`,
    );
  }
  if (json) return;
  // Alone on standard output: TOKEN=$(virtscale token create …)
  terminal.line(terminal.styled(undefined, made.token));
  terminal.error('This is shown once. Use it as VIRTSCALE_TOKEN, or in a file named by VIRTSCALE_TOKEN_FILE.');
}

async function show({ api, terminal, json }: ClientContext): Promise<void> {
  const { tokens } = await api.get('/v1/tokens', tokensSchema);
  if (json) return terminal.json(tokens, 2);
  const rows = tokens.map(({ name, scope, createdAt, expiresAt }): (Cell | string)[] => [
    { text: name, style: 'bold' },
    scope,
    createdAt,
    expiresAt ?? 'never',
  ]);
  terminal.table(['TOKEN', 'SCOPE', 'MADE', 'EXPIRES'], rows, 'No tokens.');
}

async function remove({ api, terminal, json }: ClientContext, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await api.send('DELETE', `/v1/tokens/${encodeURIComponent(name)}`, z.unknown());
    if (!json) terminal.line(`token ${terminal.styled('bold', name)}: ${terminal.styled('green', 'deleted')}`);
  }
  if (json) terminal.json({ deleted: names }, 2);
}
