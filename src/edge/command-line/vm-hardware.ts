// `virtscale vms hardware`, `resize` and `nic`: what a VM is made of, looked at and changed. Not here: its power (vms).

import { type Command, InvalidArgumentError } from 'commander';
import { operationSchema } from '../fabric-schemas.ts';
import { hardwareSchema, type PublicHardware } from '../hardware-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { bytes } from './figures.ts';
import { finish } from './finish.ts';
import { countOfVms, sizeMiB } from './values.ts';
import { vmOf } from './vm-names.ts';

const MIB_PER_GIB = 1024;

interface ChangeOptions {
  readonly restart?: boolean;
  readonly force?: boolean;
  /** False with --no-wait. */
  readonly wait: boolean;
}

interface ResizeOptions extends ChangeOptions {
  readonly vcpus?: number;
  readonly memory?: number;
  readonly disk?: number;
}

export function addVmHardware(vms: Command, contextOf: ContextOf): void {
  clientCommand(vms, 'hardware', 'what a VM is made of, now and from its next start')
    .argument('<vm>', 'id or name')
    .action((vm: string, options: ClientOptions) => showHardware(contextOf(options), vm));
  changing(clientCommand(vms, 'resize', 'give a VM other vCPUs or memory, or a larger disk'))
    .argument('<vm>', 'id or name')
    .option('--vcpus <n>', 'how many vCPUs', countOfVms)
    .option('--memory <size>', 'how much memory, e.g. 512M', sizeMiB)
    .option('--disk <size>', 'how large a disk, in whole GiB, e.g. 4G; never smaller', diskSize)
    .action((vm: string, options: ClientOptions & ResizeOptions) => resize(contextOf(options), vm, options));
  const nic = vms.command('nic').description('network cards: list, add, remove');
  clientCommand(nic, 'list', 'the network cards of a VM')
    .argument('<vm>', 'id or name')
    .action((vm: string, options: ClientOptions) => showNics(contextOf(options), vm));
  changing(clientCommand(nic, 'add', "add a card on the network of the VM's host"))
    .argument('<vm>', 'id or name')
    .action((vm: string, options: ClientOptions & ChangeOptions) => addNic(contextOf(options), vm, options));
  changing(clientCommand(nic, 'remove', 'take a card away'))
    .argument('<vm>', 'id or name')
    .argument('<mac>', 'its address, as `nic list` shows it')
    .action((vm: string, mac: string, options: ClientOptions & ChangeOptions) =>
      removeNic(contextOf(options), vm, mac, options),
    );
}

function changing(command: Command): Command {
  return command
    .option('--restart', 'shut it down and start it again where it cannot be done otherwise')
    .option('--force', 'with --restart: pull the plug of a guest that does not shut down')
    .option('--no-wait', 'do not wait until it is done');
}

function diskSize(text: string): number {
  const mib = sizeMiB(text);
  if (mib % MIB_PER_GIB !== 0) throw new InvalidArgumentError('It must be whole GiB, such as 4G.');
  return mib / MIB_PER_GIB;
}

async function resize(context: ClientContext, name: string, options: ResizeOptions): Promise<void> {
  const { vcpus, memory, disk } = options;
  if (vcpus === undefined && memory === undefined && disk === undefined) {
    throw new CommandFailure(2, 'nothing to change: give --vcpus, --memory, --disk or several of them');
  }
  const { id } = await vmOf(context, name);
  const body = {
    ...(vcpus !== undefined && { vcpus }),
    ...(memory !== undefined && { memoryMiB: memory }),
    ...(disk !== undefined && { diskGiB: disk }),
    ...allowed(options),
  };
  const operation = await context.api.send('PATCH', `/v1/vms/${id}/hardware`, operationSchema, { body });
  await finish(context, operation, options.wait);
}

async function addNic(context: ClientContext, name: string, options: ChangeOptions): Promise<void> {
  const { id } = await vmOf(context, name);
  const body = allowed(options);
  const operation = await context.api.send('POST', `/v1/vms/${id}/interfaces`, operationSchema, { body });
  await finish(context, operation, options.wait);
}

async function removeNic(context: ClientContext, name: string, mac: string, options: ChangeOptions): Promise<void> {
  const { id } = await vmOf(context, name);
  const path = `/v1/vms/${id}/interfaces/${encodeURIComponent(mac)}`;
  const { force, restart } = allowed(options);
  const query = { ...(restart && { restart: 'true' }), ...(force && { force: 'true' }) };
  const operation = await context.api.send('DELETE', path, operationSchema, { query });
  await finish(context, operation, options.wait);
}

function allowed({ force, restart }: ChangeOptions): { restart?: true; force?: true } {
  return { ...(restart === true && { restart: true as const }), ...(force === true && { force: true as const }) };
}

async function showHardware(context: ClientContext, name: string): Promise<void> {
  const { api, terminal, json } = context;
  const vm = await vmOf(context, name);
  const seen = await api.get(`/v1/vms/${vm.id}/hardware`, hardwareSchema);
  if (json) return terminal.json(seen, 2);
  const { diskBytes, freeSlots, next, now, onlineVcpus, saved } = seen;
  const unused = now !== undefined && onlineVcpus !== undefined && onlineVcpus < now.vcpus;
  terminal.fields([
    ['VM', { text: `${vm.id} ${vm.name}`, style: 'bold' }],
    ['state', saved ? 'its memory is saved' : seen.running ? 'running' : 'stopped'],
    [
      'vCPUs',
      now &&
        `${now.vcpus}, at most ${now.maxVcpus} without a restart${unused ? `; its guest uses ${onlineVcpus}` : ''}`,
    ],
    ['memory', now && `${now.memoryMiB} MiB, at most ${now.maxMemoryMiB} MiB without a restart`],
    [
      'next start',
      `${next.vcpus} vCPUs (at most ${next.maxVcpus}), ${next.memoryMiB} MiB (at most ${next.maxMemoryMiB} MiB)`,
    ],
    ['disk', diskBytes === undefined ? undefined : bytes(diskBytes)],
    ['network cards', `${seen.interfaces.length}${seen.running ? `, ${freeSlots} more without a restart` : ''}`],
  ]);
}

async function showNics(context: ClientContext, name: string): Promise<void> {
  const { api, terminal, json } = context;
  const { id } = await vmOf(context, name);
  const { interfaces } = await api.get(`/v1/vms/${id}/hardware`, hardwareSchema);
  if (json) return terminal.json(interfaces, 2);
  terminal.table(['MAC', 'KIND', 'NETWORK', 'STATE'], interfaces.map(nicRow), 'No network cards.');
}

function nicRow({ kind, mac, next, now, source }: PublicHardware['interfaces'][number]): string[] {
  const state = now ? (next ? 'there' : 'until its next start') : 'from its next start';
  return [mac, kind, source ?? '–', state];
}
