// `virtscale user`: who shares the hosts, and how much each may have. Not here: signing in (sign-in), tokens (tokens).

import { z } from '@hono/zod-openapi';
import { type Command, InvalidArgumentError } from 'commander';
import { readSizeMiB } from '../../config/size.ts';
import { type PublicUser, userSchema, usersSchema } from '../user-schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import type { Cell } from './terminal.ts';
import { oneOf, wholeNumber } from './values.ts';

/** `none` takes a limit away. */
type Limit = number | 'none';

interface QuotaOptions {
  readonly vms?: Limit;
  readonly vcpus?: Limit;
  readonly memory?: Limit;
  readonly disk?: Limit;
  readonly snapshots?: Limit;
}

interface PasswordOptions {
  readonly passwordStdin?: boolean;
}

const role = oneOf(['user', 'admin']);

export function addUserCommands(root: Command, contextOf: ContextOf): void {
  const user = root.command('user').description('people who share the hosts: add, list, show, set, remove, passwd');
  withQuota(clientCommand(user, 'add', 'make a user; or oneself one, where signing up is open'))
    .argument('<name>')
    .option('-r, --role <role>', 'user or admin (default: user)', role)
    .option('--password-stdin', 'the password is the first line of standard input')
    .action((name: string, options: ClientOptions & QuotaOptions & PasswordOptions & { readonly role?: string }) =>
      add(contextOf(options), name, options),
    );
  listCommand(user, 'the users, with what they have').action((options: ClientOptions) => list(contextOf(options)));
  clientCommand(user, 'show', 'one user: quota and use')
    .argument('<name>')
    .action(async (name: string, options: ClientOptions) => {
      const context = contextOf(options);
      print(context, await context.api.get(pathOf(name), userSchema));
    });
  withQuota(clientCommand(user, 'set', 'change role, quota, or whether he is let in'))
    .argument('<name>')
    .option('-r, --role <role>', 'user or admin', role)
    .option('--disable <why>', 'he is not let in any more, from now on; his VMs stay as they are')
    .option('--enable', 'he is let in again')
    .action((name: string, options: ClientOptions & SetOptions) => set(contextOf(options), name, options));
  clientCommand(user, 'remove', 'delete a user; his name is never given again')
    .argument('<name>')
    .option('--to <user>', 'who gets his VMs and images')
    .option('-y, --yes', 'do not ask', false)
    .action((name: string, options: ClientOptions & { readonly to?: string; readonly yes: boolean }) =>
      remove(contextOf(options), name, options),
    );
  clientCommand(user, 'passwd', 'change a password; his other sign-ins end')
    .argument('[name]', 'default: oneself')
    .option('--password-stdin', 'from standard input: the new one in the first line; of oneself the old one before it')
    .action((name: string | undefined, options: ClientOptions & PasswordOptions) =>
      changePassword(contextOf(options), name, options),
    );
}

function withQuota(command: Command): Command {
  return command
    .option('--vms <count>', 'VMs at most; none: no limit', limit(wholeNumber))
    .option('--vcpus <count>', 'vCPUs at most', limit(wholeNumber))
    .option('--memory <size>', 'memory at most, e.g. 4G', limit(size))
    .option(
      '--disk <size>',
      'disk at most, e.g. 100G',
      limit((text) => Math.floor(size(text) / 1024)),
    )
    .option('--snapshots <count>', 'snapshots at most', limit(wholeNumber));
}

function limit(read: (text: string) => number): (text: string) => Limit {
  return (text) => (text === 'none' ? text : read(text));
}

function size(text: string): number {
  const read = readSizeMiB(text);
  if (!read.ok) throw new InvalidArgumentError(`It ${read.reason}.`);
  return read.value;
}

function quotaOf({ vms, vcpus, memory, disk, snapshots }: QuotaOptions) {
  const parts = Object.entries({ vms, vcpus, memoryMiB: memory, diskGiB: disk, snapshots });
  const said = parts.filter(([, part]) => part !== undefined);
  if (said.length === 0) return {};
  return { quota: Object.fromEntries(said.map(([name, part]) => [name, part === 'none' ? null : part])) };
}

function pathOf(name: string): string {
  return `/v1/users/${encodeURIComponent(name)}`;
}

async function add(
  context: ClientContext,
  name: string,
  options: QuotaOptions & PasswordOptions & { readonly role?: string },
): Promise<void> {
  const password = await context.newPassword(`Password of ${name}`, options.passwordStdin === true);
  const body = { name, password, ...(options.role !== undefined && { role: options.role }), ...quotaOf(options) };
  print(context, await context.api.send('POST', '/v1/users', userSchema, { body }));
}

async function list({ api, terminal, json }: ClientContext): Promise<void> {
  const { users } = await api.get('/v1/users', usersSchema);
  if (json) return terminal.json(users, 2);
  const rows = users.map((user): (Cell | string)[] => [
    { text: user.name, style: 'bold' },
    user.role,
    ...amountsOf(user),
    user.disabled === undefined ? '' : { text: `disabled: ${user.disabled}`, style: 'yellow' },
  ]);
  terminal.table(['USER', 'ROLE', 'VMS', 'VCPUS', 'MEMORY MiB', 'DISK GiB', 'SNAPSHOTS', ''], rows, 'No users.');
}

/** `2 of 10`, or what is used alone where there is no limit. */
function amountsOf({ quota, used }: PublicUser): readonly string[] {
  return (['vms', 'vcpus', 'memoryMiB', 'diskGiB', 'snapshots'] as const).map((part) => {
    const allowed = quota[part];
    return allowed === undefined ? String(used[part]) : `${used[part]} of ${allowed}`;
  });
}

export function print({ terminal, json }: Pick<ClientContext, 'terminal' | 'json'>, user: PublicUser): void {
  if (json) {
    terminal.json(user, 2);
    return;
  }
  const [vms, vcpus, memory, disk, snapshots] = amountsOf(user);
  terminal.fields([
    ['user', { text: user.name, style: 'bold' }],
    ['role', user.role],
    ['made', user.createdAt],
    ['disabled', user.disabled],
    ['VMs', vms],
    ['vCPUs', vcpus],
    ['memory MiB', memory],
    ['disk GiB', disk],
    ['snapshots', snapshots],
  ]);
}

interface SetOptions extends QuotaOptions {
  readonly role?: string;
  readonly disable?: string;
  readonly enable?: boolean;
}

async function set(context: ClientContext, name: string, options: SetOptions): Promise<void> {
  const { role: wanted, disable, enable } = options;
  if (disable !== undefined && enable) throw new CommandFailure(2, 'say either --disable or --enable');
  const body = {
    ...(wanted !== undefined && { role: wanted }),
    ...(disable !== undefined && { disabled: disable }),
    ...(enable && { disabled: null }),
    ...quotaOf(options),
  };
  if (Object.keys(body).length === 0) throw new CommandFailure(2, 'say what to change: see virtscale user set --help');
  print(context, await context.api.send('PATCH', pathOf(name), userSchema, { body }));
}

async function remove(
  { api, terminal, json, confirm }: ClientContext,
  name: string,
  { to, yes }: { readonly to?: string; readonly yes: boolean },
): Promise<void> {
  const handed = to === undefined ? '' : ` What he has goes to ${to}.`;
  if (!yes && !(await confirm(`Delete user ${name}?${handed}`))) return terminal.line('Nothing was done.');
  await api.send('DELETE', pathOf(name), z.unknown(), { query: { to } });
  if (json) terminal.json({ deleted: name }, 2);
  else terminal.line(`user ${terminal.styled('bold', name)}: ${terminal.styled('green', 'deleted')}`);
}

async function changePassword(context: ClientContext, given: string | undefined, options: PasswordOptions) {
  const { api, terminal, json } = context;
  const fromStdin = options.passwordStdin === true;
  const self = await api.get('/v1/whoami', z.object({ name: z.string(), user: userSchema.optional() }));
  const name = given ?? self.user?.name;
  if (name === undefined) throw new CommandFailure(2, 'say whose password: nobody is signed in here');
  const isSelf = self.user?.name === name;
  const oldPassword = isSelf ? await context.password('Old password', fromStdin) : undefined;
  const password = await context.newPassword(`New password of ${name}`, fromStdin);
  const body = { password, ...(oldPassword !== undefined && { oldPassword }) };
  const user = await api.send('PATCH', pathOf(name), userSchema, { body });
  if (json) terminal.json(user, 2);
  else terminal.line(`user ${terminal.styled('bold', name)}: ${terminal.styled('green', 'password changed')}`);
}
