/**
 * libvirt connection URIs: `driver[+transport]://[user@][host][:port]/path[?name=value&…]` to where to connect and what
 * to open. Parses only; whether a socket, a machine or a certificate exists is for the transport to find out.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isOn, oneOf, takeApart, UriError, type UriParts } from './uri-parts.ts';

export { UriError };

interface Opening {
  /** What the daemon is asked to open. */
  readonly openName: string;
}

export interface UnixTarget extends Opening {
  readonly transport: 'unix';
  /** Best first. */
  readonly socketPaths: readonly [string, ...string[]];
}

export interface TcpTarget extends Opening {
  readonly transport: 'tcp';
  readonly host: string;
  readonly port: number;
}

export interface TlsTarget extends Opening {
  readonly transport: 'tls';
  readonly host: string;
  readonly port: number;
  /** The folder of all certificates; undefined: libvirt's usual ones. */
  readonly pkiPath: string | undefined;
  /** False: the server's certificate is not checked. */
  readonly verify: boolean;
}

/** How the far machine leads us to its daemon: by libvirt's own helper, by netcat, or by whichever is there. */
export type SshProxy = 'auto' | 'netcat' | 'native';

export interface SshTarget extends Opening {
  readonly transport: 'ssh';
  /** The program to run instead of `ssh`: a name or a path, no arguments. */
  readonly program: string;
  readonly host: string;
  /** Undefined: what ssh takes by itself. */
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly keyFile: string | undefined;
  readonly knownHostsFile: string | undefined;
  /** False: an unknown host key is accepted. */
  readonly verify: boolean;
  readonly proxy: SshProxy;
  /** The program on the far machine that joins its input and output to a unix socket. */
  readonly netcat: string;
  /** On the far machine, for netcat, best first; empty when the helper alone knows. */
  readonly socketPaths: readonly string[];
  /** What the helper is asked for. */
  readonly helperUri: string;
  readonly readOnly: boolean;
}

/** Where the daemon is and the name it is asked to open. */
export type Target = UnixTarget | TcpTarget | TlsTarget | SshTarget;

const DEFAULT_TCP_PORT = 16_509;
const DEFAULT_TLS_PORT = 16_514;
const SYSTEM_FOLDER = '/var/run/libvirt';

const insteadOf: Readonly<Record<string, string>> = {
  libssh: "use qemu+ssh://…, which runs the system's ssh",
  libssh2: "use qemu+ssh://…, which runs the system's ssh",
  ext: 'use qemu+ssh://…?command=PROGRAM for a program that stands in for ssh, or a unix socket (qemu+unix:///…?socket=PATH)',
};

/** Sockets to try, best first: the driver's own daemon, then the one that serves all drivers. */
const socketsIn = (parts: UriParts, folder: string, suffix: string): readonly [string, ...string[]] => {
  const mode = oneOf(parts, 'mode', ['auto', 'direct', 'legacy']);
  const direct = join(folder, `virt${parts.driver}d-sock${suffix}`);
  const legacy = join(folder, `libvirt-sock${suffix}`);
  if (mode === 'direct') return [direct];
  // Only the daemon of all drivers can choose one for us.
  if (mode === 'legacy' || parts.driver === 'remote') return [legacy];
  return [direct, legacy];
};

const unixTarget = (parts: UriParts): UnixTarget => {
  const { uri, host, path, own, openName, readOnly, env } = parts;
  if (host !== '') {
    throw new UriError(`'${uri}': a unix socket has no host; use qemu+ssh:// or qemu+tls:// for another machine`);
  }
  const session = path === '/session';
  const folder = session ? join(env['XDG_RUNTIME_DIR'] || join(homedir(), '.cache'), 'libvirt') : SYSTEM_FOLDER;
  const usual = socketsIn(parts, folder, readOnly && !session ? '-ro' : '');
  const socket = own.get('socket');
  return { transport: 'unix', socketPaths: socket ? [socket] : usual, openName };
};

/** What a shell, ssh or its configuration (`ProxyCommand … %h %r`) would make something of. After OpenSSH 9.6. */
const shellCharacter = /['"`$;&<>|(){}\\\s,]/;

/** For ssh's `-i` and `-o`, which expand `%h`, `${NAME}` and split at quotes. */
const sshPath = ({ uri, own }: UriParts, name: string): string | undefined => {
  const path = own.get(name);
  if (path === undefined || path === '') return undefined;
  if (path.startsWith('-') || /["%\\]|\$\{/.test(path)) {
    throw new UriError(`'${uri}': ${name} is not a path ssh can be given: no '-' first, and no ", %, \\ or \${ in it`);
  }
  return path;
};

/** For the shell of the far machine. Quoted there; a backslash is what shells do not agree about even in quotes. */
const farPath = ({ uri, own }: UriParts, name: string): string | undefined => {
  const path = own.get(name);
  if (path === undefined || path === '') return undefined;
  if (path.startsWith('-') || path.includes('\\')) {
    throw new UriError(`'${uri}': ${name} is not a path: no '-' first and no \\ in it`);
  }
  return path;
};

const programOf = ({ uri, own }: UriParts): string => {
  const program = own.get('command') || 'ssh';
  if (program.startsWith('-')) throw new UriError(`'${uri}': command is the path of a program, without arguments`);
  return program;
};

const sshTarget = (parts: UriParts): SshTarget => {
  const { uri, user, path, openName, helperUri, readOnly } = parts;
  const host = parts.host === '' ? 'localhost' : parts.host;
  if (shellCharacter.test(host) || /[@/]/.test(host)) throw new UriError(`'${uri}': '${host}' is not a host name`);
  if (user?.includes(':')) throw new UriError('a password in a URI is never used: give ssh a key (keyfile=PATH)');
  if (user !== undefined && (user.startsWith('-') || (shellCharacter.test(user) && !/^\w+\\[\w.-]+$/.test(user)))) {
    throw new UriError(`'${uri}': '${user}' is not a user name`);
  }
  if (helperUri.includes('\\') || helperUri.startsWith('-')) {
    throw new UriError(
      `'${uri}': the far machine's shell cannot be given this; write %5C for \\, and no name that begins with '-'`,
    );
  }
  const session = path === '/session';
  const socket = farPath(parts, 'socket');
  const netcat = farPath(parts, 'netcat');
  const wished = oneOf<SshProxy>(parts, 'proxy', ['auto', 'netcat', 'native']);
  if (wished === 'native' && netcat !== undefined) throw new UriError(`'${uri}': proxy=native does not use netcat`);
  // Where a user's own daemon listens on another machine, only that machine's helper knows.
  const byItself = socket !== undefined || netcat !== undefined ? 'netcat' : session ? 'native' : 'auto';
  const proxy = wished === 'auto' ? byItself : wished;
  if (proxy === 'netcat' && session && socket === undefined) {
    throw new UriError(`'${uri}': netcat does not know a session's socket; give socket=PATH, or leave netcat out`);
  }
  const usual = socketsIn(parts, SYSTEM_FOLDER, readOnly ? '-ro' : '');
  return {
    transport: 'ssh',
    program: programOf(parts),
    host,
    port: parts.port,
    user,
    keyFile: sshPath(parts, 'keyfile'),
    knownHostsFile: sshPath(parts, 'known_hosts'),
    verify: !isOn(parts, 'no_verify'),
    proxy,
    netcat: netcat ?? 'nc',
    socketPaths: proxy === 'native' ? [] : socket === undefined ? usual : [socket],
    helperUri,
    readOnly,
    openName,
  };
};

const tlsTarget = (parts: UriParts): TlsTarget => {
  const { uri, host, port = DEFAULT_TLS_PORT, own, openName } = parts;
  if (own.has('tls_priority')) {
    throw new UriError(`'${uri}': tls_priority is in the language of GnuTLS, which is not used here; leave it out`);
  }
  const pkiPath = own.get('pkipath') || undefined;
  return { transport: 'tls', host: host || 'localhost', port, pkiPath, verify: !isOn(parts, 'no_verify'), openName };
};

/**
 * Parses a connection URI. `readOnly` chooses the read-only system socket; `env` is where XDG_RUNTIME_DIR is looked up.
 * Parameters and what they mean are libvirt's (its documentation, "Connection URIs"), with `known_hosts` of use for ssh
 * too. `no_tty` changes nothing: nobody is ever asked for a password.
 * @throws UriError for a URI that is malformed, not supported, or would reach a shell as more than a value.
 */
export const parseUri = (
  uri: string,
  { readOnly = false, env = process.env }: { readonly readOnly?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
): Target => {
  const parts = takeApart(uri, readOnly, env);
  const { transport, host, port = DEFAULT_TCP_PORT, openName } = parts;
  if (transport === 'unix') return unixTarget(parts);
  if (transport === 'ssh') return sshTarget(parts);
  if (transport === 'tls') return tlsTarget(parts);
  if (transport === 'tcp') return { transport, host: host || 'localhost', port, openName };
  const instead = insteadOf[transport] ?? 'transports are unix, ssh, tls and tcp';
  throw new UriError(`'${uri}': transport '${transport}' is not supported; ${instead}`);
};
