/**
 * libvirt connection URIs: `driver[+transport]://[host][:port]/path[?name=value&…]` to where to connect and what to open.
 * Parses only; whether a socket exists is for the transport to find out.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the daemon is and the name it is asked to open. */
export type Target =
  | { readonly transport: 'unix'; readonly socketPaths: readonly [string, ...string[]]; readonly openName: string }
  | { readonly transport: 'tcp'; readonly host: string; readonly port: number; readonly openName: string };

/** A URI that is malformed, or that asks for what this client does not have. */
export class UriError extends Error {
  override readonly name = 'UriError';
}

const DEFAULT_TCP_PORT = 16_509;

/** Query parameters meant for the client; every other one goes to the daemon. Names in lower case. */
const clientParameters = new Set([
  'name',
  'command',
  'socket',
  'auth',
  'sshauth',
  'netcat',
  'keyfile',
  'pkipath',
  'known_hosts',
  'known_hosts_verify',
  'tls_priority',
  'mode',
  'proxy',
  'no_sanity',
  'no_verify',
  'no_tty',
  'authfile',
]);

const grammar =
  /^(?<driver>[a-z][a-z0-9]*)(?:\+(?<transport>[a-z0-9]+))?:\/\/(?:(?<user>[^@/?#]*)@)?(?<host>\[[^\]]*\]|[^:/?#]*)(?::(?<port>\d+))?(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/i;

const decoded = (uri: string, value: string): string => {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new UriError(`'${uri}': '${value}' is not valid percent-encoding`);
  }
};

/** The query, split into what is for us (names in lower case) and what the daemon gets as it stands. */
const splitQuery = (uri: string, query: string): { own: Map<string, string>; rest: string } => {
  const own = new Map<string, string>();
  const rest: string[] = [];
  for (const part of query.split('&').filter((piece) => piece !== '')) {
    const equals = part.indexOf('=');
    const name = decoded(uri, equals === -1 ? part : part.slice(0, equals)).toLowerCase();
    if (clientParameters.has(name)) own.set(name, decoded(uri, equals === -1 ? '' : part.slice(equals + 1)));
    else rest.push(part);
  }
  return { own, rest: rest.join('&') };
};

/** Sockets to try, best first: the driver's own daemon, then the one that serves all drivers. */
const defaultSockets = (
  driver: string,
  path: string,
  mode: string,
  readOnly: boolean,
  env: NodeJS.ProcessEnv,
): readonly [string, ...string[]] => {
  const session = path === '/session';
  const runtime = env['XDG_RUNTIME_DIR'];
  const folder = session ? join(runtime || join(homedir(), '.cache'), 'libvirt') : '/var/run/libvirt';
  const suffix = readOnly && !session ? '-ro' : '';
  const direct = join(folder, `virt${driver}d-sock${suffix}`);
  const legacy = join(folder, `libvirt-sock${suffix}`);
  if (mode === 'direct') return [direct];
  if (mode === 'legacy') return [legacy];
  return [direct, legacy];
};

/**
 * Parses a connection URI. `readOnly` chooses the read-only system socket; `env` is where XDG_RUNTIME_DIR is looked up.
 * @throws UriError for a URI that is malformed or not supported yet.
 */
export const parseUri = (
  uri: string,
  { readOnly = false, env = process.env }: { readonly readOnly?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
): Target => {
  const match = grammar.exec(uri)?.groups;
  if (match === undefined) throw new UriError(`'${uri}' is not a libvirt URI such as qemu:///system`);
  const driver = (match['driver'] ?? '').toLowerCase();
  const rawHost = match['host'] ?? '';
  const host = rawHost.startsWith('[') ? rawHost.slice(1, -1) : decoded(uri, rawHost);
  const transport = match['transport']?.toLowerCase() ?? (host === '' ? 'unix' : 'tls');
  const path = match['path'] ?? '';
  const { own, rest } = splitQuery(uri, match['query'] ?? '');
  const openName =
    own.get('name') ?? (driver === 'remote' ? '' : `${driver}://${path}${rest === '' ? '' : `?${rest}`}`);
  if (transport === 'unix') {
    if (host !== '') throw new UriError(`'${uri}': a unix socket has no host; use qemu+tcp:// for another machine`);
    const socket = own.get('socket');
    const mode = own.get('mode') ?? 'auto';
    const socketPaths = socket ? ([socket] as const) : defaultSockets(driver, path, mode, readOnly, env);
    return { transport, socketPaths, openName };
  }
  if (transport === 'tcp') {
    const port = match['port'] === undefined ? DEFAULT_TCP_PORT : Number(match['port']);
    if (port < 1 || port > 65_535) throw new UriError(`'${uri}': ${port} is not a port`);
    return { transport, host: host === '' ? 'localhost' : host, port, openName };
  }
  throw new UriError(
    `'${uri}': transport '${transport}' is not supported yet; use a unix socket (qemu+unix:///…?socket=PATH) or qemu+tcp://HOST/…`,
  );
};
