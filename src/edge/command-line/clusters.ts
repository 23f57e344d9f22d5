// `virtscale cluster`: virtual clusters, made, enlarged, looked at, made smaller, deleted. Not here: what their nodes run.

import type { Command } from 'commander';
import { clusterSchema, clustersSchema, type PublicCluster } from '../cluster-schemas.ts';
import { operationSchema } from '../fabric-schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { addClusterNodes } from './cluster-nodes.ts';
import { addClusterPrograms } from './cluster-programs.ts';
import { CommandFailure } from './command-failure.ts';
import { finish } from './finish.ts';
import type { Cell } from './terminal.ts';
import { countOfVms, duration, readyCheck, several, sizeMiB } from './values.ts';
import { keysOf } from './vm-create.ts';

interface WhoseOptions {
  readonly owner?: string;
}

interface CreateOptions {
  readonly nodes: number;
  readonly flavor?: string;
  readonly vcpus?: number;
  readonly memory?: number;
  readonly disk?: number;
  readonly image?: string;
  readonly algorithm?: string;
  readonly apart?: boolean;
  readonly ready?: ReturnType<typeof readyCheck>;
  readonly sshKey?: readonly string[];
  readonly wait: boolean;
}

interface GoingOptions extends WhoseOptions {
  readonly grace?: string;
  readonly yes?: boolean;
  readonly wait: boolean;
}

const OWNER = ['--owner <name>', 'whose cluster (default: your own, else the only one so called)'] as const;
const GRACE = [
  '--grace <duration>',
  'ask the guests to shut down first and give them this long, e.g. 30s',
  duration,
] as const;
const NO_WAIT = ['--no-wait', 'do not wait until it is done'] as const;
const MIB_PER_GIB = 1024;

export function addClusterCommands(root: Command, contextOf: ContextOf): void {
  const cluster = root
    .command('cluster')
    .description('virtual clusters: list, create, add, remove, exec, run, ssh, snapshot, …');
  listCommand(cluster, 'the clusters')
    .option('--owner <name>', 'only of this owner')
    .action((options: ClientOptions & WhoseOptions) => showClusters(contextOf(options), options));
  clientCommand(cluster, 'create', 'make a cluster: NAME-node1, NAME-node2, …, all of them or none')
    .argument('<name>')
    .requiredOption('-n, --nodes <n>', 'how many nodes', countOfVms)
    .option('-f, --flavor <name>', 'vCPUs, memory and disk of each node; or say them one by one:')
    .option('--vcpus <n>', 'vCPUs of each node', countOfVms)
    .option('--memory <size>', 'memory of each node, e.g. 512M', sizeMiB)
    .option('--disk <size>', 'disk of each node, e.g. 2G (default: as large as the image)', sizeMiB)
    .option('-i, --image <name>', 'disk image (default: an empty disk)')
    .option('-a, --algorithm <name>', 'placement algorithm, such as first-fit or round-robin')
    .option('--apart', 'each node on a host of its own')
    .option(
      '--ready <port/path>',
      'a node is in service once it answers HTTP there (default: once it runs)',
      readyCheck,
    )
    .option('--ssh-key <file>', 'public keys that may log in, for cloud-init (may be repeated)', several)
    .option(...NO_WAIT)
    .action((name: string, options: ClientOptions & CreateOptions) => create(contextOf(options), name, options));
  clientCommand(cluster, 'add', 'add nodes like those that are there, all of them or none')
    .argument('<name>')
    .option('-n, --nodes <n>', 'how many (default: 1)', countOfVms)
    .option(...OWNER)
    .option(...NO_WAIT)
    .action((name: string, options: ClientOptions & GoingOptions & { nodes?: number }) =>
      add(contextOf(options), name, options),
    );
  clientCommand(cluster, 'remove', 'remove nodes with their disks')
    .argument('<name>')
    .argument('<node...>', 'node1, node2, …')
    .option(...OWNER)
    .option(...GRACE)
    .option('-y, --yes', 'do not ask')
    .option(...NO_WAIT)
    .action((name: string, nodes: string[], options: ClientOptions & GoingOptions) =>
      removeNodes(contextOf(options), name, nodes, options),
    );
  clientCommand(cluster, 'show', 'one cluster with its nodes')
    .argument('<name>')
    .option(...OWNER)
    .action((name: string, options: ClientOptions & WhoseOptions) => show(contextOf(options), name, options));
  clientCommand(cluster, 'delete', 'delete a cluster: all of its nodes with their disks')
    .argument('<name>')
    .option(...OWNER)
    .option(...GRACE)
    .option('-y, --yes', 'do not ask')
    .option(...NO_WAIT)
    .action((name: string, options: ClientOptions & GoingOptions) => remove(contextOf(options), name, options));
  addClusterNodes(cluster, contextOf);
  addClusterPrograms(cluster, contextOf);
}

async function showClusters({ api, terminal, json }: ClientContext, { owner }: WhoseOptions): Promise<void> {
  const { clusters } = await api.get('/v1/clusters', clustersSchema, { owner });
  if (json) return terminal.json(clusters, 2);
  const rows = clusters.map((cluster): (Cell | string)[] => [
    { text: cluster.name, style: 'bold' },
    cluster.owner,
    `${cluster.nodes.length}`,
    madeOf(cluster),
    [...new Set(cluster.nodes.map(({ vm }) => vm.host))].join(', '),
    cluster.createdAt,
  ]);
  terminal.table(['CLUSTER', 'OWNER', 'NODES', 'EACH', 'ON HOSTS', 'MADE'], rows, 'No clusters.');
}

function madeOf({ node: { flavor, size, image } }: PublicCluster): string {
  const amounts = size === undefined ? flavor : `${size.vcpus} vCPUs, ${size.memoryMiB} MiB`;
  return `${amounts}${image === undefined ? '' : `, ${image}`}`;
}

async function show({ api, terminal, json }: ClientContext, name: string, { owner }: WhoseOptions): Promise<void> {
  const cluster = await api.get(`/v1/clusters/${encodeURIComponent(name)}`, clusterSchema, { owner });
  if (json) return terminal.json(cluster, 2);
  terminal.fields([
    ['cluster', { text: cluster.name, style: 'bold' }],
    ['owner', cluster.owner],
    ['made', cluster.createdAt],
    ['each node', madeOf(cluster)],
    ['under way', cluster.operations.map(({ kind, state }) => `${kind} (${state})`).join(', ') || undefined],
  ]);
  const rows = cluster.nodes.map(({ name: node, address, missing, vm }): (Cell | string)[] => [
    { text: node, style: 'bold' },
    address ?? '–',
    `${vm.id}`,
    vm.name,
    vm.host,
    vm.phase,
    vm.state,
    vm.endpoint === undefined ? '' : `${vm.endpoint.address}:${vm.endpoint.port}`,
    missing === undefined ? { text: 'yes', style: 'green' } : `no: ${missing}`,
  ]);
  terminal.table(
    ['NODE', 'ADDRESS', 'VM', 'NAME', 'HOST', 'PHASE', 'DOMAIN', 'ENDPOINT', 'KNOWS THE OTHERS'],
    rows,
    'No nodes yet.',
  );
}

async function create(context: ClientContext, name: string, options: CreateOptions): Promise<void> {
  const { nodes, image, algorithm, apart, ready, wait } = options;
  const sshKeys = (await Promise.all((options.sshKey ?? []).map(keysOf))).flat();
  const placement = { ...(algorithm !== undefined && { algorithm }), ...(apart === true && { apart }) };
  const body = {
    name,
    nodes,
    ...amountsOf(options),
    ...(image !== undefined && { image }),
    ...(ready !== undefined && { ready }),
    ...(sshKeys.length > 0 && { sshKeys }),
    ...(Object.keys(placement).length > 0 && { placement }),
  };
  await finish(context, await context.api.send('POST', '/v1/clusters', operationSchema, { body }), wait);
}

function amountsOf({ flavor, vcpus, memory, disk }: CreateOptions): object {
  const isSized = vcpus !== undefined || memory !== undefined || disk !== undefined;
  if (flavor !== undefined && !isSized) return { flavor };
  if (flavor !== undefined) throw new CommandFailure(2, 'say either --flavor, or --vcpus, --memory and --disk');
  if (vcpus === undefined || memory === undefined) {
    throw new CommandFailure(2, 'say how large a node is: --flavor NAME, or --vcpus N --memory SIZE [--disk SIZE]');
  }
  return { size: { vcpus, memoryMiB: memory, ...(disk !== undefined && { diskGiB: disk / MIB_PER_GIB }) } };
}

async function add(
  context: ClientContext,
  name: string,
  { nodes = 1, owner, wait }: GoingOptions & { readonly nodes?: number },
): Promise<void> {
  const path = `/v1/clusters/${encodeURIComponent(name)}/nodes`;
  const sent = { body: { count: nodes }, query: { owner } };
  await finish(context, await context.api.send('POST', path, operationSchema, sent), wait);
}

async function removeNodes(
  context: ClientContext,
  name: string,
  nodes: readonly string[],
  { owner, grace, yes = false, wait }: GoingOptions,
): Promise<void> {
  const sure = yes || (await context.confirm(`Remove ${nodes.join(', ')} of cluster ${name} with their disks?`));
  if (!sure) throw new CommandFailure(1, 'nothing was removed');
  for (const node of nodes) {
    const path = `/v1/clusters/${encodeURIComponent(name)}/nodes/${encodeURIComponent(node)}`;
    await finish(context, await context.api.send('DELETE', path, operationSchema, { query: { owner, grace } }), wait);
  }
}

async function remove(context: ClientContext, name: string, options: GoingOptions): Promise<void> {
  const { owner, grace, yes = false, wait } = options;
  const { api } = context;
  const path = `/v1/clusters/${encodeURIComponent(name)}`;
  if (!yes) {
    const { nodes } = await api.get(path, clusterSchema, { owner });
    const sure = await context.confirm(`Delete cluster ${name} with all ${nodes.length} nodes and their disks?`);
    if (!sure) throw new CommandFailure(1, 'nothing was deleted');
  }
  await finish(context, await api.send('DELETE', path, operationSchema, { query: { owner, grace } }), wait);
}
