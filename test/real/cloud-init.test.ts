// What a VM's owner says for cloud-init, on a disk such as clouds hand out: Debian with its own kernel, boot loader and cloud-init, brought
// to the host as any image is. Needs root and Debian's mirror once; where they are missing this file says so and tests nothing.

import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { FileImageStore } from '../../src/adapters/images/file-image-store.ts';
import type { CloudInit, Endpoint, Image } from '../../src/core/model.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { run } from '../bed/command.ts';
import { eventually } from '../support/bed-eventually.ts';
import { debianGuest } from '../support/debian-guest.ts';
import { startTestHost, type TestHost } from '../support/embedded-host.ts';

/** Emulated it takes some 70 s of one core, nearly all of them cloud-init's; a second vCPU makes it no quicker. */
const BOOT_LIMIT_MS = 160_000;
const TEST_LIMIT_MS = 200_000;
const LOOK_EVERY_MS = 1000;
const CONSOLE_BYTES = 64 * 1024;
const GIB = 1024 ** 3;

const guest = await debianGuest((line) => console.warn(`test/real/cloud-init.test.ts: ${line}`));
if (!guest.ok) console.warn(`\n*** test/real/cloud-init.test.ts TESTS NOTHING HERE: ${guest.reason} ***\n`);

describe('cloud-init', () => {
  if (guest.ok) onDebian(guest.path);
  else it(`NOT TESTED: there is no guest with cloud-init: ${guest.reason}`, () => expect(guest.reason).not.toBe(''));
});

function onDebian(disk: string): void {
  const never = new AbortController().signal;
  let testHost: TestHost;
  let hypervisor: LibvirtHypervisor;
  let image: Image;
  let ownFolder: string;

  beforeAll(async () => {
    testHost = await startTestHost();
    ownFolder = await mkdtemp('/tmp/vst-');
    const { host, uri } = testHost;
    hypervisor = new LibvirtHypervisor({
      host: 'h1',
      uri,
      clock: new SystemClock(),
      pool: { name: 'virtscale', path: host.poolDir },
      network: { kind: 'forward', addressPrefix: '127.77.3', port: 8022 },
      accel: { kind: host.accel, reason: host.accelReason },
    });
    const store = new FileImageStore(join(ownFolder, 'images'));
    const taken = await store.fetch({ kind: 'path', path: disk }, { name: 'debian', signal: never });
    const brought = { name: 'debian', ...taken };
    await hypervisor.placeImage(
      brought,
      (signal) => store.read(taken.content, signal),
      () => undefined,
      never,
    );
    image = brought;
  });

  afterAll(async () => {
    await hypervisor?.close();
    await testHost?.stop();
    if (ownFolder !== undefined) await rm(ownFolder, { recursive: true, force: true });
  });

  const aSpec = (id: number, cloudInit?: CloudInit): VmSpec => ({
    name: `debian-${id}`,
    uuid: `00000000-0000-4000-8000-00000000c1d${id}`,
    image,
    flavor: { name: 'debian', vcpus: 1, memoryMiB: 512, diskGiB: 2 },
    // The forwarded port: the owner of the key logs in by it.
    ready: { http: { port: 22, path: '/' } },
    metadata: { id, owner: 'o', operation: `d-${id}`, image: 'debian', flavor: 'debian' },
    ...(cloudInit && { cloudInit }),
  });
  const filesOf = async (spec: VmSpec): Promise<readonly string[]> =>
    (await readdir(testHost.host.poolDir)).filter((name) => name.startsWith(`vs-${spec.name}.`)).toSorted();
  const definitionOf = (spec: VmSpec): Promise<string> =>
    readFile(join(testHost.host.dir, 'c/libvirt/qemu', `${spec.name}.xml`), 'utf8');

  it('a VM without it has no seed', async () => {
    const spec = aSpec(1);
    await hypervisor.createDisk(spec, never);
    await hypervisor.define(spec, never);
    expect(await filesOf(spec)).toEqual([`vs-${spec.name}.qcow2`]);
    expect(await definitionOf(spec)).not.toMatch(/seed|vdb|cdrom/);
    await hypervisor.undefine(spec.uuid, never);
    await hypervisor.deleteDisk(spec.name, never);
  });

  it(
    'host name, keys and user-data reach the guest, which grows into its disk',
    async () => {
      const key = join(ownFolder, 'key');
      await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'owner', '-f', key]);
      const publicKey = (await readFile(`${key}.pub`, 'utf8')).trim();
      const spec = aSpec(2, {
        hostname: 'web-2.example.org',
        sshKeys: [publicKey],
        userData: "#cloud-config\nruncmd:\n  - [sh, -c, 'echo für $(id -un) >/var/tmp/done']\n",
      });
      await hypervisor.createDisk(spec, never);
      const { endpoint } = await hypervisor.define(spec, never);
      if (endpoint === undefined) throw new Error('no endpoint');
      await hypervisor.start(spec.uuid, never);
      expect(await finished(spec)).toContain('DataSourceNoCloud');
      const seen = await inside(
        key,
        endpoint,
        'hostname -f',
        'cat .ssh/authorized_keys',
        'cat /var/tmp/done',
        'cat /var/lib/cloud/data/instance-id',
        'tr -d "\\n" </run/cloud-init/result.json; echo',
        'df --block-size=1 --output=size / | tail -n 1',
      );
      expect(seen.slice(0, 4)).toEqual(['web-2.example.org', publicKey, 'für root', spec.uuid]);
      expect(JSON.parse(seen[4] ?? '')).toMatchObject({
        v1: { datasource: expect.stringContaining('DataSourceNoCloud'), errors: [] },
      });
      expect(Number(seen[5])).toBeGreaterThan(1.8 * GIB);
      expect(await hypervisor.addresses(spec.uuid, never)).toContainEqual(expect.objectContaining({ source: 'agent' }));
      await hypervisor.destroy(spec.uuid, never);
      await hypervisor.undefine(spec.uuid, never);
      await hypervisor.deleteDisk(spec.name, never);
      expect(await filesOf(spec)).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  /** The line by which cloud-init says on the console that it is done. */
  function finished({ uuid }: VmSpec): Promise<string> {
    const look = async (): Promise<string | undefined> => {
      await sleep(LOOK_EVERY_MS);
      const said = Buffer.from(await hypervisor.console(uuid, CONSOLE_BYTES, never)).toString();
      return /Cloud-init v\..* finished at .*/.exec(said)?.[0];
    };
    return eventually("'finished' from cloud-init on the console", look, BOOT_LIMIT_MS);
  }

  /** Logs in as Debian's default user and runs commands that write one line each. */
  async function inside(key: string, { address, port }: Endpoint, ...commands: readonly string[]): Promise<string[]> {
    await chmod(key, 0o600);
    const nobodyKnown = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
    const settings = ['BatchMode=yes', 'IdentitiesOnly=yes', 'ConnectTimeout=20', ...nobodyKnown].flatMap((s) => [
      '-o',
      s,
    ]);
    const login = ['-F', 'none', '-i', key, ...settings, '-p', String(port), `debian@${address}`];
    const said = await run(['ssh', ...login, commands.join('; ')], { timeoutMs: 40_000 });
    return said.trim().split('\n');
  }
}
