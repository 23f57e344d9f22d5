// `virtscale vms migrate`, `hosts drain|undrain|rebalance` and `where`: where VMs are, and moving them. Not here: the other words of
// those families (vms, hosts).

import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { addressesSchema, operationSchema } from '../fabric-schemas.ts';
import { hostSchema, type PublicVm, vmsSchema } from '../schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { finish } from './finish.ts';
import { duration, wholeNumber } from './values.ts';
import { vmsOf } from './vm-names.ts';

interface MigrateOptions {
  readonly to?: string;
  readonly bandwidth?: number;
  readonly timeout?: number;
  readonly copyStorage?: true;
  readonly sharedStorage?: true;
  readonly wait: boolean;
}

/** Guests that are asked for an address at the most. */
const ASKED_MAX = 200;

const planSchema = z.object({
  moves: z.array(
    z.object({
      vmId: z.number(),
      name: z.string(),
      from: z.string(),
      to: z.string(),
      reason: z.string(),
      operation: z.string().optional(),
      refused: z.string().optional(),
    }),
  ),
});

export function addMigrationCommands(root: Command, contextOf: ContextOf): void {
  const family = (name: string): Command => {
    const found = root.commands.find((command) => command.name() === name);
    if (found === undefined) throw new Error(`there is no command ${name}`);
    return found;
  };
  clientCommand(family('vms'), 'migrate', 'move running VMs to another host while they run')
    .argument('<vm...>', 'ids or names')
    .option('--to <host>', 'where to (default: the best by the placement algorithm)')
    .option('--bandwidth <MiB/s>', 'at most so fast', wholeNumber)
    .option('--timeout <seconds>', 'call it off when it takes longer (default: 600)', seconds)
    .option('--copy-storage', 'copy the disks (default: unless both hosts are known to share their storage)')
    .option('--shared-storage', 'refuse unless both hosts are known to share their storage')
    .option('--no-wait', 'do not wait until they have moved')
    .action((names: string[], options: ClientOptions & MigrateOptions) => migrate(contextOf(options), names, options));
  const hosts = family('hosts');
  clientCommand(hosts, 'drain', 'let a host take no new VMs and move those on it away, for maintenance')
    .argument('<name>')
    .option('--no-wait', 'do not wait until it is empty')
    .action((name: string, options: ClientOptions & { wait: boolean }) =>
      drain(contextOf(options), name, options.wait),
    );
  clientCommand(hosts, 'undrain', 'let it take VMs again; what has moved stays where it is')
    .argument('<name>')
    .action((name: string, options: ClientOptions) => undrain(contextOf(options), name));
  clientCommand(hosts, 'rebalance', 'move VMs from hosts that are too busy to others')
    .option('--dry-run', 'only list the moves', false)
    .action((options: ClientOptions & { dryRun: boolean }) => rebalance(contextOf(options), options.dryRun));
  clientCommand(root, 'where', 'the host that a VM is on')
    .argument('<vm>', 'name, id or address')
    .action((text: string, options: ClientOptions) => where(contextOf(options), text));
}

function seconds(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.parseInt(duration(text), 10);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('must be whole seconds, such as 120');
  return value;
}

async function migrate(context: ClientContext, names: readonly string[], options: MigrateOptions): Promise<void> {
  const { bandwidth, copyStorage, sharedStorage, timeout, to, wait } = options;
  if (copyStorage && sharedStorage) throw new CommandFailure(2, 'choose one of --copy-storage and --shared-storage');
  const body = {
    ...(to !== undefined && { host: to }),
    ...(bandwidth !== undefined && { bandwidthMiBps: bandwidth }),
    ...(timeout !== undefined && { timeoutSeconds: timeout }),
    ...(copyStorage && { copyStorage: true }),
    ...(sharedStorage && { copyStorage: false }),
  };
  for (const vm of await vmsOf(context, names)) {
    const operation = await context.api.send('POST', `/v1/vms/${vm.id}/migrate`, operationSchema, { body });
    await finish(context, operation, wait);
  }
}

async function drain(context: ClientContext, name: string, wait: boolean): Promise<void> {
  const path = `/v1/hosts/${encodeURIComponent(name)}/drain`;
  await finish(context, await context.api.send('POST', path, operationSchema, {}), wait);
}

async function undrain({ api, json, terminal }: ClientContext, name: string): Promise<void> {
  const host = await api.send('POST', `/v1/hosts/${encodeURIComponent(name)}/undrain`, hostSchema, {});
  if (json) return terminal.json(host, 2);
  terminal.line(`${terminal.styled('bold', host.name)} takes VMs again`);
}

async function rebalance({ api, json, terminal }: ClientContext, dryRun: boolean): Promise<void> {
  const { moves } = dryRun
    ? await api.get('/v1/rebalance', planSchema)
    : await api.send('POST', '/v1/rebalance', planSchema, {});
  if (json) return terminal.json(moves, 2);
  const rows = moves.map(({ from, name, operation, reason, refused, to, vmId }) => [
    `${vmId}`,
    { text: name, style: 'bold' as const },
    from,
    to,
    dryRun ? '' : (operation ?? `not begun: ${refused ?? ''}`),
    reason,
  ]);
  terminal.table(['ID', 'VM', 'FROM', 'TO', dryRun ? '' : 'OPERATION', ''], rows, 'Nothing to move.');
}

async function where({ api, json, terminal }: ClientContext, text: string): Promise<void> {
  const found: PublicVm[] = [];
  const queries = [{ name: text }, ...(isAddress(text) ? [{ address: text }] : [])];
  if (/^\d{1,15}$/.test(text)) {
    const { vms } = await api.get('/v1/vms', vmsSchema, { cursor: undefined, limit: 1000 });
    found.push(...vms.filter(({ id }) => id === Number(text)));
  }
  for (const query of found.length > 0 ? [] : queries) {
    const { vms } = await api.get('/v1/vms', vmsSchema, { ...query, limit: 1000 });
    found.push(...vms.filter(({ id }) => !found.some((one) => one.id === id)));
  }
  if (found.length === 0 && isAddress(text)) found.push(...(await whoHas(api, text)));
  if (found.length === 0) throw new CommandFailure(1, `no VM has the name, id or address ${JSON.stringify(text)}`);
  if (json) {
    const told = found.map(({ endpoint, host, id, name }) => ({ id, name, host, ...(endpoint && { endpoint }) }));
    return terminal.json(told, 2);
  }
  const rows = found.map(({ endpoint, host, id, name, state }) => [
    `${id}`,
    name,
    { text: host, style: 'bold' as const },
    state,
    endpoint === undefined ? '–' : `${endpoint.address}:${endpoint.port}`,
  ]);
  terminal.table(['ID', 'VM', 'HOST', 'STATE', 'ADDRESS'], rows, '');
}

function isAddress(text: string): boolean {
  return /^[\d.:a-f]+$/i.test(text) && /[.:]/.test(text);
}

/** An address that is no endpoint: the guests are asked, one after the other. */
async function whoHas(api: ClientContext['api'], address: string): Promise<readonly PublicVm[]> {
  const { vms } = await api.get('/v1/vms', vmsSchema, { state: 'running', limit: ASKED_MAX });
  for (const vm of vms) {
    const told = await api.get(`/v1/vms/${vm.id}/addresses`, addressesSchema).catch(() => undefined);
    if (told?.addresses.some((one) => one.address === address)) return [vm];
  }
  return [];
}
