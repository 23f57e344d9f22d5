// `virtscale cluster snapshot`, `revert` and `ssh`: all nodes of a cluster at once, and a shell on one. Not here: programs on them
// (cluster-programs), one VM's snapshots (snapshots).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Command } from 'commander';
import { clusterSchema, type PublicCluster } from '../cluster-schemas.ts';
import { addressesSchema, operationSchema, type PublicOperation } from '../fabric-schemas.ts';
import { snapshotsSchema } from '../snapshot-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { finish } from './finish.ts';

interface WhoseOptions {
  readonly owner?: string;
}

interface ChangeOptions extends WhoseOptions {
  readonly yes?: boolean;
  readonly wait: boolean;
}

interface SnapshotOptions extends WhoseOptions {
  /** False with --no-memory. */
  readonly memory: boolean;
  readonly wait: boolean;
}

interface SshOptions extends WhoseOptions {
  readonly identity?: string;
}

type Node = PublicCluster['nodes'][number];

const OWNER = ['--owner <name>', 'whose cluster (default: your own, else the only one so called)'] as const;
const SSH_PORT = 22;
/** Addresses that nobody outside can reach: the guest's own, those behind a forwarded port, those of cluster networks (core/cluster). */
const WITHIN = [/^127\./, /^::1$/, /^fe80:/, /^10\.0\.2\./, /^10\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./];

export function addClusterNodes(cluster: Command, contextOf: ContextOf): void {
  clientCommand(cluster, 'snapshot', 'take a snapshot of all nodes at one moment, of all or of none')
    .argument('<name>')
    .argument('[snapshot]', 'what it is called (default: the time)')
    .option(...OWNER)
    .option('--no-memory', 'only the disks; the default is the memory too, so that a revert goes on where it was')
    .option('--no-wait', 'do not wait until it is taken')
    .action((name: string, snapshot: string | undefined, options: ClientOptions & SnapshotOptions) =>
      takeSnapshot(contextOf(options), name, snapshot, options),
    );
  clientCommand(cluster, 'revert', 'make all nodes what they were; what happened since is lost')
    .argument('<name>')
    .argument('<snapshot>')
    .option(...OWNER)
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'do not wait until they are back')
    .action((name: string, snapshot: string, options: ClientOptions & ChangeOptions) =>
      revert(contextOf(options), name, snapshot, options),
    );
  clientCommand(cluster, 'ssh', 'log in to a node, with the ssh of this machine')
    .argument('<name>')
    .argument('[node]', 'node1, node2, … (default: the first)')
    .argument('[command...]', 'run there in place of a shell (after --)')
    .option(...OWNER)
    .option('-i, --identity <file>', 'your private key; its public half was given with --ssh-key')
    .action((name: string, node: string | undefined, words: string[], options: ClientOptions & SshOptions) =>
      ssh(contextOf(options), name, node, words, options),
    );
}

async function clusterOf({ api }: ClientContext, name: string, owner: string | undefined): Promise<PublicCluster> {
  const cluster = await api.get(`/v1/clusters/${encodeURIComponent(name)}`, clusterSchema, { owner });
  if (cluster.nodes.length === 0) throw new CommandFailure(1, `cluster ${name} has no nodes yet`);
  return cluster;
}

async function takeSnapshot(
  context: ClientContext,
  name: string,
  snapshot: string | undefined,
  { owner, memory, wait }: SnapshotOptions,
): Promise<void> {
  const { nodes } = await clusterOf(context, name, owner);
  const body = { vms: nodes.map(({ vm }) => vm.id), memory, ...(snapshot !== undefined && { name: snapshot }) };
  await finish(context, await context.api.send('POST', '/v1/snapshots', operationSchema, { body }), wait);
}

async function revert(
  context: ClientContext,
  name: string,
  snapshot: string,
  { owner, yes = false, wait }: ChangeOptions,
): Promise<void> {
  const { api } = context;
  const { nodes } = await clusterOf(context, name, owner);
  // Before anything is done to one of them.
  for (const { name: node, vm } of nodes) {
    const { snapshots } = await api.get(`/v1/vms/${vm.id}/snapshots`, snapshotsSchema);
    if (snapshots.some((one) => one.name === snapshot)) continue;
    throw new CommandFailure(2, `${node} has no snapshot ${snapshot}: nothing was reverted`);
  }
  const question = `Make all ${nodes.length} nodes of cluster ${name} what they were at ${snapshot}? What happened since is lost.`;
  if (!yes && !(await context.confirm(question))) throw new CommandFailure(1, 'nothing was reverted');
  const begun: PublicOperation[] = [];
  for (const { vm } of nodes) {
    const path = `/v1/vms/${vm.id}/snapshots/${encodeURIComponent(snapshot)}/revert`;
    begun.push(await api.send('POST', path, operationSchema, { body: {} }));
  }
  for (const operation of begun) await finish(context, operation, wait);
}

async function ssh(
  context: ClientContext,
  name: string,
  wanted: string | undefined,
  words: readonly string[],
  { identity, owner }: SshOptions,
): Promise<void> {
  const { nodes } = await clusterOf(context, name, owner);
  const node = wanted === undefined ? nodes[0] : nodes.find((one) => one.name === wanted);
  if (node === undefined) throw new CommandFailure(2, `cluster ${name} has no node ${wanted}`);
  const { address, port } = await reachedAt(context, node);
  const args = [
    ...['-p', String(port), '-o', `HostKeyAlias=${node.vm.name}.virtscale`, '-o', 'StrictHostKeyChecking=accept-new'],
    ...(identity === undefined ? [] : ['-i', identity]),
    `root@${address}`,
    ...(words.length > 0 ? ['--', ...words] : []),
  ];
  const child = spawn('ssh', args, { stdio: 'inherit' });
  const [code, signal] = await (once(child, 'exit') as Promise<[number | null, string | null]>).catch(
    (error: Error) => {
      throw new CommandFailure(1, `cannot run ssh: ${error.message}`, error);
    },
  );
  if (code !== 0) throw new CommandFailure(1, `ssh to ${node.name} ended with ${signal ?? `status ${code}`}`);
}

/** Where its ssh answers: the forwarded port when that is the one, else any address that is reached from outside. */
async function reachedAt({ api }: ClientContext, { name, vm }: Node): Promise<{ address: string; port: number }> {
  const { endpoint, ready } = vm;
  if (ready !== undefined && 'tcp' in ready && ready.tcp?.port === SSH_PORT && endpoint !== undefined) return endpoint;
  const { addresses } = await api.get(`/v1/vms/${vm.id}/addresses`, addressesSchema);
  const found = addresses.find(
    ({ address, source }) => source !== 'forward' && !WITHIN.some((range) => range.test(address)),
  );
  if (found !== undefined) return { address: found.address, port: SSH_PORT };
  const advice = 'on hosts that forward ports, make the cluster with --ready tcp:22; "cluster exec" works without';
  throw new CommandFailure(1, `${name} has no address that ssh could reach: ${advice}`);
}
