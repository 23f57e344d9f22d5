// `virtscale login`, `logout`, `whoami`: who one is to a daemon. Not here: where the token lies (credentials), users (users).

import { z } from '@hono/zod-openapi';
import type { Command } from 'commander';
import { signedInSchema, whoamiSchema } from '../user-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { print } from './users.ts';
import { duration } from './values.ts';

interface LoginOptions {
  readonly passwordStdin?: boolean;
  readonly expires?: string;
}

export function addSignInCommands(root: Command, contextOf: ContextOf): void {
  clientCommand(root, 'login', 'sign in; the token is kept for the commands that follow')
    .argument('<name>')
    .option('--password-stdin', 'the password is the first line of standard input')
    .option('-e, --expires <duration>', 'signed in for so long, 90d at most (default: 12h)', duration)
    .action((name: string, options: ClientOptions & LoginOptions) => login(contextOf(options), name, options));
  clientCommand(root, 'logout', 'sign out: the token lets nobody in any more').action((options: ClientOptions) =>
    logout(contextOf(options)),
  );
  clientCommand(root, 'whoami', 'who one is to the daemon, and what one may have').action((options: ClientOptions) =>
    whoami(contextOf(options)),
  );
}

async function login(context: ClientContext, name: string, { passwordStdin, expires }: LoginOptions): Promise<void> {
  const { api, terminal, json, credentials } = context;
  const password = await context.password(`Password of ${name}`, passwordStdin === true);
  const body = { name, password, ...(expires !== undefined && { expiresIn: expires }) };
  const { token, expiresAt, user } = await api.send('POST', '/v1/sign-in', signedInSchema, { body });
  credentials.keep(api.url, { name, token, ...(expiresAt !== undefined && { expiresAt }) });
  if (json) return terminal.json({ name, role: user.role, expiresAt }, 2);
  const until = expiresAt === undefined ? '' : ` until ${expiresAt}`;
  terminal.line(`signed in as ${terminal.styled('bold', name)} (${user.role})${until}`);
}

async function logout({ api, terminal, json, credentials }: ClientContext): Promise<void> {
  const kept = credentials.of(api.url);
  try {
    await api.send('POST', '/v1/sign-out', z.unknown());
  } finally {
    // Of no use any more, whatever the daemon said.
    credentials.forget(api.url);
  }
  if (json) terminal.json({ signedOut: kept?.name ?? null }, 2);
  else terminal.line(kept === undefined ? 'signed out' : `signed out ${terminal.styled('bold', kept.name)}`);
}

async function whoami(context: ClientContext): Promise<void> {
  const { api, terminal, json } = context;
  const self = await api.get('/v1/whoami', whoamiSchema);
  if (json) return terminal.json(self, 2);
  if (self.user !== undefined) print(context, self.user);
  else terminal.fields([['name', { text: self.name, style: 'bold' }]]);
  terminal.fields([
    ['scope', self.scope],
    ['token', self.token],
    ['until', self.expiresAt],
  ]);
}
