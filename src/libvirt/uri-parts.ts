/**
 * A libvirt connection URI taken apart: grammar, percent-encoding, and whose each parameter is. What they lead to is
 * uri.ts.
 */

/** A URI that is malformed, or that asks for what this client does not have. */
export class UriError extends Error {
  override readonly name = 'UriError';
}

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

/** Those of them that libvirt's helper on the far machine is told as well. */
const helperParameters = new Set(['mode', 'socket']);

const grammar =
  /^(?<driver>[a-z][a-z0-9]*)(?:\+(?<transport>[a-z0-9]+))?:\/\/(?:(?<user>[^@/?#]*)@)?(?<host>\[[^\]]*\]|[^:/?#]*)(?::(?<port>\d+))?(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/i;

const controlCharacter = /\p{Cc}/u;

/** A URI taken apart: percent-encoding undone, nothing judged yet. */
export interface UriParts {
  readonly uri: string;
  readonly driver: string;
  readonly transport: string;
  readonly user: string | undefined;
  readonly host: string;
  readonly port: number | undefined;
  readonly path: string;
  /** The client's parameters, names in lower case. */
  readonly own: ReadonlyMap<string, string>;
  readonly openName: string;
  readonly helperUri: string;
  readonly readOnly: boolean;
  readonly env: NodeJS.ProcessEnv;
}

const decoded = (uri: string, value: string): string => {
  let text: string;
  try {
    text = decodeURIComponent(value);
  } catch {
    throw new UriError(`'${uri}': '${value}' is not valid percent-encoding`);
  }
  if (controlCharacter.test(text)) throw new UriError(`${JSON.stringify(uri)} has a control character`);
  return text;
};

/** The query, split into what is for us and what the daemon, and the helper, get as it stands. */
const splitQuery = (uri: string, query: string): { own: Map<string, string>; rest: string; forHelper: string } => {
  const own = new Map<string, string>();
  const rest: string[] = [];
  const forHelper: string[] = [];
  for (const part of query.split('&').filter((piece) => piece !== '')) {
    const equals = part.indexOf('=');
    const name = decoded(uri, equals === -1 ? part : part.slice(0, equals)).toLowerCase();
    const isOurs = clientParameters.has(name);
    if (isOurs) own.set(name, decoded(uri, equals === -1 ? '' : part.slice(equals + 1)));
    else rest.push(part);
    if (!isOurs || helperParameters.has(name)) forHelper.push(part);
  }
  return { own, rest: rest.join('&'), forHelper: forHelper.join('&') };
};

export const takeApart = (uri: string, readOnly: boolean, env: NodeJS.ProcessEnv): UriParts => {
  if (controlCharacter.test(uri)) throw new UriError(`${JSON.stringify(uri)} has a control character`);
  const match = grammar.exec(uri)?.groups;
  if (match === undefined) throw new UriError(`'${uri}' is not a libvirt URI such as qemu:///system`);
  const driver = (match['driver'] ?? '').toLowerCase();
  const rawHost = match['host'] ?? '';
  const host = decoded(uri, rawHost.startsWith('[') ? rawHost.slice(1, -1) : rawHost);
  if (host.startsWith('-')) throw new UriError(`'${uri}': a host name does not begin with '-'`);
  const port = match['port'] === undefined ? undefined : Number(match['port']);
  if (port !== undefined && (port < 1 || port > 65_535)) throw new UriError(`'${uri}': ${port} is not a port`);
  const path = match['path'] ?? '';
  const { own, rest, forHelper } = splitQuery(uri, match['query'] ?? '');
  const nameWith = (query: string): string =>
    own.get('name') ?? (driver === 'remote' ? '' : `${driver}://${path}${query === '' ? '' : `?${query}`}`);
  return {
    uri,
    driver,
    transport: match['transport']?.toLowerCase() ?? (host === '' ? 'unix' : 'tls'),
    user: match['user'] ? decoded(uri, match['user']) : undefined,
    host,
    port,
    path,
    own,
    openName: nameWith(rest),
    helperUri: nameWith(forHelper),
    readOnly,
    env,
  };
};

/** A switch of the query, as libvirt reads it: a number, anything but 0 is on. */
export const isOn = ({ uri, own }: UriParts, name: string): boolean => {
  const value = own.get(name) ?? '0';
  if (!/^[+-]?\d+$/.test(value)) throw new UriError(`'${uri}': ${name} must be 0 or 1, not '${value}'`);
  return Number(value) !== 0;
};

export const oneOf = <T extends string>({ uri, own }: UriParts, name: string, choices: readonly [T, ...T[]]): T => {
  const value = own.get(name) ?? choices[0];
  const choice = choices.find((known) => known === value);
  if (choice === undefined) throw new UriError(`'${uri}': ${name} is '${value}'; it must be ${choices.join(', ')}`);
  return choice;
};
