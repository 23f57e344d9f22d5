// The commands that talk to a daemon: status, events, and the families of their own files.

import type { Command } from 'commander';
import { addAuditCommand } from './audit.ts';
import { type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { addClusterCommands } from './clusters.ts';
import { addGroupCommands } from './groups.ts';
import { addHostCommands } from './hosts.ts';
import { addImageCommands } from './images.ts';
import { addMetricCommands } from './metrics.ts';
import { addMigrationCommands } from './migrations.ts';
import { addOperationCommands } from './operations.ts';
import { showStatus } from './show.ts';
import { type EventsOptions, showEvents } from './show-events.ts';
import { addSignInCommands } from './sign-in.ts';
import { addSnapshotCommands } from './snapshots.ts';
import { addTokenCommands } from './tokens.ts';
import { addUserCommands } from './users.ts';
import { wholeNumber } from './values.ts';
import { addVmCommands } from './vms.ts';
import { addWhyCommand } from './why.ts';

/** `signal` ends `events --follow`. */
export function addClientCommands(root: Command, contextOf: ContextOf, signal?: AbortSignal): void {
  clientCommand(root, 'status', 'the daemon, its groups and its hosts').action((options: ClientOptions) =>
    showStatus(contextOf(options)),
  );
  addHostCommands(root, contextOf);
  addVmCommands(root, contextOf);
  addMigrationCommands(root, contextOf);
  addSnapshotCommands(root, contextOf);
  addClusterCommands(root, contextOf);
  addImageCommands(root, contextOf);
  addOperationCommands(root, contextOf);
  addGroupCommands(root, contextOf);
  addMetricCommands(root, contextOf);
  addWhyCommand(root, contextOf);
  clientCommand(root, 'events', 'what happened (with --json: one event a line)')
    .option('-f, --follow', 'go on with what happens', false)
    .option('-s, --since <seq>', 'from after this event on (default: the newest 50)', wholeNumber)
    .option('-g, --group <name>', 'only about this group')
    .option('-t, --types <types>', 'only of these types, separated by commas')
    .action((options: ClientOptions & EventsOptions) => showEvents(contextOf(options), options, signal));
  addTokenCommands(root, contextOf);
  addUserCommands(root, contextOf);
  addSignInCommands(root, contextOf);
  addAuditCommand(root, contextOf);
}
