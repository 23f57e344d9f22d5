/**
 * What an ssh that ended means: its last words and status, as an error that says what to do. Reads text only.
 */
import { ConnectionError, type ConnectionErrorKind } from './errors.ts';
import type { SshTarget } from './uri.ts';

/** How an ssh ended. */
export interface SshEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to its standard error. */
  readonly said: string;
}

/** First match wins: what the far machine's programs say comes before what ssh says when they have failed. */
const known: readonly (readonly [RegExp, ConnectionErrorKind, string])[] = [
  [
    /virt-ssh-helper: (command )?not found|virt-ssh-helper: No such file|Unknown command:? '?virt-ssh-helper/i,
    'unreachable',
    'that machine has no virt-ssh-helper: install libvirt there (libvirt-daemon), or use proxy=netcat (with socket=PATH for a session)',
  ],
  [
    /(nc|netcat|ncat)'?: (command )?not found|invalid option -- '?U/i,
    'unreachable',
    'that machine has no netcat that knows unix sockets: install netcat-openbsd there, or name one with netcat=PATH',
  ],
  [
    /(failed to connect socket|unix connect failed|unable to connect|cannot connect)[^\n]*permission denied|permission denied[^\n]*libvirt/i,
    'auth',
    "that user may not use libvirt's socket there; add it to the group libvirt",
  ],
  [
    /failed to connect socket|unix connect failed|virt-ssh-helper: .*(no such file|connection refused)|nc: .*\/.*(no such file|connection refused)/i,
    'unreachable',
    'the libvirt daemon does not run there, or listens elsewhere (socket=PATH, mode=direct, mode=legacy)',
  ],
  [
    /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    'auth',
    "the machine shows another key than it used to: find out why; after a new installation remove the old key with 'ssh-keygen -R'",
  ],
  [
    /Host key verification failed|No matching host key type|Host key .*mismatch/i,
    'auth',
    'the machine is not in known_hosts: connect once by hand with ssh and compare the key, name a file with known_hosts=PATH, or use no_verify=1 where nobody listens in',
  ],
  [
    /Too many authentication failures/i,
    'auth',
    'the agent offers too many keys: name one with keyfile=PATH, and set IdentitiesOnly in ~/.ssh/config',
  ],
  [
    /Permission denied|no such identity|UNPROTECTED PRIVATE KEY|invalid format|error in libcrypto|incorrect passphrase/i,
    'auth',
    "the machine does not take our key: is the public one in that user's authorized_keys there? A key with a passphrase needs an agent (SSH_AUTH_SOCK); passwords are never asked for",
  ],
  [
    /Could not resolve hostname|Name or service not known|Temporary failure in name resolution/i,
    'unreachable',
    'no such host name',
  ],
  [/Connection refused/i, 'refused', 'no ssh server listens there; is the port right?'],
  [/No route to host|Network is unreachable/i, 'unreachable', 'there is no way to this machine'],
  [
    /Connection timed out|Operation timed out|timed out during banner exchange/i,
    'timed-out',
    'the machine does not answer',
  ],
];

/** ssh's words in one line, without what a terminal would act on, ssh's frames of @, and what is no reason. */
const oneLine = (said: string): string =>
  said
    .split(/[\r\n]+/)
    .map((line) => line.replace(/\p{Cc}/gu, '').trim())
    .filter((line) => line !== '' && !/^@+$|^Warning: Permanently added/.test(line))
    .join(' | ')
    .replace(/\.$/, '');

const nameOf = ({ user, host, port }: SshTarget): string =>
  `${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : ` port ${port}`}`;

/** Why the pipe ended. */
export const sshFault = (target: SshTarget, { status, signal, said }: SshEnd): ConnectionError => {
  const how = signal === null ? `ended with status ${status ?? 'unknown'}` : `was ended by ${signal}`;
  const words = oneLine(said);
  const [, kind, advice] = known.find(([pattern]) => pattern.test(said)) ?? [undefined, 'closed' as const, undefined];
  const message =
    words === '' ? `ssh to ${nameOf(target)} ${how} and said nothing` : `ssh to ${nameOf(target)}: ${words}`;
  const details = advice === undefined && words !== '' ? ` (ssh ${how})` : '';
  return new ConnectionError(kind, `${message}${details}${advice === undefined ? '' : `; ${advice}`}`);
};

/** Why nothing has come within the deadline, from an ssh that still runs. */
export const sshSilence = (target: SshTarget, error: ConnectionError, said: string): ConnectionError => {
  const words = oneLine(said);
  const more = words === '' ? '' : `; it has said: ${words}`;
  return new ConnectionError(
    error.kind,
    `nothing came back through ssh from ${nameOf(target)} (${error.message})${more}`,
  );
};
