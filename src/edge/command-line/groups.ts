// `virtscale groups`: the groups, their size, pausing them, stopping parts of them, steering a refresh.
// Not here: why a group is as it is (why).

import { Argument, type Command } from 'commander';
import {
  groupDetailSchema,
  groupsSchema,
  type PublicCandidate,
  type PublicGroup,
  type PublicGroupDetail,
  processSchema,
} from '../group-schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { bytes, percent } from './figures.ts';
import type { Cell, Terminal } from './terminal.ts';
import { wholeNumber } from './values.ts';

const REFRESH = ['pause', 'resume', 'rollback', 'cancel'] as const;

export function addGroupCommands(root: Command, contextOf: ContextOf): void {
  const groups = root.command('groups').description('groups: list, show, size, pause, suspend, refresh, …');
  listCommand(groups, 'the groups').action((options: ClientOptions) => showGroups(contextOf(options)));
  clientCommand(groups, 'show', 'one group: how it stands, its candidates and templates')
    .argument('<name>')
    .action((name: string, options: ClientOptions) => showGroup(contextOf(options), name));
  clientCommand(groups, 'size', 'set how many VMs it shall have; rules move it on from there')
    .argument('<name>')
    .argument('<vms>', 'within min and max of its policy', wholeNumber)
    .action((name: string, desired: number, options: ClientOptions) => resize(contextOf(options), name, desired));
  for (const [verb, description] of [
    ['pause', 'launch and remove nothing any more; what is under way is finished'],
    ['resume', 'end a pause'],
  ] as const) {
    clientCommand(groups, verb, description)
      .argument('<name>')
      .action((name: string, options: ClientOptions) => tell(contextOf(options), name, verb));
  }
  clientCommand(groups, 'suspend', 'stop parts of its work, as before maintenance')
    .argument('<name>')
    .addArgument(new Argument('<process...>', 'the parts').choices(processSchema.options))
    .action((name: string, parts: string[], options: ClientOptions) => suspend(contextOf(options), name, parts, true));
  clientCommand(groups, 'unsuspend', 'let parts of its work go on')
    .argument('<name>')
    .addArgument(new Argument('[process...]', 'the parts (default: all)').choices(processSchema.options))
    .action((name: string, parts: string[], options: ClientOptions) =>
      suspend(contextOf(options), name, parts.length === 0 ? processSchema.options : parts, false),
    );
  clientCommand(groups, 'refresh', 'steer the replacing of VMs of another template')
    .argument('<name>')
    .addArgument(new Argument('<verb>', 'what to do').choices(REFRESH))
    .action((name: string, verb: string, options: ClientOptions) => tell(contextOf(options), name, `refresh/${verb}`));
}

async function showGroups({ api, terminal, json }: ClientContext): Promise<void> {
  const { groups } = await api.get('/v1/groups', groupsSchema);
  if (json) return terminal.json(groups, 2);
  printGroups(terminal, groups);
}

export function printGroups(terminal: Terminal, groups: readonly PublicGroup[]): void {
  const rows = groups.map((group): (Cell | string)[] => [
    { text: group.name, style: 'bold' },
    stateOf(group),
    `${group.vmCounts.inService}/${group.desired ?? '?'}`,
    `${group.min}–${group.max}`,
    percent(group.cpuPercent),
    group.text ?? 'not evaluated yet',
  ]);
  terminal.table(['GROUP', 'STATE', 'READY', 'RANGE', 'CPU', 'WHY'], rows, 'No groups: no policy is loaded.');
}

/** What is most worth knowing of it. */
function stateOf(group: PublicGroup): Cell {
  if (group.breaker.open) return { text: 'launches stopped', style: 'red' };
  if (group.refresh?.state === 'stopped') return { text: 'refresh stopped', style: 'red' };
  if (group.paused) return { text: 'paused', style: 'yellow' };
  if (group.suspended.length > 0) return { text: `suspended: ${group.suspended.join(' ')}`, style: 'yellow' };
  if (group.mode === 'observe') return { text: 'observing', style: 'cyan' };
  if (group.refresh !== undefined) return { text: `refresh ${group.refresh.state}`, style: 'yellow' };
  return { text: 'active', style: 'green' };
}

async function showGroup({ api, terminal, json }: ClientContext, name: string): Promise<void> {
  const group = await api.get(pathOf(name), groupDetailSchema);
  if (json) return terminal.json(group, 2);
  terminal.fields(fieldsOf(group));
  const { candidates, templates } = group;
  if (candidates.length > 0) {
    terminal.line('');
    const rows = candidates.map(candidateRow);
    terminal.table(['CANDIDATE', 'DESIRED', 'RANGE', 'FILE', 'WOULD'], rows, '');
  }
  if (templates.length === 0) return;
  terminal.line('');
  const rows = templates.map(({ host, state, bytes: size, reason }): (Cell | string)[] => [
    { text: host, style: 'bold' },
    { text: state, style: state === 'ready' ? 'green' : 'yellow' },
    size === undefined ? '–' : bytes(size),
    reason ?? '',
  ]);
  terminal.table(['TEMPLATE ON', 'STATE', 'SIZE', ''], rows, '');
}

function candidateRow({ name, desired, min, max, file, text }: PublicCandidate): (Cell | string)[] {
  return [{ text: name, style: 'bold' }, `${desired ?? '?'}`, `${min}–${max}`, file, text ?? 'not evaluated yet'];
}

function fieldsOf(group: PublicGroupDetail): readonly (readonly [string, Cell | string | undefined])[] {
  const { breaker, capacity, refresh, removal, vmCounts } = group;
  const kept = (['paused', 'saved', 'stopped'] as const).filter((kind) => capacity[kind] > 0);
  const ways = [...(capacity.fork ? ['fork'] : []), ...kept.map((kind) => `${capacity[kind]} ${kind}`)];
  return [
    ['group', { text: group.name, style: 'bold' }],
    ['policy', group.file],
    ['state', stateOf(group)],
    ['why', group.text],
    ['size', `${vmCounts.inService} in service, ${group.desired ?? '?'} wanted, ${group.min} to ${group.max}`],
    ['other VMs', `launching ${vmCounts.launching}, standby ${vmCounts.standby}, draining ${vmCounts.draining}`],
    ['CPU', percent(group.cpuPercent)],
    ['rules', group.rules.map(({ name, type }) => `${name} (${type})`).join(', ')],
    ['capacity', ways.join(', ')],
    ['removal', removal.label === undefined ? removal.order : `by label ${removal.label}`],
    ['balancer', group.balancer],
    ['suspended', group.suspended.join(' ')],
    ['last scale-out', group.lastScaleOutAt],
    ['last scale-in', group.lastScaleInAt],
    [
      'breaker',
      breaker.open
        ? { text: `open until ${breaker.retryAt ?? 'it is closed'}: ${breaker.reason ?? ''}`, style: 'red' }
        : undefined,
    ],
    ['refresh', refresh && `${refresh.state}, ${refresh.done ?? '?'} of ${refresh.total}: ${refresh.reason ?? ''}`],
  ];
}

async function resize(context: ClientContext, name: string, desired: number): Promise<void> {
  told(context, await context.api.send('PATCH', pathOf(name), groupDetailSchema, { body: { desired } }));
}

async function tell(context: ClientContext, name: string, what: string): Promise<void> {
  told(context, await context.api.send('POST', `${pathOf(name)}/${what}`, groupDetailSchema));
}

/** Parts that were suspended before stay so: what others have stopped is not started by this. */
async function suspend(context: ClientContext, name: string, parts: readonly string[], stop: boolean): Promise<void> {
  const group = await context.api.edit(`${pathOf(name)}/suspended`, groupDetailSchema, {
    method: 'PUT',
    from: pathOf(name),
    body: ({ suspended }) => ({
      processes: processSchema.options.filter((part) => (parts.includes(part) ? stop : suspended.includes(part))),
    }),
  });
  told(context, group);
}

function told({ terminal, json }: ClientContext, group: PublicGroupDetail): void {
  if (json) {
    terminal.json(group, 2);
    return;
  }
  const state = stateOf(group);
  const wanted = group.desired === undefined ? '' : `, ${group.desired} VMs wanted`;
  terminal.line(`${terminal.styled('bold', group.name)}: ${terminal.styled(state.style, state.text)}${wanted}`);
}

function pathOf(name: string): string {
  return `/v1/groups/${encodeURIComponent(name)}`;
}
