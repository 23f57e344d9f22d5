// From what the user gave (virtscale.yaml, flags, environment, the seeds' three files) to one configuration, or to what is wrong.
// Reads files; what may stand in them is config's. Not here: acting upon any of it (main).

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { DaemonConfig, HostConfig, ImageConfig } from './config/daemon-config.ts';
import { parseDaemonConfig } from './config/daemon-file.ts';
import { type FileProblem, problemText } from './config/file-problem.ts';
import { parseFlavorFile } from './config/flavor-file.ts';
import { freeForwardPrefixes } from './config/forward-prefixes.ts';
import { parseImageFile } from './config/image-file.ts';
import { parsePmFile } from './config/pm-file.ts';
import { MAX_SEED_BYTES, type SeedResult } from './config/seed-text.ts';
import type { HostName } from './core/model.ts';
import { PLACEMENT_NAMES } from './core/placement/registry.ts';
import type { ListedFlavor } from './engine/settings.ts';

export interface ServeOptions {
  /** Absent: `virtscale.yaml` in the working directory when there is one. */
  readonly config?: string;
  readonly listen?: string;
  readonly stateDir?: string;
  readonly policies?: string;
  /** The seeds' form: hosts, images and flavors come from these instead. */
  readonly seeds?: { readonly pmFile: string; readonly imageFile: string; readonly flavorFile: string };
  /** A placement algorithm, in place of the configured one. */
  readonly placement?: string;
}

/** What is wrong with what the user gave: shown without a stack, exit status 2. */
export class BadConfiguration extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BadConfiguration';
  }
}

export interface LoadedConfig {
  readonly config: DaemonConfig;
  readonly flavors: readonly ListedFlavor[];
  /** What hosts' numbers are bound to, where that is not their name. */
  readonly hostKeys: ReadonlyMap<HostName, string>;
  /** Worth telling, but no reason not to start. */
  readonly warnings: readonly string[];
}

const DEFAULT_FILE = 'virtscale.yaml';

/** Throws {@link BadConfiguration} with everything that is wrong. */
export async function readConfig(options: ServeOptions): Promise<LoadedConfig> {
  const config = chosen(await readDaemonFile(options), options);
  if (options.seeds !== undefined) return withSeeds(config, options.seeds);
  const flavors = config.flavors.map((flavor) => ({ flavor, key: flavor.name }));
  return { config, flavors, hostKeys: new Map(), warnings: [] };
}

async function readDaemonFile(options: ServeOptions): Promise<DaemonConfig> {
  const path = resolve(options.config ?? DEFAULT_FILE);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && options.config === undefined) return undefined;
    throw new BadConfiguration(`cannot read the configuration ${path}: ${error.message}`);
  });
  const { listen, stateDir, policies } = options;
  const parsed = parseDaemonConfig({
    ...(text !== undefined && { file: { path, text } }),
    flags: {
      ...(listen !== undefined && { listen }),
      ...(stateDir !== undefined && { stateDir }),
      ...(policies !== undefined && { policies }),
    },
    env: process.env,
    homeDir: homedir(),
    cwd: process.cwd(),
  });
  if (!parsed.ok) throw new BadConfiguration(parsed.problems.map(problemText).join('\n'));
  return parsed.config;
}

function chosen(config: DaemonConfig, { placement }: ServeOptions): DaemonConfig {
  if (placement === undefined) return config;
  const { modules = [], overcommit = {}, ...rest } = config.placement ?? {};
  const names = [...PLACEMENT_NAMES, ...modules.map(({ name }) => name)];
  if (!names.includes(placement)) {
    throw new BadConfiguration(`--algorithm: there is no algorithm ${placement}; there are: ${names.join(', ')}`);
  }
  return { ...config, placement: { ...rest, modules, overcommit, algorithm: placement } };
}

async function withSeeds(config: DaemonConfig, files: NonNullable<ServeOptions['seeds']>): Promise<LoadedConfig> {
  const [pms, images, flavors] = await Promise.all([
    readSeed(files.pmFile, parsePmFile),
    readSeed(files.imageFile, (text, file) => parseImageFile(text, file, dirname(resolve(file)))),
    readSeed(files.flavorFile, parseFlavorFile),
  ]);
  const problems = [pms, images, flavors].flatMap((read): readonly FileProblem[] => (read.ok ? [] : read.problems));
  if (!pms.ok || !images.ok || !flavors.ok) throw new BadConfiguration(problems.map(problemText).join('\n'));
  const prefixes = freeForwardPrefixes([]);
  return {
    config: {
      ...config,
      // The seeds' scheduler, unless the user says otherwise.
      placement: config.placement ?? { algorithm: 'fifo', modules: [], overcommit: {} },
      hosts: pms.entries.map(({ name, uri }) => seedHost(name, uri, prefixes)),
      images: images.entries.map(({ name, source }): ImageConfig => ({ kind: 'source', name, source })),
      flavors: flavors.entries.map(({ flavor }) => flavor),
    },
    flavors: flavors.entries.map(({ flavor, key, tid }) => ({ flavor, key, ...(tid !== undefined && { tid }) })),
    hostKeys: new Map(pms.entries.map(({ name, key }) => [name, key])),
    warnings: [pms, images, flavors].flatMap(({ warnings }) => warnings.map(problemText)),
  };
}

/**
 * A machine of the pm file as a host: pool and network are those that libvirt comes with. A session has no networks of its own to
 * offer, so its VMs get forwarded ports.
 */
function seedHost(name: HostName, uri: string, prefixes: Iterator<string, string>): HostConfig {
  const session = /^[^?]*\/session(\?|$)/.test(uri);
  return {
    kind: 'libvirt',
    name,
    uri,
    pool: session ? { name: 'default' } : { name: 'default', path: '/var/lib/libvirt/images' },
    network: session ? { kind: 'forward', prefix: prefixes.next().value } : { kind: 'network', name: 'default' },
  };
}

async function readSeed<E>(file: string, parse: (text: string, file: string) => SeedResult<E>): Promise<SeedResult<E>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new BadConfiguration(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (Buffer.byteLength(text) > MAX_SEED_BYTES) {
    throw new BadConfiguration(`${file} has more than ${MAX_SEED_BYTES} bytes: it is not such a file`);
  }
  return parse(text, file);
}
