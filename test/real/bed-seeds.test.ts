// The seeds' three files and eight calls on three whole hosts with system libvirtds, one reached by ssh, one by TLS, one by TCP.
// The daemon and its client run where clients of the bed do. Needs root; where there is none this file says so and tests nothing.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LibvirtClient } from '../../src/libvirt/index.ts';
import { type HostBed, startHostBed } from '../bed/host-bed.ts';
import { canHoldHosts } from '../bed/requirements.ts';
import { eventually } from '../support/bed-eventually.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const CLIENT = join(import.meta.dirname, '../support/seeds-client.mjs');
const SERVER = '127.0.0.1:7070';
/** A guest that stands still at once: cli; hlt; jmp to the hlt. */
const HALTS = [0xfa, 0xf4, 0xeb, 0xfd];
const FLAVORS = '"types": [\n{"cpu": 1, "ram": 64, "disk": 1},\n{"cpu": 2, "ram": 96, "disk": 2},\n]\n';
/** What libvirt's packages bring on a real machine; here it is the bed's bridge. */
const NETWORK = "<network><name>default</name><forward mode='bridge'/><bridge name='br0'/></network>";

const verdict = await canHoldHosts();
const reason = verdict.ok || verdict.lacks === 'programs' ? undefined : verdict.reason;
if (reason !== undefined) console.warn(`\n*** test/real/bed-seeds.test.ts TESTS NOTHING HERE: ${reason} ***\n`);

describe('the seeds on whole hosts', () => {
  if (reason === undefined) onWholeHosts();
  else it(`NOT TESTED: this machine cannot hold them: ${reason}`, () => expect(reason).not.toBe(''));
});

function onWholeHosts(): void {
  let bed: HostBed;
  let dir: string;
  let daemon: ChildProcess | undefined;
  let said = '';

  beforeAll(async () => {
    bed = await startHostBed({ hosts: 3 });
    dir = await mkdtemp('/tmp/vst-');
    const [h1, h2, h3] = bed.hosts;
    if (h1 === undefined || h2 === undefined || h3 === undefined) throw new Error('no hosts');
    for (const { uris } of bed.hosts) await makeDefaultNetwork(uris.unix);
    const images = ['Ubuntu12.04amd64.img', 'Fedora17x86_64.raw'].map((name) => join(dir, name));
    for (const [at, image] of images.entries()) await writeFile(image, haltingDisk(at));
    await writeFile(join(dir, 'pm_file'), `${h1.uris.ssh}\n${h2.uris.tls}\n${h3.uris.tcp}\n`);
    await writeFile(join(dir, 'image_file'), images.map((image) => `${image}\n`).join(''));
    await writeFile(join(dir, 'flavor_file'), FLAVORS);
    daemon = inControlSpace(CLI, 'pm_file', 'image_file', 'flavor_file', '--state-dir', join(dir, 'state'));
    for (const stream of [daemon.stdout, daemon.stderr])
      stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually('three machines that answer', async () => {
      const up = said.split('\n').filter((line) => line.includes('"type":"host.up"'));
      return up.length >= 3 || undefined;
    });
  });

  afterAll(async () => {
    if (daemon !== undefined && daemon.exitCode === null) {
      daemon.kill('SIGTERM');
      await once(daemon, 'exit');
    }
    await bed?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });

  function inControlSpace(script: string, ...args: readonly string[]): ChildProcess {
    const command = ['netns', 'exec', bed.controlSpace, process.execPath, script, ...args];
    return spawn('ip', command, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  it('are driven through all eight calls by a script written only from the seeds', async () => {
    const client = inControlSpace(CLIENT, `http://${SERVER}`, 'pm_file', 'image_file', 'flavor_file');
    let out = '';
    for (const stream of [client.stdout, client.stderr])
      stream?.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const [status] = await once(client, 'close');
    expect({ status, log: status === 0 ? '' : `${out}\n${said.slice(-4000)}` }).toEqual({ status: 0, log: '' });
    expect(out).toMatch(/\d+ checks, 0 wrong/);
  });

  it('have nothing left on them', async () => {
    for (const { uris } of bed.hosts) {
      const client = new LibvirtClient({ uri: uris.unix });
      try {
        await eventually('a host without domains', async () => (await client.listDomains()).length === 0 || undefined);
        const pool = await client.lookupPoolByName('default');
        const left = (await client.listVolumes(pool))
          .map(({ name }) => name)
          .filter((name) => name.includes('test_vm'));
        expect(left).toEqual([]);
      } finally {
        await client.close();
      }
    }
  });
}

async function makeDefaultNetwork(uri: string): Promise<void> {
  const client = new LibvirtClient({ uri });
  try {
    const { net } = await client.call('NETWORK_DEFINE_XML', { xml: NETWORK });
    await client.call('NETWORK_CREATE', { net });
  } finally {
    await client.close();
  }
}

/** Two images of one content would be one file on a host: `at` makes them differ. */
function haltingDisk(at: number): Buffer {
  const disk = Buffer.alloc(1024 * 1024);
  disk.set(HALTS);
  disk.set([0x55, 0xaa], 510);
  return disk.fill(at, 1024, 2048);
}
