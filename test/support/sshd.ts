// A real sshd of a test's own, on a loopback port, that lets in this process's user with one key. Fails where
// openssh-server is missing.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from './network-libvirtd.ts';

const run = promisify(execFile);

export interface TestSshd {
  readonly port: number;
  readonly user: string;
  /** The key that is let in, and one that is not. */
  readonly keyFile: string;
  readonly strangerKeyFile: string;
  /** Knows this sshd's key under its address; knows another; knows nobody. */
  readonly knownHosts: string;
  readonly wrongKnownHosts: string;
  readonly noKnownHosts: string;
  stop(): Promise<void>;
}

/** sshd insists on the full path it was started by. */
const SSHD = '/usr/sbin/sshd';

const newKey = async (path: string): Promise<string> => {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', path]);
  return path;
};

const whenListening = async (address: string, port: number): Promise<void> => {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await sleep(20)) {
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect({ host: address, port }, () => resolve(true));
      socket.on('error', () => resolve(false)).on('connect', () => socket.destroy());
    });
    if (there) return;
  }
  throw new Error(`sshd does not listen on ${address}:${port}`);
};

/** Starts it in `folder`. `environment` is what the commands that it runs get besides its own. */
export const startSshd = async (
  folder: string,
  address: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<TestSshd> => {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const user = userInfo().username;
  // Debian's sshd, run by root, wants this folder, which only its service makes.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const [hostKey, otherHostKey, keyFile, strangerKeyFile] = await Promise.all([
    newKey(join(folder, 'host')),
    newKey(join(folder, 'other-host')),
    newKey(join(folder, 'key')),
    newKey(join(folder, 'stranger')),
  ]);
  const port = await freePort(address);
  const put = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const publicKey = async (path: string): Promise<string> => await readFile(`${path}.pub`, 'utf8');
  const at = `[${address}]:${port}`;
  const settings = [
    `Port ${port}`,
    `ListenAddress ${address}`,
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${await put('authorized_keys', await publicKey(keyFile))}`,
    'PubkeyAuthentication yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'StrictModes no',
    'UsePAM no',
    'PidFile none',
    'LogLevel VERBOSE',
    ...Object.entries(environment).map(([name, value]) => `SetEnv ${name}=${value}`),
  ];
  const config = await put('sshd_config', `${settings.join('\n')}\n`);
  const logFile = join(folder, 'sshd.log');
  const child: ChildProcess = spawn(SSHD, ['-D', '-f', config, '-E', logFile], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  const log = (): Promise<string> => readFile(logFile, 'utf8').catch(() => '');
  try {
    await whenListening(address, port);
  } catch (error) {
    await stop();
    throw new Error(`${String(error)}; it said: ${await log()}`);
  }
  return {
    port,
    user,
    keyFile,
    strangerKeyFile,
    knownHosts: await put('known_hosts', `${at} ${await publicKey(hostKey)}`),
    wrongKnownHosts: await put('wrong_known_hosts', `${at} ${await publicKey(otherHostKey)}`),
    noKnownHosts: await put('no_known_hosts', ''),
    stop,
  };
};
