// `virtscale snapshot`: taking, listing, showing, going back to and deleting snapshots of VMs. Not here: the VMs (vms).

import type { Command } from 'commander';
import { asTree } from '../../core/snapshot.ts';
import { operationSchema, type PublicOperation } from '../fabric-schemas.ts';
import type { PublicVm } from '../schemas.ts';
import { type PublicSnapshot, snapshotSchema, snapshotsSchema } from '../snapshot-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { finish } from './finish.ts';
import { printable, type Style } from './terminal.ts';
import { countOfVms as atLeastOne, oneOf, several } from './values.ts';
import { vmOf, vmsOf } from './vm-names.ts';
import { waitForOperation } from './wait-for-operation.ts';

interface CreateOptions {
  readonly with?: readonly string[];
  readonly kind?: string;
  /** False with --no-memory, --no-quiesce. */
  readonly memory: boolean;
  readonly quiesce?: boolean;
  readonly description?: string;
  readonly keep?: number;
  readonly keepHours?: number;
  readonly wait: boolean;
}

interface ChangeOptions {
  readonly power?: string;
  readonly yes?: boolean;
  readonly wait: boolean;
}

export function addSnapshotCommands(root: Command, contextOf: ContextOf): void {
  const family = root.command('snapshot').description('snapshots of VMs: create, list, show, revert, delete');
  clientCommand(family, 'create', 'take a snapshot of a VM, or of several at one moment')
    .argument('<vm>', 'id or name')
    .argument('[name]', 'what it is called (default: the time)')
    .option('--with <vm>', 'this VM too: all of them at one moment, or none (may be repeated)', several)
    .option('--no-memory', 'only the disk; the default is the memory too, so that a revert goes on where it was')
    .option('--quiesce', 'without memory: fail where no agent freezes the file systems')
    .option('--no-quiesce', 'without memory: do not ask the agent')
    .option(
      '--kind <kind>',
      'internal or external (default: internal where that is possible)',
      oneOf(['internal', 'external']),
    )
    .option('--description <text>', 'a line about it')
    .option('--keep <n>', 'afterwards remove the oldest, so that this many are left', atLeastOne)
    .option('--keep-hours <n>', 'afterwards remove those that are older', atLeastOne)
    .option('--no-wait', 'do not wait until it is taken')
    .action((vm: string, name: string | undefined, options: ClientOptions & CreateOptions) =>
      create(contextOf(options), vm, name, options),
    );
  clientCommand(family, 'list', 'the snapshots of a VM, as a tree')
    .argument('<vm>', 'id or name')
    .action((vm: string, options: ClientOptions) => list(contextOf(options), vm));
  clientCommand(family, 'show', 'one snapshot')
    .argument('<vm>', 'id or name')
    .argument('<name>', "the snapshot's name")
    .action((vm: string, name: string, options: ClientOptions) => show(contextOf(options), vm, name));
  clientCommand(family, 'revert', 'make a VM what it was; what happened since is lost')
    .argument('<vm>', 'id or name')
    .argument('<name>', "the snapshot's name")
    .option(
      '--power <power>',
      'running or stopped, when it has no memory (default: as it was asked to be)',
      oneOf(['running', 'stopped']),
    )
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'do not wait until it is back')
    .action((vm: string, name: string, options: ClientOptions & ChangeOptions) =>
      revert(contextOf(options), vm, name, options),
    );
  clientCommand(family, 'delete', 'delete a snapshot; others stay')
    .argument('<vm>', 'id or name')
    .argument('<name>', "the snapshot's name")
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'do not wait until it is gone')
    .action((vm: string, name: string, options: ClientOptions & ChangeOptions) =>
      remove(contextOf(options), vm, name, options),
    );
}

async function create(
  context: ClientContext,
  text: string,
  name: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const { description, keep: count, keepHours: hours, kind, memory, quiesce, wait, with: others = [] } = options;
  const vms = await vmsOf(context, [text, ...others]);
  const keep = { ...(count !== undefined && { count }), ...(hours !== undefined && { hours }) };
  const body = {
    ...(name !== undefined && { name }),
    ...(kind !== undefined && { kind }),
    memory,
    ...(quiesce !== undefined && { quiesce }),
    ...(description !== undefined && { description }),
    ...(Object.keys(keep).length > 0 && { keep }),
  };
  const [first] = vms;
  const [path, sent] =
    vms.length === 1 && first !== undefined
      ? [`/v1/vms/${first.id}/snapshots`, body]
      : ['/v1/snapshots', { vms: vms.map(({ id }) => id), ...body }];
  const begun = await context.api.send('POST', path, operationSchema, { body: sent });
  if (!wait || context.json) return finish(context, begun, wait);
  tellTaken(context, await waitForOperation(context, begun));
}

function tellTaken({ terminal }: ClientContext, { snapshot, vms }: PublicOperation): void {
  for (const { consistency, kind, memory, removed, vm } of snapshot?.taken ?? []) {
    const name = vms.find(({ id }) => id === vm)?.name ?? '';
    const how = `${kind}, ${memory ? 'with memory' : 'disk only'}, ${consistency}-consistent`;
    const gone = removed.length === 0 ? '' : `; removed ${removed.join(', ')}`;
    terminal.line(
      `VM ${vm} ${terminal.styled('bold', name)}: ${terminal.styled('green', 'snapshot')} ${terminal.styled('bold', snapshot?.name ?? '')} (${how})${gone}`,
    );
  }
}

async function list(context: ClientContext, text: string): Promise<void> {
  const { api, terminal, json } = context;
  const { id } = await vmOf(context, text);
  const { snapshots } = await api.get(`/v1/vms/${id}/snapshots`, snapshotsSchema);
  if (json) return terminal.json(snapshots, 2);
  const rows = treeOf(snapshots).map(({ line, snapshot }) => [
    { text: line, ...(snapshot.current && { style: 'bold' as Style }) },
    snapshot.createdAt,
    snapshot.kind,
    snapshot.memory ? 'with memory' : 'disk only',
    snapshot.state,
    snapshot.consistency,
    [...(snapshot.current ? ['current'] : []), snapshot.description ?? ''].filter((part) => part !== '').join('; '),
  ]);
  const head = ['SNAPSHOT', 'TAKEN', 'KIND', 'OF', 'VM WAS', 'CONSISTENT', ''];
  terminal.table(head, rows, 'No snapshots.');
}

/** `├─ child` below its parent. */
function treeOf(
  snapshots: readonly PublicSnapshot[],
): readonly { readonly line: string; readonly snapshot: PublicSnapshot }[] {
  const isLastAt: boolean[] = [];
  return asTree(snapshots).map(({ depth, isLast, snapshot }) => {
    isLastAt[depth] = isLast;
    const above = isLastAt.slice(1, depth).map((last) => (last ? '   ' : '│  '));
    const branch = depth === 0 ? '' : isLast ? '└─ ' : '├─ ';
    return { line: above.join('') + branch + snapshot.name, snapshot };
  });
}

async function show(context: ClientContext, text: string, name: string): Promise<void> {
  const { api, terminal, json } = context;
  const vm = await vmOf(context, text);
  const snapshot = await api.get(pathOf(vm, name), snapshotSchema);
  if (json) return terminal.json(snapshot, 2);
  terminal.fields([
    ['snapshot', { text: `${snapshot.name} of VM ${vm.id} ${vm.name}`, style: 'bold' }],
    ['description', snapshot.description],
    ['taken', snapshot.createdAt],
    ['parent', snapshot.parent],
    ['current', snapshot.current ? 'yes: the next one is its child' : undefined],
    ['kind', snapshot.kind],
    ['memory', snapshot.memory ? 'with memory: a revert goes on where it was' : 'disk only'],
    ['VM was', snapshot.state],
    ['consistent', snapshot.consistency],
    ['operation', snapshot.operation],
  ]);
}

async function revert(context: ClientContext, text: string, name: string, options: ChangeOptions): Promise<void> {
  const { power, wait, yes } = options;
  const vm = await vmOf(context, text);
  const question = `Revert VM ${vm.id} ${vm.name} to snapshot ${printable(name)}? What happened since is lost.`;
  if (yes !== true && !(await context.confirm(question))) throw new CommandFailure(1, 'nothing was reverted');
  const body = power === undefined ? {} : { power };
  const begun = await context.api.send('POST', `${pathOf(vm, name)}/revert`, operationSchema, { body });
  await finish(context, begun, wait);
}

async function remove(context: ClientContext, text: string, name: string, options: ChangeOptions): Promise<void> {
  const vm = await vmOf(context, text);
  const question = `Delete snapshot ${printable(name)} of VM ${vm.id} ${vm.name}?`;
  if (options.yes !== true && !(await context.confirm(question))) throw new CommandFailure(1, 'nothing was deleted');
  await finish(context, await context.api.send('DELETE', pathOf(vm, name), operationSchema, {}), options.wait);
}

function pathOf({ id }: PublicVm, name: string): string {
  return `/v1/vms/${id}/snapshots/${encodeURIComponent(name)}`;
}
