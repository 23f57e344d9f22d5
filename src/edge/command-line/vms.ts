// `virtscale vms`: looking at VMs, and everything one may do with those that exist. Not here: making them (vm-create).

import type { Command } from 'commander';
import { addressesSchema, operationSchema, type PublicOperation } from '../fabric-schemas.ts';
import { type PublicVm, vmsSchema } from '../schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { percent } from './figures.ts';
import { finish } from './finish.ts';
import { type Cell, printable, type Style } from './terminal.ts';
import { duration, tailBytes } from './values.ts';
import { addVmCreate } from './vm-create.ts';
import { addVmHardware } from './vm-hardware.ts';
import { addVmMarks, labelsText } from './vm-marks.ts';
import { vmOf, vmsOf } from './vm-names.ts';

const PAGE = 200;
const POWER = {
  start: 'start them',
  stop: 'pull the plug: the guest is not asked',
  shutdown: 'ask the guest to shut down',
  reboot: 'ask the guest to reboot',
  reset: 'press the reset button: the guest is not asked',
  pause: 'stop their vCPUs; memory stays',
  resume: 'go on after a pause',
} as const;

interface ListOptions {
  readonly group?: string;
  readonly host?: string;
  readonly phase?: string;
  readonly state?: string;
  readonly name?: string;
  readonly owner?: string;
}

interface ChangeOptions {
  readonly grace?: string;
  /** False with --no-wait. */
  readonly wait: boolean;
  readonly yes?: boolean;
}

export function addVmCommands(root: Command, contextOf: ContextOf): void {
  const vms = root.command('vms').description('VMs: list, create, start, stop, delete, …');
  listCommand(vms, 'the VMs (all pages)')
    .option('-g, --group <name>', 'only of this group')
    .option('--host <name>', 'only on this host')
    .option('--phase <phase>', 'only in this phase: launching, standby, in-service, draining, removing')
    .option('--state <state>', 'only in this state: running, paused, stopped, unknown, absent')
    .option('--name <name>', 'only with this name')
    .option('--owner <owner>', 'only of this owner')
    .action((options: ClientOptions & ListOptions) => showVms(contextOf(options), options));
  clientCommand(vms, 'show', 'one VM with all that is known of it')
    .argument('<vm>', 'id or name')
    .action((vm: string, options: ClientOptions) => showVm(contextOf(options), vm));
  addVmCreate(vms, contextOf);
  addVmMarks(vms, contextOf);
  addVmHardware(vms, contextOf);

  for (const [verb, description] of Object.entries(POWER)) {
    const command = clientCommand(vms, verb, description)
      .argument('<vm...>', 'ids or names')
      .option('--no-wait', 'do not wait until it is done');
    if (verb === 'shutdown')
      command.option('--grace <duration>', 'pull the plug when it still runs after this, e.g. 30s', duration);
    command.action((names: string[], options: ClientOptions & ChangeOptions) =>
      power(contextOf(options), verb, names, options),
    );
  }
  clientCommand(vms, 'delete', 'remove VMs with their disks; adopted ones are only let go')
    .argument('<vm...>', 'ids or names')
    .option('--grace <duration>', 'ask the guest to shut down first and give it this long, e.g. 30s', duration)
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'do not wait until they are gone')
    .action((names: string[], options: ClientOptions & ChangeOptions) => remove(contextOf(options), names, options));

  clientCommand(vms, 'console', 'the last of what the guest wrote to its serial console')
    .argument('<vm>', 'id or name')
    .option('--tail <bytes>', 'how much of it (default: 65536)', tailBytes)
    .action((vm: string, options: ClientOptions & { tail?: number }) =>
      showConsole(contextOf(options), vm, options.tail),
    );
  clientCommand(vms, 'addresses', 'the addresses of a VM and who knows them')
    .argument('<vm>', 'id or name')
    .action((vm: string, options: ClientOptions) => showAddresses(contextOf(options), vm));
  clientCommand(vms, 'adopt', "take a domain that somebody else made under virtscale's care; it is never removed")
    .argument('<host>', "the host's name")
    .argument('<domain>', 'name or uuid')
    .option('--no-wait', 'do not wait until it is done')
    .action((host: string, domain: string, options: ClientOptions & ChangeOptions) =>
      adopt(contextOf(options), host, domain, options),
    );
}

async function showVms({ api, terminal, json }: ClientContext, filter: ListOptions): Promise<void> {
  const { group, host, phase, state, name, owner } = filter;
  const vms: PublicVm[] = [];
  for (let cursor: string | undefined; ; ) {
    const query = { group, host, phase, state, name, owner, limit: PAGE, cursor };
    const page: { vms: PublicVm[]; nextCursor?: string | undefined } = await api.get('/v1/vms', vmsSchema, query);
    vms.push(...page.vms);
    // A cursor that does not move on would never end.
    if (page.nextCursor === undefined || page.nextCursor === cursor) break;
    cursor = page.nextCursor;
  }
  if (json) return terminal.json(vms, 2);
  terminal.table(
    ['ID', 'NAME', 'GROUP', 'HOST', 'PHASE', 'DOMAIN', 'CPU', 'ENDPOINT', 'SINCE', ''],
    vms.map(rowOf),
    'No VMs.',
  );
}

const PHASE_STYLES: Readonly<Record<PublicVm['phase'], Style>> = {
  launching: 'yellow',
  standby: 'cyan',
  'in-service': 'green',
  draining: 'yellow',
  removing: 'yellow',
};

function rowOf(vm: PublicVm): (Cell | string)[] {
  return [
    `${vm.id}`,
    { text: vm.name, style: 'bold' },
    vm.group ?? '–',
    vm.host,
    { text: vm.phase, style: PHASE_STYLES[vm.phase] },
    vm.state,
    percent(vm.cpuPercent),
    endpointText(vm),
    vm.phaseAt,
    remarkOf(vm),
  ];
}

function remarkOf(vm: PublicVm): string {
  const marks = [...(vm.standby === undefined ? [] : [vm.standby]), ...(vm.protected ? ['protected'] : [])];
  return [...marks, vm.difference ?? vm.reason ?? ''].filter((part) => part !== '').join('; ');
}

function endpointText({ endpoint }: PublicVm): string {
  return endpoint === undefined ? '–' : `${endpoint.address}:${endpoint.port}`;
}

async function showVm(context: ClientContext, text: string): Promise<void> {
  const { terminal, json } = context;
  const vm = await vmOf(context, text);
  if (json) return terminal.json(vm, 2);
  terminal.fields([
    ['VM', { text: `${vm.id} ${vm.name}`, style: 'bold' }],
    ['uuid', vm.uuid],
    ['host', vm.host],
    ['group', vm.group],
    ['kind', vm.kind],
    ['phase', { text: `${vm.phase} since ${vm.phaseAt}`, style: PHASE_STYLES[vm.phase] }],
    ['state', vm.state === vm.desired ? vm.state : `${vm.state}, should be ${vm.desired}`],
    ['why', vm.difference ?? vm.reason],
    ['image', vm.image],
    ['flavor', vm.flavor?.name],
    ['vCPUs', vm.vcpus === undefined ? undefined : `${vm.vcpus}`],
    ['memory', vm.memoryMiB === undefined ? undefined : `${vm.memoryMiB} MiB`],
    ['CPU', vm.cpuPercent === undefined ? undefined : percent(vm.cpuPercent)],
    ['endpoint', vm.endpoint && endpointText(vm)],
    ['launched by', vm.way],
    ['standby', vm.standby],
    ['protected', vm.protected ? { text: 'its policy never removes it', style: 'cyan' } : undefined],
    ['labels', labelsText(vm)],
    ['owner', vm.owner],
    ['operation', vm.operation],
  ]);
}

async function power(
  context: ClientContext,
  verb: string,
  names: string[],
  { grace, wait }: ChangeOptions,
): Promise<void> {
  const body = grace === undefined ? undefined : { grace };
  await eachVm(context, await vmsOf(context, names), wait, ({ id }) =>
    context.api.send('POST', `/v1/vms/${id}/${verb}`, operationSchema, { ...(body && { body }) }),
  );
}

async function remove(context: ClientContext, names: string[], { grace, wait, yes }: ChangeOptions): Promise<void> {
  const vms = await vmsOf(context, names);
  const what = vms.map(({ id, name }) => `${id} ${name}`).join(', ');
  if (yes !== true && !(await context.confirm(`Delete ${what}, with all disks?`))) {
    throw new CommandFailure(1, 'nothing was deleted');
  }
  await eachVm(context, vms, wait, ({ id }) =>
    context.api.send('DELETE', `/v1/vms/${id}`, operationSchema, { query: { grace } }),
  );
}

/** One that fails does not keep the others from it; all failures are told at the end. */
async function eachVm(
  context: ClientContext,
  vms: readonly PublicVm[],
  wait: boolean,
  begin: (vm: PublicVm) => Promise<PublicOperation>,
): Promise<void> {
  const failures: { readonly vm: PublicVm; readonly failure: CommandFailure }[] = [];
  const attempt = async <T>(vm: PublicVm, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (failure) {
      if (!(failure instanceof CommandFailure) || failure.exitStatus === 130) throw failure;
      failures.push({ vm, failure });
      return undefined;
    }
  };
  const begun: { readonly vm: PublicVm; readonly operation: PublicOperation }[] = [];
  for (const vm of vms) {
    const operation = await attempt(vm, () => begin(vm));
    if (operation !== undefined) begun.push({ vm, operation });
  }
  for (const { vm, operation } of begun) await attempt(vm, () => finish(context, operation, wait));
  const [first] = failures;
  if (first === undefined) return;
  const lines = failures.map(({ vm, failure }) => (vms.length === 1 ? '' : `VM ${vm.id}: `) + failure.message);
  throw new CommandFailure(first.failure.exitStatus, lines.join('\n'));
}

async function showConsole(context: ClientContext, text: string, tail: number | undefined): Promise<void> {
  const { api, terminal, json } = context;
  const { id } = await vmOf(context, text);
  const bytes = await api.bytes(`/v1/vms/${id}/console`, { tail });
  if (json) return terminal.json({ id, console: new TextDecoder().decode(bytes) }, 2);
  if (!terminal.isTerminal) return terminal.raw(bytes);
  // A guest's own escape sequences would steer this terminal.
  const lines = new TextDecoder().decode(bytes).replaceAll('\r\n', '\n').split('\n');
  for (const line of lines) terminal.line(line.split('\t').map(printable).join('\t'));
}

async function showAddresses(context: ClientContext, text: string): Promise<void> {
  const { api, terminal, json } = context;
  const { id } = await vmOf(context, text);
  const { addresses } = await api.get(`/v1/vms/${id}/addresses`, addressesSchema);
  if (json) return terminal.json(addresses, 2);
  const rows = addresses.map(({ address, source, interface: name, mac }) => [address, source, name ?? '–', mac ?? '–']);
  terminal.table(['ADDRESS', 'FROM', 'INTERFACE', 'MAC'], rows, 'No addresses: nobody knows any (yet).');
}

async function adopt(context: ClientContext, host: string, domain: string, { wait }: ChangeOptions): Promise<void> {
  const operation = await context.api.send('POST', '/v1/vms/adopt', operationSchema, { body: { host, domain } });
  await finish(context, operation, wait);
}
