// virtscale.yaml, the command line and the environment to the daemon's configuration, or everything that is wrong with them.
// Not here: reading the file, and acting upon any of it.

import { dirname, join, resolve } from 'node:path';
import { DEFAULT_PLACEMENT } from '../core/placement/registry.ts';
import {
  type BalancerConfig,
  BUILT_IMAGE,
  type DaemonConfig,
  DEFAULT_EVENTS_KEEP,
  DEFAULT_FLAVORS,
  DEFAULT_HOST,
  DEFAULT_POLL_MS,
  DEFAULT_PROMETHEUS_TIMEOUT_MS,
  DEFAULT_RECORD,
  type HostConfig,
  type HostPlacement,
  type ImageConfig,
  type PlacementConfig,
} from './daemon-config.ts';
import { daemonSchema, type RawDaemon } from './daemon-schema.ts';
import type { FileProblem } from './file-problem.ts';
import { freeForwardPrefixes, sharedForwardPrefixes } from './forward-prefixes.ts';
import { readImageSource } from './image-source.ts';
import { DEFAULT_LISTEN, type ListenAddress, readListen } from './listen.ts';
import { isModulePath } from './placement-schema.ts';
import { checkYaml } from './schemas.ts';
import { cappedProblems, readYaml, type YamlText } from './yaml-text.ts';

export const MAX_CONFIG_BYTES = 1024 * 1024;

export interface DaemonSources {
  /** The file and what is in it; absent when there is none: then the embedded host is all there is. */
  readonly file?: { readonly path: string; readonly text: string };
  /** The command line. */
  readonly flags?: { readonly listen?: string; readonly stateDir?: string; readonly policies?: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  readonly cwd: string;
}

export type DaemonResult =
  | { readonly ok: true; readonly config: DaemonConfig }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/**
 * The command line comes before the environment, that before the file, and that before the defaults. Paths in the file are
 * relative to its folder, others to `cwd`.
 */
export function parseDaemonConfig(sources: DaemonSources): DaemonResult {
  const { file } = sources;
  if (file === undefined) return assemble({}, sources, undefined);
  const read = readYaml(file.text, file.path, MAX_CONFIG_BYTES);
  if (!read.ok) return { ok: false, problems: read.problems };
  const { yaml } = read;
  // A file of comments alone is a file without settings.
  if (yaml.value === null) return assemble({}, sources, yaml);
  const { value, problems } = checkYaml(daemonSchema, yaml);
  const all = [...problems, ...repeatedNames(yaml)];
  if (value !== undefined && all.length === 0) return assemble(value, sources, yaml);
  const raw = yaml.value as { readonly listen?: unknown };
  const listen = listenOf({ listen: raw.listen }, sources, yaml);
  return { ok: false, problems: cappedProblems(listen.ok ? all : [...all, listen.problem]) };
}

function assemble(raw: RawDaemon, sources: DaemonSources, yaml: YamlText | undefined): DaemonResult {
  const { file, flags = {}, cwd } = sources;
  const base = file === undefined ? cwd : resolve(cwd, dirname(file.path));
  const hosts = raw.hosts === undefined ? [DEFAULT_HOST] : hostsOf(raw.hosts, base);
  const listen = listenOf(raw, sources, yaml);
  if (!listen.ok) return { ok: false, problems: [listen.problem] };
  const placement = raw.placement && placementOf(raw.placement, base);
  return {
    ok: true,
    config: {
      ...(file !== undefined && { file: resolve(cwd, file.path) }),
      listen: listen.value,
      names: raw.names ?? [],
      ...(raw.withoutToken !== undefined && { withoutToken: raw.withoutToken }),
      stateDir: pathOf(flags.stateDir, raw.stateDir, base, sources.cwd) ?? defaultStateDir(sources),
      policiesDir: pathOf(flags.policies, raw.policies, base, sources.cwd) ?? join(base, 'policies'),
      pollMs: raw.poll ?? DEFAULT_POLL_MS,
      hosts,
      images: imagesOf(raw, hosts, base),
      flavors: raw.flavors ?? DEFAULT_FLAVORS,
      ...(raw.quota !== undefined && { quota: raw.quota }),
      users: { signUp: raw.users?.signUp ?? false, quota: raw.users?.quota ?? {} },
      ...(placement !== undefined && { placement }),
      ...(raw.rebalance !== undefined && { rebalance: raw.rebalance }),
      log: { level: raw.log?.level ?? 'info' },
      events: { keep: raw.events?.keep ?? DEFAULT_EVENTS_KEEP },
      ...(raw.prometheus !== undefined && {
        prometheus: {
          url: raw.prometheus.url,
          timeoutMs: raw.prometheus.timeout ?? DEFAULT_PROMETHEUS_TIMEOUT_MS,
        },
      }),
      balancers: (raw.balancers ?? []).map((balancer) => balancerOf(balancer, base)),
      record: raw.record ?? DEFAULT_RECORD,
    },
  };
}

/** `$XDG_STATE_HOME/virtscale`, or `~/.local/state/virtscale` (XDG says to ignore a relative one). */
function defaultStateDir({ env, homeDir }: DaemonSources): string {
  const xdg = env['XDG_STATE_HOME'];
  return join(xdg?.startsWith('/') ? xdg : join(homeDir, '.local', 'state'), 'virtscale');
}

function pathOf(flag: string | undefined, setting: string | undefined, base: string, cwd: string): string | undefined {
  if (flag !== undefined && flag !== '') return resolve(cwd, flag);
  return setting === undefined ? undefined : resolve(base, setting);
}

function listenOf(
  raw: Pick<RawDaemon, 'listen'>,
  { flags, env, file }: DaemonSources,
  yaml: YamlText | undefined,
): { readonly ok: true; readonly value: ListenAddress } | { readonly ok: false; readonly problem: FileProblem } {
  const elsewhere =
    (name: string) =>
    (reason: string): FileProblem => ({ file: name, line: 0, column: 0, path: '', reason });
  const inFile = (reason: string): FileProblem =>
    yaml?.problem(['listen'], reason) ?? elsewhere(file?.path ?? 'listen')(reason);
  const given = [
    { value: flags?.listen, problem: elsewhere('--listen') },
    { value: env['VIRTSCALE_LISTEN'] || undefined, problem: elsewhere('VIRTSCALE_LISTEN') },
    { value: raw.listen ?? undefined, problem: inFile },
  ].find(({ value }) => value !== undefined);
  if (given === undefined) return { ok: true, value: DEFAULT_LISTEN };
  const address = readListen(given.value);
  if (!address.ok) return { ok: false, problem: given.problem(address.reason) };
  return { ok: true, value: address.value };
}

type RawHost = NonNullable<RawDaemon['hosts']>[number];

/** Embedded hosts that choose no forward prefix get the first ones of 127.0.1, 127.0.2 and so on that no host has chosen. */
function hostsOf(raw: readonly RawHost[], base: string): readonly HostConfig[] {
  const chosen = raw.flatMap(({ network }) => (network?.kind === 'forward' ? [network.prefix] : []));
  const free = freeForwardPrefixes(chosen);
  return raw.map(({ name, uri, pool, network, migrationUri, labels, reserved, overcommit }) => {
    const said: HostPlacement = {
      ...(labels !== undefined && { labels }),
      ...(reserved !== undefined && { reserved }),
      ...(overcommit !== undefined && { overcommit }),
    };
    if (uri !== undefined) return { ...libvirtHost({ name, uri, pool, network, migrationUri }, base), ...said };
    const forwardPrefix = network?.kind === 'forward' ? network.prefix : free.next().value;
    return { kind: 'embedded', name, forwardPrefix, ...said };
  });
}

function libvirtHost(
  {
    name,
    uri,
    pool,
    network,
    migrationUri,
  }: Pick<RawHost, 'name' | 'pool' | 'network' | 'migrationUri'> & {
    readonly uri: string;
  },
  base: string,
): HostConfig {
  return {
    kind: 'libvirt',
    name,
    uri,
    pool: {
      name: pool?.name ?? 'default',
      ...(pool?.path !== undefined && { path: resolve(base, pool.path) }),
      ...(pool?.shared !== undefined && { shared: pool.shared }),
    },
    ...(migrationUri !== undefined && { migrationUri }),
    network: network ?? { kind: 'network', name: 'default' },
  };
}

/** A path is a module of the user's, whether it stands in `modules` as well or not; names are as they were written. */
function placementOf(raw: NonNullable<RawDaemon['placement']>, base: string): PlacementConfig {
  const { algorithm = DEFAULT_PLACEMENT, modules = [], overcommit = {}, maxLoad } = raw;
  const names = [...new Set(isModulePath(algorithm) ? [algorithm, ...modules] : modules)];
  return {
    algorithm,
    modules: names.map((name) => ({ name, path: resolve(base, name) })),
    overcommit,
    ...(maxLoad !== undefined && { maxLoad: maxLoad / 100 }),
  };
}

/** The listed images, and beside an embedded host the one that is built, unless a listed one has its name. */
function imagesOf(raw: RawDaemon, hosts: readonly HostConfig[], base: string): readonly ImageConfig[] {
  const listed = (raw.images ?? []).map((image) => imageOf(image, base));
  const builds = hosts.some(({ kind }) => kind === 'embedded') && !raw.images?.some(({ name }) => name === BUILT_IMAGE);
  return builds ? [{ kind: 'built', name: BUILT_IMAGE, guest: 'backend' }, ...listed] : listed;
}

function imageOf(raw: NonNullable<RawDaemon['images']>[number], base: string): ImageConfig {
  const { name, path, source: written = '', built, sha256, format, kernel, initrd, args = '' } = raw;
  if (built !== undefined) return { kind: 'built', name, guest: built };
  if (path === undefined) {
    const source = readImageSource(written, base);
    if (!source.ok) throw new Error(`the form of ${name}'s source was not checked: ${source.reason}`);
    return {
      kind: 'source',
      name,
      source: source.value,
      ...(format !== undefined && { format }),
      ...(sha256 !== undefined && { sha256 }),
    };
  }
  const direct = kernel !== undefined &&
    initrd !== undefined && { direct: { kernel: resolve(base, kernel), initrd: resolve(base, initrd), args } };
  return { kind: 'file', image: { name, path: resolve(base, path), format: format ?? 'qcow2', ...direct } };
}

function balancerOf(raw: NonNullable<RawDaemon['balancers']>[number], base: string): BalancerConfig {
  if (raw.type === 'haproxy') {
    const { type: kind, name, socket, backend, weight, server } = raw;
    const said = { ...(weight !== undefined && { weight }), ...(server !== undefined && { serverOptions: server }) };
    return { kind, name, socket, backend, ...said };
  }
  const { name, file, format, backend = name, reload } = raw;
  return { kind: 'file', name, file: resolve(base, file), format, backend, ...(reload !== undefined && { reload }) };
}

/** What two things in the lists cannot share: a name, a libvirt, addresses. Looked for even when other parts are wrong. */
function repeatedNames(yaml: YamlText): readonly FileProblem[] {
  const raw = yaml.value as Readonly<Record<string, unknown>>;
  const problems: FileProblem[] = [];
  const repeats = (list: string, key: string, reason: (value: unknown) => string) => {
    const items = Array.isArray(raw[list]) ? (raw[list] as readonly unknown[]) : [];
    const values = items.map((item) => (item as Readonly<Record<string, unknown>> | null)?.[key]);
    for (const [index, value] of values.entries()) {
      if (value === undefined || value === false || values.indexOf(value) === index) continue;
      problems.push(yaml.problem([list, index, key], reason(value)));
    }
  };
  for (const list of ['hosts', 'images', 'flavors', 'balancers']) {
    repeats(list, 'name', (value) => `there is another one named ${String(value).slice(0, 100)}`);
  }
  repeats(
    'hosts',
    'uri',
    (value) => `${String(value).slice(0, 100)} is in the list already: its VMs would be counted twice`,
  );
  repeats('balancers', 'file', (value) => `${String(value).slice(0, 100)} is written by another balancer already`);
  return [...problems, ...sharedForwardPrefixes(yaml), ...sharedBackends(yaml)];
}

/** Two balancers of one backend would remove each other's servers. */
function sharedBackends(yaml: YamlText): readonly FileProblem[] {
  const raw = yaml.value as Readonly<Record<string, unknown>>;
  const items = Array.isArray(raw['balancers']) ? (raw['balancers'] as readonly unknown[]) : [];
  const keys = items.map((item) => {
    const { socket, backend } = (item ?? {}) as { readonly socket?: unknown; readonly backend?: unknown };
    return typeof socket === 'string' && typeof backend === 'string' ? `${socket} ${backend}` : undefined;
  });
  return keys.flatMap((key, index) =>
    key !== undefined && keys.indexOf(key) < index
      ? [
          yaml.problem(
            ['balancers', index, 'backend'],
            'another balancer has this backend already; groups may share one balancer',
          ),
        ]
      : [],
  );
}
