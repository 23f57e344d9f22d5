// The libvirt adapter on a private real host with the guest image, and the means to make trouble there.
// Not here: starting the host (embedded-host.ts).

import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import {
  LibvirtHypervisor,
  type LibvirtHypervisorOptions,
} from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { NetworkProber } from '../../src/adapters/prober/network-prober.ts';
import type { Image } from '../../src/core/model.ts';
import { LibvirtClient } from '../../src/libvirt/index.ts';
import type { HypervisorFixture } from '../contracts/hypervisor.ts';
import { contentOf, inPieces } from '../contracts/hypervisor-images.ts';
import { startTestHost, type TestHost } from './embedded-host.ts';

/** Far from what other tests and people use. */
/** Two files may run at the same time: a VM that is off must find its address free when it is started again. */
const ADDRESS_PREFIX = `127.77.${10 + (Number(process.env['VITEST_POOL_ID']) || 0)}`;
const run = promisify(execFile);
/** Where a qcow2 header says how large the disk is. */
const qcow2Size = (bytes: Buffer): number => Number(bytes.readBigUInt64BE(24));

export interface RealHypervisor extends HypervisorFixture {
  readonly testHost: TestHost;
  readonly hypervisor: LibvirtHypervisor;
  /** A client of one's own, to look behind the adapter. */
  readonly client: LibvirtClient;
  open(changes?: Partial<LibvirtHypervisorOptions>): LibvirtHypervisor;
}

export async function realFixture(options: { tcpAddress?: string } = {}): Promise<RealHypervisor> {
  const testHost = await startTestHost({ withImage: true, ...options });
  const { host, imageDir, stateDir, uri } = testHost;
  const clock = new SystemClock();
  const manifest = JSON.parse(await readFile(join(imageDir, 'image.json'), 'utf8')) as Record<string, string> & {
    memoryMiB: { suggested: number };
  };
  const file = (key: string): string => join(imageDir, manifest[key] ?? key);
  const direct = { kernel: file('kernel'), initrd: file('initrd'), args: manifest['kernelArgs'] ?? '' };
  const good = { name: 'backend', path: file('disk'), format: 'qcow2', direct } satisfies Image;
  const corrupt = { ...good, name: 'corrupt', path: join(stateDir, 'corrupt.qcow2') };
  const large = { ...good, name: 'large', path: join(stateDir, 'large.qcow2') };
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', large.path, '2G']);
  await chmod(large.path, 0o644);
  const bytes = await readFile(good.path);
  await writeFile(corrupt.path, 'this is no disk image, whatever its name says\n'.repeat(100), { mode: 0o644 });
  const client = new LibvirtClient({ uri });
  const open = (changes: Partial<LibvirtHypervisorOptions> = {}): LibvirtHypervisor =>
    new LibvirtHypervisor({
      host: 'h1',
      uri,
      clock,
      pool: { name: 'virtscale', path: host.poolDir },
      network: {
        kind: 'forward',
        addressPrefix: ADDRESS_PREFIX,
        port: 8080,
        kernelArgs: manifest['userNetworkArgs'] ?? '',
      },
      accel: { kind: host.accel, reason: host.accelReason },
      ...changes,
    });
  const hypervisor = open();
  return {
    testHost,
    hypervisor,
    client,
    open,
    prober: new NetworkProber(),
    clock,
    drive: (work) => work(),
    images: { good, corrupt, large, absent: { ...good, name: 'absent', path: join(stateDir, 'absent.qcow2') } },
    bootable: {
      image: { name: 'brought', format: 'qcow2', direct, content: contentOf(bytes, qcow2Size(bytes)) },
      read: () => inPieces(bytes),
    },
    memoryMiB: manifest.memoryMiB.suggested,
    patienceMs: 60_000,
    forwards: true,
    bootsTemplates: true,
    leaveHalfMadeDisk: (vmName) => writeFile(join(host.poolDir, `vs-${vmName}.qcow2`), 'QFI\u00fb'),
    strangerDefines: async ({ diskOf, name, uuid }) => {
      const path = join(host.poolDir, `vs-${diskOf}.qcow2`);
      const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/></disk>`;
      await client.defineDomain(
        `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>` +
          `<devices>${diskOf === undefined ? '' : disk}</devices></domain>`,
      );
    },
    strangerUndefines: (uuid) => client.undefineDomain({ uuid, name: '', id: -1 }),
    hang: async () => {
      const { pid } = host;
      process.kill(pid, 'SIGSTOP');
      return async () => void process.kill(pid, 'SIGCONT');
    },
    crashDaemon: async () => void process.kill(host.pid, 'SIGKILL'),
    dispose: async () => {
      await Promise.all([hypervisor.close(), client.close()]);
      await testHost.stop();
    },
  };
}
