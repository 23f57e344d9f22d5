// A real, unprivileged libvirtd of a test's own that also listens on a loopback address, by TCP and TLS.
// Without VMs' needs: it serves storage, definitions and the test driver.
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandAs, unprivilegedAccount } from '../../src/adapters/hypervisor/embedded/account.ts';
import { type Layout, makeLayout, removeShortPath } from '../../src/adapters/hypervisor/embedded/layout.ts';
import { findPrograms, SYSTEM_PATH } from '../../src/adapters/hypervisor/embedded/programs.ts';
import { Connection } from '../../src/libvirt/index.ts';
import { TlsAuthority } from './tls-authority.ts';

export interface NetworkLibvirtd {
  /** A folder that the daemon's account and we may write. */
  readonly folder: string;
  /** Where the daemon may keep storage. */
  readonly poolDir: string;
  readonly socket: string;
  readonly address: string;
  readonly tcpPort: number;
  readonly tlsPort: number;
  readonly authority: TlsAuthority;
  stop(): Promise<void>;
}

/** A port that nobody listens on at this moment. */
export const freePort = async (address: string): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve));
  const at = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (at === null || typeof at === 'string') throw new Error('no port');
  return at.port;
};

const start = async (layout: Layout): Promise<{ pid: number; ended: Promise<unknown> }> => {
  const account = await unprivilegedAccount(() => undefined);
  const programs = await findPrograms(account !== undefined);
  const libvirtd = [programs.libvirtd, '-f', layout.configFile, '-p', layout.pidFile, '--listen'];
  const [program, ...args] = await commandAs(account, [programs.tini, '-s', '--', ...libvirtd]);
  const output = await open(layout.outputFile, 'w');
  const in_ = (name: string): string => join(layout.shortDir, name);
  const child = spawn(program, args, {
    cwd: layout.dir,
    stdio: ['ignore', output.fd, output.fd],
    env: {
      PATH: SYSTEM_PATH,
      LC_ALL: 'C',
      HOME: in_('h'),
      XDG_RUNTIME_DIR: in_('r'),
      XDG_CONFIG_HOME: in_('c'),
      XDG_DATA_HOME: in_('d'),
      XDG_CACHE_HOME: in_('k'),
    },
  });
  const ended = new Promise((resolve) => child.once('close', resolve).once('error', resolve));
  await output.close();
  const uri = `qemu+unix:///session?socket=${layout.socket}`;
  for (const deadline = performance.now() + 15_000; performance.now() < deadline; await sleep(20)) {
    const connection = await Connection.open({ uri, connectTimeoutMs: 1_000 }).catch(() => undefined);
    if (connection === undefined) continue;
    await connection.close();
    return { pid: child.pid ?? 0, ended };
  }
  child.kill('SIGTERM');
  throw new Error(`libvirtd did not come up: ${await readFile(layout.outputFile, 'utf8')}`);
};

/** Starts it with a certificate for `address` alone, and a CA of its own that clients' certificates must be of. */
export const startNetworkLibvirtd = async (address: string): Promise<NetworkLibvirtd> => {
  const folder = await mkdtemp('/tmp/vsn-');
  await chmod(folder, 0o777);
  const account = await unprivilegedAccount(() => undefined);
  const layout = await makeLayout(folder, account);
  const authority = await TlsAuthority.create(join(folder, 'ca'));
  const serverCertificate = await authority.issue('server', [`IP:${address}`]);
  const [tcpPort, tlsPort] = [await freePort(address), await freePort(address)];
  const settings = {
    unix_sock_dir: join(layout.shortDir, 'r/libvirt'),
    auth_unix_rw: 'none',
    log_outputs: `3:file:${layout.libvirtdLog}`,
    listen_addr: address,
    auth_tcp: 'none',
    tcp_port: String(tcpPort),
    tls_port: String(tlsPort),
    ca_file: authority.caFile,
    cert_file: serverCertificate.cert,
    key_file: serverCertificate.key,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = "${value}"`);
  await writeFile(layout.configFile, `${lines.join('\n')}\nlisten_tls = 1\nlisten_tcp = 1\nauth_tls = "none"\n`);
  const clearAway = async (): Promise<void> => {
    await removeShortPath(layout);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const { pid, ended } = await start(layout);
    const stop = async (): Promise<void> => {
      process.kill(pid, 'SIGTERM');
      await ended;
      await clearAway();
    };
    const { poolDir, socket } = layout;
    return { folder, poolDir, socket, address, tcpPort, tlsPort, authority, stop };
  } catch (error) {
    await clearAway();
    throw error;
  }
};
