// Seeds 000 and 001 as their users had them: three files, `virtscale PM_FILE IMAGE_FILE FLAVOR_FILE`, and a client written from
// their text alone that drives all eight calls, here over three real libvirtds.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { poolXml } from '../../src/adapters/hypervisor/libvirt/volume-xml.ts';
import { LibvirtClient } from '../../src/libvirt/index.ts';
import { type EmbeddedBed, startEmbeddedBed } from '../bed/embedded-bed.ts';
import { eventually } from '../support/bed-eventually.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const CLIENT = join(import.meta.dirname, '../support/seeds-client.mjs');
const HOSTS = 3;

/** A disk whose guest stands still at once: cli; hlt; jmp to the hlt. */
const DISK_BYTES = 1024 * 1024;

/** As people wrote it: no braces around, commas at the end. */
const FLAVORS = `"types": [{
"cpu": 1,
"ram": 64,
"disk": 1
},
{
"cpu": 1,
"ram": 96,"disk": 1
},
{
"cpu": 2,
"ram": 128,
"disk": 2
},
]
`;

let bed: EmbeddedBed;
let dir: string;
let url: string;
let daemon: ChildProcess;
let said = '';

beforeAll(async () => {
  bed = await startEmbeddedBed({ hosts: HOSTS });
  dir = await mkdtemp('/tmp/vst-');
  await chmod(dir, 0o755);
  const disk = Buffer.alloc(DISK_BYTES);
  disk.set([0xfa, 0xf4, 0xeb, 0xfd]);
  disk.set([0x55, 0xaa], 510);
  const images = ['Ubuntu12.04amd64.img', 'Fedora17x86_64.raw'].map((name) => join(dir, name));
  // Two images of one content would be one file on a host.
  for (const [at, image] of images.entries()) await writeFile(image, disk.fill(at, 1024, 2048));
  await writeFile(join(dir, 'pm_file'), bed.hosts.map(({ host }) => `${host.uri}\n`).join(''));
  await writeFile(join(dir, 'image_file'), images.map((image) => `${image}\n`).join(''));
  await writeFile(join(dir, 'flavor_file'), FLAVORS);
  await Promise.all(bed.hosts.map(({ host }) => makeDefaultPool(host.uri, host.poolDir)));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const files = ['pm_file', 'image_file', 'flavor_file'];
  daemon = spawn(
    process.execPath,
    [CLI, ...files, '--listen', `127.0.0.1:${port}`, '--state-dir', join(dir, 'state')],
    {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  for (const stream of [daemon.stdout, daemon.stderr])
    stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(daemon, 'spawn');
  await eventually('three machines that answer', machinesAnswer);
});

afterAll(async () => {
  await end(daemon);
  await bed?.stop();
  if (dir !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

describe('a script written only from the seeds', () => {
  it('drives all eight calls against three hosts', async () => {
    const client = spawn(process.execPath, [CLIENT, url, 'pm_file', 'image_file', 'flavor_file'], { cwd: dir });
    let [out, err] = ['', ''];
    client.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    client.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [status] = await once(client, 'close');
    expect({ status, err, log: status === 0 ? '' : `${out}\n${said.slice(-4000)}` }).toEqual({
      status: 0,
      err: '',
      log: '',
    });
    expect(out).toMatch(/\d+ checks, 0 wrong/);
  });

  it('has left nothing on the hosts', async () => {
    for (const { host } of bed.hosts) {
      await eventually('a host without domains and disks', async () => {
        const left = await leftOn(host.uri);
        return left.domains.length + left.disks.length === 0 ? left : undefined;
      });
    }
  });

  it('finds machines, images and types under the same numbers after a restart, also when lines have moved', async () => {
    const before = await picture();
    await end(daemon);
    await writeFile(
      join(dir, 'pm_file'),
      bed.hosts
        .toReversed()
        .map(({ host }) => `${host.uri}\n`)
        .join(''),
    );
    const port = new URL(url).port;
    daemon = spawn(
      process.execPath,
      [CLI, 'pm_file', 'image_file', 'flavor_file', '--listen', `127.0.0.1:${port}`, '--state-dir', join(dir, 'state')],
      { cwd: dir, stdio: 'ignore' },
    );
    await once(daemon, 'spawn');
    await eventually('three machines that answer', machinesAnswer);
    expect(await picture()).toEqual(before);
  });
});

describe('files that are not right', () => {
  it('end it at once with exit status 2, naming file and line', async () => {
    await mkdir(join(dir, 'bad'));
    await writeFile(join(dir, 'bad/pm_file'), '127.0.0.1\nnot an address\n');
    const child = spawn(
      process.execPath,
      [CLI, 'bad/pm_file', 'image_file', 'flavor_file', '--state-dir', join(dir, 'bad/state')],
      {
        cwd: dir,
      },
    );
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [status] = await once(child, 'close');
    expect({ status, err }).toEqual({ status: 2, err: expect.stringContaining('bad/pm_file:2') });
  });
});

async function get(path: string): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, { signal: AbortSignal.timeout(5000) });
  return (await response.json()) as Record<string, unknown>;
}

async function machinesAnswer(): Promise<true | undefined> {
  const { pmids } = await get('/pm/list');
  if (!Array.isArray(pmids) || pmids.length !== HOSTS) return undefined;
  const machines = await Promise.all(pmids.map((pmid) => get(`/pm/query?pmid=${pmid}`)));
  return machines.every(({ pmid }) => pmid !== 0) ? true : undefined;
}

/** Which number belongs to what. */
async function picture(): Promise<unknown> {
  const { hosts } = (await get('/v1/hosts')) as { hosts: readonly { readonly id: number; readonly uri: string }[] };
  const ids = hosts.map(({ id, uri }) => [uri, id] as const).sort();
  return { ids, images: await get('/image/list'), types: await get('/vm/types') };
}

async function makeDefaultPool(uri: string, path: string): Promise<void> {
  const client = new LibvirtClient({ uri });
  try {
    await client.createPool(await client.definePool(poolXml('default', path)));
  } finally {
    await client.close();
  }
}

async function leftOn(
  uri: string,
): Promise<{ readonly domains: readonly string[]; readonly disks: readonly string[] }> {
  const client = new LibvirtClient({ uri });
  try {
    const pool = await client.lookupPoolByName('default');
    await client.refreshPool(pool);
    const [domains, volumes] = [await client.listDomains(), await client.listVolumes(pool)];
    const disks = volumes.map(({ name }) => name).filter((name) => name.includes('test_vm'));
    return { domains: domains.map(({ name }) => name), disks };
  } finally {
    await client.close();
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
