// `virtscale vms create`: the request from options and files. Not here: whether it can be fulfilled (the daemon says).

import { readFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { operationSchema } from '../fabric-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure, cannotRead } from './command-failure.ts';
import { finish } from './finish.ts';
import { countOfVms, label, readyCheck, several, sizeMiB, wholeNumber } from './values.ts';

/** The daemon takes request bodies of 64 KiB. */
const MAX_FILE_BYTES = 48 * 1024;

interface CreateOptions {
  readonly flavor: string;
  readonly image?: string;
  readonly count?: number;
  readonly allOrNothing?: boolean;
  readonly algorithm?: string;
  readonly host?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly apart?: boolean;
  readonly ready?: ReturnType<typeof readyCheck>;
  readonly sshKey?: readonly string[];
  readonly userData?: string;
  readonly maxVcpus?: number;
  readonly maxMemory?: number;
  readonly spareNics?: number;
  readonly wait: boolean;
}

export function addVmCreate(vms: Command, contextOf: ContextOf): void {
  clientCommand(vms, 'create', 'make VMs and wait until they are in service')
    .argument('<name>', 'its name; with --count NAME-1, NAME-2, …')
    .requiredOption('-f, --flavor <name>', 'vCPUs, memory and disk')
    .option('-i, --image <name>', 'disk image (default: an empty disk)')
    .option('-n, --count <n>', 'how many', countOfVms)
    .option('--all-or-nothing', 'all of them or none')
    .option('-a, --algorithm <name>', 'placement algorithm for this request')
    .option('--host <name>', 'only on this host')
    .option('-l, --label <key=value>', 'only on hosts with this label (may be repeated)', label)
    .option('--apart', 'each on a host of its own')
    .option('--ready <port/path>', 'in service once it answers HTTP there (default: once it runs)', readyCheck)
    .option('--ssh-key <file>', 'public keys that may log in, for cloud-init (may be repeated)', several)
    .option('--user-data <file>', "cloud-init's user-data")
    .option('--max-vcpus <n>', 'vCPUs it can be given while it runs', countOfVms)
    .option('--max-memory <size>', 'memory it can be given while it runs, e.g. 2G', sizeMiB)
    .option('--spare-nics <n>', 'network cards that can be added while it runs', wholeNumber)
    .option('--no-wait', 'do not wait until it is done')
    .action((name: string, options: ClientOptions & CreateOptions) => createVms(contextOf(options), name, options));
}

async function createVms(context: ClientContext, name: string, options: CreateOptions): Promise<void> {
  const { flavor, image, count, allOrNothing, algorithm, host, label: labels, apart, ready } = options;
  const sshKeys = (await Promise.all((options.sshKey ?? []).map(keysOf))).flat();
  const userData = options.userData === undefined ? undefined : await readSmall(options.userData, 'the user-data');
  const placement = {
    ...(algorithm !== undefined && { algorithm }),
    ...(host !== undefined && { host }),
    ...(labels !== undefined && { labels }),
    ...(apart === true && { apart }),
  };
  const body = {
    name,
    flavor,
    ...(image !== undefined && { image }),
    ...(count !== undefined && { count }),
    ...(allOrNothing === true && { allOrNothing }),
    ...(ready !== undefined && { ready }),
    ...(sshKeys.length > 0 && { sshKeys }),
    ...(userData !== undefined && { userData }),
    ...(options.maxVcpus !== undefined && { maxVcpus: options.maxVcpus }),
    ...(options.maxMemory !== undefined && { maxMemoryMiB: options.maxMemory }),
    ...(options.spareNics !== undefined && { spareNics: options.spareNics }),
    ...(Object.keys(placement).length > 0 && { placement }),
  };
  const operation = await context.api.send('POST', '/v1/vms', operationSchema, { body });
  await finish(context, operation, options.wait);
}

/** The public keys of a file such as id_ed25519.pub or authorized_keys. */
export async function keysOf(file: string): Promise<readonly string[]> {
  const text = await readSmall(file, 'the ssh key');
  if (text.includes('PRIVATE KEY')) {
    throw new CommandFailure(2, `${file} is a private key, which stays where it is; give the public one, ${file}.pub`);
  }
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw new CommandFailure(2, `${file} has no key in it`);
  return keys;
}

async function readSmall(file: string, what: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES)
      throw new CommandFailure(2, `${what} ${file} has ${size} bytes; at most ${MAX_FILE_BYTES}`);
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw cannotRead(`${what} ${file}`, error);
  }
}
