// The end of a command that began an operation: waited for or not, told in one line for each VM or image, or as JSON.

import type { PublicOperation } from '../fabric-schemas.ts';
import type { ClientContext } from './client-context.ts';
import { waitForOperation } from './wait-for-operation.ts';

const DONE: Readonly<Record<string, string>> = {
  'vm.create': 'created',
  'vm.start': 'started',
  'vm.pause': 'paused',
  'vm.resume': 'resumed',
  'vm.shutdown': 'shut down',
  'vm.reboot': 'rebooted',
  'vm.reset': 'reset',
  'vm.stop': 'stopped',
  'vm.delete': 'deleted',
  'vm.adopt': 'adopted',
  'vm.migrate': 'moved',
  'host.drain': 'drained',
  'vm.resize': 'changed',
  'vm.attach-nic': 'network card added',
  'vm.detach-nic': 'network card removed',
  'cluster.create': 'created',
  'cluster.add': 'added',
  'cluster.remove': 'removed',
  'cluster.delete': 'deleted',
  'snapshot.create': 'snapshot taken',
  'snapshot.revert': 'back at the snapshot',
  'snapshot.delete': 'snapshot deleted',
  'image.import': 'imported',
  'image.upload': 'uploaded',
};

/** Throws `CommandFailure` when it did not succeed. */
export async function finish(context: ClientContext, begun: PublicOperation, wait: boolean): Promise<void> {
  const { terminal, json } = context;
  const operation = wait ? await waitForOperation(context, begun) : begun;
  if (json) return terminal.json(operation, 2);
  if (!wait && operation.endedAt === undefined) {
    terminal.line(`operation ${terminal.styled('bold', operation.id)} (${operation.kind}): ${operation.state}`);
    return;
  }
  const done = terminal.styled('green', DONE[operation.kind] ?? 'done');
  for (const { id, name, host, outcome, reason } of operation.vms) {
    // Of several VMs some may have failed where all-or-nothing was not asked.
    const became =
      outcome === undefined || outcome === 'done' ? done : terminal.styled('red', `${outcome}: ${reason ?? ''}`);
    terminal.line(`VM ${id} ${terminal.styled('bold', name)} on ${terminal.styled(undefined, host)}: ${became}`);
  }
  if (operation.image !== undefined) terminal.line(`image ${terminal.styled('bold', operation.image)}: ${done}`);
}
