/** A real libvirtd over TCP, TLS and a real sshd: what each lets in and refuses, and that all of the client works over it. */

import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandAs, unprivilegedAccount } from '../../src/adapters/hypervisor/embedded/account.ts';
import { Connection, LibvirtClient } from '../../src/libvirt/index.ts';
import { type NetworkLibvirtd, startNetworkLibvirtd } from '../support/network-libvirtd.ts';
import { startSshd, type TestSshd } from '../support/sshd.ts';
import { TlsAuthority } from '../support/tls-authority.ts';

// The only loopback address that has a second name, `localhost`, on every machine; the ports are ours alone.
const ADDRESS = '127.0.0.1';

let host: NetworkLibvirtd;
let sshd: TestSshd;
/** Folders for `pkipath=`: all there, another CA, no certificate of ours, and one signed by somebody else. */
let pki: { readonly good: string; readonly otherCa: string; readonly none: string; readonly stranger: string };

/**
 * libvirt's own helper for the far end of ssh, as the account the daemon runs as: sshd of these tests lets in whoever
 * runs them, and root's helper knows only the system's daemon.
 */
const helperFolder = async (): Promise<string> => {
  const folder = join(host.folder, 'bin');
  await mkdir(folder);
  const account = await unprivilegedAccount(() => undefined);
  const runtime = dirname(dirname(host.socket));
  const words = await commandAs(account, ['env', `XDG_RUNTIME_DIR=${runtime}`, '/usr/bin/virt-ssh-helper']);
  await writeFile(join(folder, 'virt-ssh-helper'), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  await chmod(join(folder, 'virt-ssh-helper'), 0o755);
  return folder;
};

beforeAll(async () => {
  host = await startNetworkLibvirtd(ADDRESS);
  const { authority, folder } = host;
  const client = await authority.issue('client');
  const stranger = await TlsAuthority.create(join(folder, 'stranger-ca'));
  pki = {
    good: await authority.pkiFolder(join(folder, 'pki-good'), client),
    otherCa: await stranger.pkiFolder(join(folder, 'pki-other'), client),
    none: await authority.pkiFolder(join(folder, 'pki-none'), undefined),
    stranger: await authority.pkiFolder(join(folder, 'pki-stranger'), await stranger.issue('client')),
  };
  sshd = await startSshd(join(folder, 'ssh'), ADDRESS, { PATH: `${await helperFolder()}:/usr/bin:/bin` });
});
afterAll(async () => {
  await sshd?.stop();
  await host?.stop();
});

const tlsUri = (folder: string, name = ADDRESS, more = ''): string =>
  `qemu+tls://${name}:${host.tlsPort}/session?pkipath=${folder}${more}`;
const sshUri = (
  changes: { path?: string; keyFile?: string; knownHosts?: string; port?: number; more?: string } = {},
): string => {
  const {
    path = '/session',
    keyFile = sshd.keyFile,
    knownHosts = sshd.knownHosts,
    port = sshd.port,
    more = '',
  } = changes;
  const files = `keyfile=${keyFile}&known_hosts=${knownHosts}`;
  return `qemu+ssh://${sshd.user}@${ADDRESS}:${port}${path}?no_tty=1&${files}${more}`;
};
const viaNetcat = (): string => sshUri({ more: `&proxy=netcat&socket=${host.socket}` });

const failureOf = async (uri: string, connectTimeoutMs = 15_000): Promise<{ kind: string; message: string }> => {
  const failure: unknown = await Connection.open({ uri, connectTimeoutMs }).then(
    (connection) => connection.close().then(() => new Error('it was opened')),
    (error: unknown) => error,
  );
  if (!(failure instanceof Error) || !('kind' in failure)) throw failure;
  return { kind: String(failure.kind), message: failure.message };
};

/** Opens and closes it, and says which driver answered. */
const driverOf = async (uri: string): Promise<string> => {
  const connection = await Connection.open({ uri });
  try {
    return (await connection.call('CONNECT_GET_TYPE', {})).type;
  } finally {
    await connection.close();
  }
};

/** The processes of ours whose arguments contain `mark`; zombies are counted by their name. */
const childrenWith = async (mark: string): Promise<number[]> => {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      const isZombieSsh =
        /^Name:\tssh$/m.test(status) && /^State:\tZ/m.test(status) && status.includes(`PPid:\t${process.pid}\n`);
      const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return isZombieSsh || (/(^|\/)ssh\0/.test(words) && words.includes(mark)) ? pid : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined);
};

const nobodyLeft = async (mark: string): Promise<number[]> => {
  let left = await childrenWith(mark);
  for (let turn = 0; turn < 100 && left.length > 0; turn += 1) {
    await sleep(50);
    left = await childrenWith(mark);
  }
  return left;
};

let pools = 0;
/** A call, an event, and some MiB up and down. */
const useAll = async (uri: string): Promise<void> => {
  const client = new LibvirtClient({ uri, connectTimeoutMs: 15_000 });
  try {
    pools += 1;
    const name = `via-${pools}`;
    expect((await client.hostname()).length).toBeGreaterThan(0);
    const events = client.events(['lifecycle'], { signal: AbortSignal.timeout(20_000) });
    expect((await events.next()).value).toMatchObject({ type: 'resync' });
    const domain = await client.defineDomain(
      `<domain type='qemu'><name>${name}</name><memory>8192</memory><os><type>hvm</type></os></domain>`,
    );
    expect((await events.next()).value).toMatchObject({ type: 'lifecycle', domain: { uuid: domain.uuid } });
    await client.undefineDomain(domain);

    const target = `<target><path>${join(host.poolDir, name)}</path></target>`;
    const pool = await client.definePool(`<pool type='dir'><name>${name}</name>${target}</pool>`);
    await client.buildPool(pool);
    await client.createPool(pool);
    const bytes = randomBytes(5_000_003);
    const volume = await client.createVolume(
      pool,
      `<volume><name>v</name><capacity>${bytes.length}</capacity><target><format type='raw'/></target></volume>`,
    );
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += 300_000) yield bytes.subarray(at, at + 300_000);
    }
    expect(await client.uploadVolume(volume, { length: bytes.length }, pieces())).toBe(bytes.length);
    const hash = createHash('sha256');
    let received = 0;
    for await (const piece of client.downloadVolume(volume, { length: bytes.length })) {
      received += piece.length;
      hash.update(piece);
    }
    expect(received).toBe(bytes.length);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
    await client.deleteVolume(volume);
    await events.return();
  } finally {
    await client.close();
  }
};

describe('over TCP', () => {
  it('all works', () => useAll(`qemu+tcp://${ADDRESS}:${host.tcpPort}/session`));

  it('the test driver is served too', async () => {
    expect(await driverOf(`test+tcp://${ADDRESS}:${host.tcpPort}/default`)).toBe('TEST');
  });
});

describe('over TLS', () => {
  it('all works', () => useAll(tlsUri(pki.good)));

  it('calls that are sent together are all answered, without a keepalive to wake the daemon', async () => {
    const client = new LibvirtClient({ uri: tlsUri(pki.good), keepaliveIntervalMs: 0 });
    try {
      for (let round = 0; round < 20; round += 1) {
        await Promise.all(Array.from({ length: 20 }, () => client.listDomains(0, { timeoutMs: 5000 })));
      }
    } finally {
      await client.close();
    }
  });

  it('a bare qemu:// means TLS', async () => {
    expect(await driverOf(tlsUri(pki.good).replace('qemu+tls:', 'qemu:'))).toBe('QEMU');
  });

  it('a server of another CA is refused, unless nothing is checked', async () => {
    const failure = await failureOf(tlsUri(pki.otherCa));
    expect(failure).toMatchObject({ kind: 'auth', message: expect.stringContaining('is not trusted') });
    expect(await driverOf(tlsUri(pki.otherCa, ADDRESS, '&no_verify=1'))).toBe('QEMU');
  });

  it('a server of another name is refused, unless nothing is checked', async () => {
    const failure = await failureOf(tlsUri(pki.good, 'localhost'));
    expect(failure).toMatchObject({ kind: 'auth', message: expect.stringContaining('it is for another name') });
    await useAll(tlsUri(pki.good, 'localhost', '&no_verify=1'));
  });

  it("a client without a certificate, or with a stranger's, is refused by the server", async () => {
    expect(await failureOf(tlsUri(pki.none))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/did not accept our certificate; we have none to show: .*clientcert\.pem/),
    });
    expect(await failureOf(tlsUri(pki.stranger))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/did not accept our certificate; .*must be signed by a CA the server knows/),
    });
  });

  it('the port without TLS is recognised', async () => {
    const uri = tlsUri(pki.good).replace(`:${host.tlsPort}`, `:${host.tcpPort}`);
    expect(await failureOf(uri)).toMatchObject({ kind: 'protocol', message: expect.stringContaining('TLS') });
  });
});

describe('over ssh', () => {
  it("all works through libvirt's helper", async () => {
    await useAll(sshUri());
    expect(await nobodyLeft(sshd.keyFile)).toEqual([]);
  });

  it('all works through netcat', async () => {
    await useAll(viaNetcat());
    expect(await nobodyLeft(sshd.keyFile)).toEqual([]);
  });

  it('the test driver is served too', async () => {
    const uri = viaNetcat().replace('qemu+', 'test+').replace('/session', '/default');
    expect(await driverOf(uri)).toBe('TEST');
  });

  it('an unknown host key is refused, unless nothing is checked', async () => {
    const failure = await failureOf(sshUri({ knownHosts: sshd.noKnownHosts }));
    expect(failure).toMatchObject({ kind: 'auth', message: expect.stringContaining('Host key verification failed') });
    expect(failure.message).toContain('the machine is not in known_hosts');
    const unchecked = sshUri({ knownHosts: join(host.folder, 'ssh/new_known_hosts'), more: '&no_verify=1' });
    expect(await driverOf(unchecked)).toBe('QEMU');
  });

  it('a changed host key is refused', async () => {
    const failure = await failureOf(sshUri({ knownHosts: sshd.wrongKnownHosts }));
    expect(failure).toMatchObject({
      kind: 'auth',
      message: expect.stringContaining('shows another key than it used to'),
    });
  });

  it('a key that is not let in is told', async () => {
    expect(await failureOf(sshUri({ keyFile: sshd.strangerKeyFile }))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/Permission denied \(publickey\); the machine does not take our key/),
    });
  });

  it('a daemon or a netcat that is not there is told', async () => {
    const noSocket = await failureOf(sshUri({ more: '&socket=/nonexistent/sock' }));
    expect(noSocket).toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('the libvirt daemon does not run'),
    });
    const noNetcat = await failureOf(sshUri({ more: `&netcat=/nonexistent/nc&socket=${host.socket}` }));
    expect(noNetcat).toMatchObject({ kind: 'unreachable', message: expect.stringContaining('no netcat') });
  });

  it('a machine that is not there, or refuses, is told', async () => {
    expect(await failureOf(sshUri({ port: 9 }))).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/Connection refused; no ssh server listens there/),
    });
    const nowhere = sshUri().replace(ADDRESS, 'no-such-host.invalid');
    expect(await failureOf(nowhere)).toMatchObject({ kind: 'unreachable' });
  });

  it('a machine that hangs after connecting is given up at the deadline, and ssh with it', async () => {
    const hung = createServer((socket) => socket.on('error', () => undefined));
    hung.listen(0, ADDRESS);
    await once(hung, 'listening');
    const { port } = hung.address() as AddressInfo;
    const startedAt = performance.now();
    expect(await failureOf(sshUri({ port }), 1_000)).toMatchObject({
      kind: 'timed-out',
      message: expect.stringContaining('nothing came back through ssh'),
    });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(await nobodyLeft(`-p\0${port}`)).toEqual([]);
    hung.close();
  });

  it('a connection cut on the far side says so', async () => {
    const connection = await Connection.open({ uri: sshUri() });
    const [pid] = await childrenWith(sshd.keyFile);
    if (pid === undefined) throw new Error('no ssh runs');
    process.kill(pid, 'SIGKILL');
    expect(await connection.closed).toMatchObject({ kind: 'closed', message: expect.stringContaining('SIGKILL') });
    expect(await nobodyLeft(sshd.keyFile)).toEqual([]);
  });

  it('no ssh outlives a client that is killed', async () => {
    const client = new URL('../../src/libvirt/index.ts', import.meta.url).href;
    const script = `const { Connection } = await import(${JSON.stringify(client)});
      const connection = await Connection.open({ uri: process.argv[1] });
      console.log('open');
      await connection.closed;`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, viaNetcat()], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    expect(await childrenWith(sshd.keyFile)).toHaveLength(1);
    child.kill('SIGKILL');
    expect(await nobodyLeft(sshd.keyFile)).toEqual([]);
  });

  it('nothing of a hostile URI is run', async () => {
    const mark = join(host.folder, 'pwned');
    const socket = encodeURIComponent(`/x'; touch ${mark}; '`);
    expect((await failureOf(sshUri({ more: `&socket=${socket}` }))).kind).toBe('unreachable');
    const netcat = encodeURIComponent(`$(touch ${mark})`);
    expect((await failureOf(sshUri({ more: `&netcat=${netcat}&socket=/x` }))).message).toContain('not found');
    await expect(access(mark)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
