// `virtscale operations`: what was asked for through an API and what became of it. Not here: waiting (wait-for-operation).

import type { Command } from 'commander';
import { operationSchema, operationsSchema, type PublicOperation } from '../fabric-schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { finish } from './finish.ts';
import type { Cell, Style } from './terminal.ts';
import { countOfVms as atLeastOne, wholeNumber } from './values.ts';
import { progressText } from './wait-for-operation.ts';

const PAGE = 100;
const DEFAULT_LIMIT = 50;

interface ListOptions {
  readonly state?: string;
  readonly kind?: string;
  readonly vm?: number;
  readonly limit: number;
}

export function addOperationCommands(root: Command, contextOf: ContextOf): void {
  const operations = root.command('operations').description('operations: list, show, wait, cancel');
  listCommand(operations, 'operations, newest first')
    .option('--state <state>', 'only those queued, placed, running, succeeded, failed or cancelled')
    .option('--kind <kind>', 'only of this kind, such as vm.create')
    .option('--vm <id>', 'only about this VM', wholeNumber)
    .option('-n, --limit <n>', 'how many', atLeastOne, DEFAULT_LIMIT)
    .action((options: ClientOptions & ListOptions) => showOperations(contextOf(options), options));
  const one = (
    name: string,
    description: string,
    act: (context: ClientContext, operation: PublicOperation) => Promise<void>,
  ) =>
    clientCommand(operations, name, description)
      .argument('<id>')
      .action(async (id: string, options: ClientOptions) => {
        const context = contextOf(options);
        await act(context, await context.api.get(`/v1/operations/${encodeURIComponent(id)}`, operationSchema));
      });
  one('show', 'one operation with its history', async (context, operation) => {
    if (context.json) context.terminal.json(operation, 2);
    else print(context, operation);
  });
  one('wait', 'wait until it has ended; exit status 0 only when it succeeded', (context, operation) =>
    finish(context, operation, true),
  );
  one('cancel', 'take it back where that is possible', cancel);
}

const STYLES: Readonly<Record<PublicOperation['state'], Style>> = {
  queued: 'yellow',
  placed: 'yellow',
  running: 'yellow',
  succeeded: 'green',
  failed: 'red',
  cancelled: 'dim',
};

async function showOperations({ api, terminal, json }: ClientContext, options: ListOptions): Promise<void> {
  const { state, kind, vm, limit } = options;
  const operations: PublicOperation[] = [];
  for (let cursor: string | undefined; operations.length < limit; ) {
    const query = { state, kind, vm, limit: Math.min(PAGE, limit - operations.length), cursor };
    const page: { operations: PublicOperation[]; nextCursor?: string | undefined } = await api.get(
      '/v1/operations',
      operationsSchema,
      query,
    );
    operations.push(...page.operations);
    if (page.nextCursor === undefined || page.nextCursor === cursor) break;
    cursor = page.nextCursor;
  }
  if (json) return terminal.json(operations, 2);
  terminal.table(
    ['OPERATION', 'KIND', 'STATE', 'ABOUT', 'OWNER', 'SINCE', ''],
    operations.map(rowOf),
    'No operations.',
  );
}

function rowOf(operation: PublicOperation): (Cell | string)[] {
  const { id, kind, owner, createdAt, failure, history, progress } = operation;
  const last =
    progress === undefined || operation.endedAt !== undefined ? history.at(-1)?.text : progressText(progress);
  return [id, kind, stateOf(operation), aboutOf(operation), owner, createdAt, failure?.detail ?? last ?? ''];
}

function stateOf({ state, cancelling, endedAt }: PublicOperation): Cell {
  const text = cancelling && endedAt === undefined ? `${state}, cancelling` : state;
  return { text, style: STYLES[state] };
}

const SHOWN_VMS = 3;

function aboutOf({ vms, image }: PublicOperation): string {
  if (image !== undefined) return image;
  const names = vms.slice(0, SHOWN_VMS).map(({ id, name }) => `${id} ${name}`);
  return [...names, ...(vms.length > SHOWN_VMS ? [`and ${vms.length - SHOWN_VMS} more`] : [])].join(', ');
}

function print({ terminal }: Pick<ClientContext, 'terminal'>, operation: PublicOperation): void {
  const { id, kind, owner, createdAt, endedAt, failure, progress, vms, image, history } = operation;
  terminal.fields([
    ['operation', { text: id, style: 'bold' }],
    ['kind', kind],
    ['state', stateOf(operation)],
    ['why', failure?.detail],
    ['progress', progress && progressText(progress)],
    ['owner', owner],
    ['asked for', createdAt],
    ['ended', endedAt],
    ['image', image],
  ]);
  section({ terminal }, 'HOSTS', failure?.hosts?.map(({ name, text }) => `${name}: ${text}`) ?? []);
  const vmLines = vms.map(({ id: vmId, name, host, outcome, reason }) => {
    return `${vmId} ${name} on ${host}: ${[outcome ?? 'under way', reason].filter(Boolean).join(': ')}`;
  });
  section({ terminal }, 'VMS', vmLines);
  section(
    { terminal },
    'HISTORY',
    history.map(({ at, text }) => `${at}  ${text}`),
  );
}

function section({ terminal }: Pick<ClientContext, 'terminal'>, title: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  terminal.line('');
  terminal.line(terminal.styled('dim', title));
  for (const line of lines) terminal.line(`  ${terminal.styled(undefined, line)}`);
}

async function cancel({ api, terminal, json }: ClientContext, { id }: PublicOperation): Promise<void> {
  const operation = await api.send('POST', `/v1/operations/${encodeURIComponent(id)}/cancel`, operationSchema);
  if (json) return terminal.json(operation, 2);
  const { text } = stateOf(operation);
  terminal.line(`operation ${terminal.styled('bold', id)}: ${terminal.styled(undefined, text)}`);
}
