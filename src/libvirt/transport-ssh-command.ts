/**
 * What the ssh transport runs: the arguments of ssh here, and the command it carries to the far machine.
 * Runs nothing. After libvirt's own (its `virNetSocketNewConnectSSH` and `virNetClientSSHHelperCommand`).
 */
import type { SshTarget } from './uri.ts';

/** One word for any shell. Without a backslash, which sh, csh and fish read differently inside quotes. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'"'"'`)}'`;

const helperScript = ({ helperUri, readOnly }: SshTarget): string =>
  `virt-ssh-helper ${readOnly ? '-r ' : ''}${quoted(helperUri)}`;

/** netcats differ: one ends by itself when its input ends, another needs to be told, and then says so when asked. */
const netcatScript = ({ netcat, socketPaths }: SshTarget): string => {
  const [best = '', fallback] = socketPaths;
  const socket =
    fallback === undefined ? `S=${quoted(best)}` : `S=${quoted(best)}; test -S "$S" || S=${quoted(fallback)}`;
  const program = quoted(netcat);
  const ending = `if ${program} -q 2>&1 | grep "requires an argument" >/dev/null 2>&1; then A=-q0; else A=; fi`;
  return `${socket}; ${ending}; ${program} $A -U "$S"`;
};

/** The command for the far machine's shell, whichever that is: it runs sh, and joins that to the daemon's socket. */
export const remoteCommand = (target: SshTarget): string => {
  const { proxy } = target;
  if (proxy === 'native') return `sh -c ${quoted(helperScript(target))}`;
  if (proxy === 'netcat') return `sh -c ${quoted(netcatScript(target))}`;
  const hasHelper = 'command -v virt-ssh-helper >/dev/null 2>&1';
  return `sh -c ${quoted(`if ${hasHelper}; then ${helperScript(target)}; else ${netcatScript(target)}; fi`)}`;
};

/**
 * The arguments of ssh. `BatchMode=yes` is always among them: a daemon has no terminal, and must not wait for a password
 * that nobody types. `ConnectTimeout` only ends an ssh whose parent was killed while it connected.
 */
export const sshArguments = (target: SshTarget, timeoutMs: number): readonly string[] => {
  const { host, port, user, keyFile, knownHostsFile, verify } = target;
  return [
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(user === undefined ? [] : ['-l', user]),
    ...(keyFile === undefined ? [] : ['-i', keyFile]),
    ...['-T', '-e', 'none', '-o', 'BatchMode=yes', '-o', `ConnectTimeout=${Math.ceil(timeoutMs / 1_000) + 1}`],
    ...(knownHostsFile === undefined ? [] : ['-o', `UserKnownHostsFile="${knownHostsFile}"`]),
    ...(verify ? [] : ['-o', 'StrictHostKeyChecking=no']),
    '--',
    host,
    remoteCommand(target),
  ];
};

/** As libvirt: what ssh needs to find its keys and nothing else of ours. Messages stay in English. */
const passedOn = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'TMPDIR',
  'LD_PRELOAD',
  'LD_LIBRARY_PATH',
  'KRB5CCNAME',
  'SSH_AUTH_SOCK',
  'SSH_ASKPASS',
  'SSH_ASKPASS_REQUIRE',
  'OPENSSL_CONF',
  'DISPLAY',
  'XAUTHORITY',
  'XDG_RUNTIME_DIR',
];

export const sshEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => {
  const known = passedOn.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  return { ...Object.fromEntries(known), LC_ALL: 'C' };
};
