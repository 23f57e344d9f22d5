// The contract of moving VMs, run against two real libvirtds of this machine. Its guests need not boot.

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { type EmbeddedHost, startEmbeddedHost } from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { describeMigration, type MigrationPair } from '../contracts/hypervisor-migration.ts';

const PREFIX = `127.${201 + (process.pid % 50)}`;
const hosts: EmbeddedHost[] = [];
const hypervisors: LibvirtHypervisor[] = [];
let folder = '';
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp('/tmp/vsk-');
  await chmod(folder, 0o777);
  for (const number of [1, 2]) {
    const name = `h${number}`;
    const migrationAddress = `${PREFIX}.${number}.255`;
    const host = await startEmbeddedHost({ stateDir: join(folder, name), name, migrationAddress });
    hosts.push(host);
    hypervisors.push(
      new LibvirtHypervisor({
        host: name,
        uri: host.uri,
        clock: new SystemClock(),
        pool: { name: 'virtscale', path: host.poolDir },
        network: { kind: 'forward', addressPrefix: `${PREFIX}.${number}`, port: 8080 },
        accel: { kind: host.accel, reason: host.accelReason },
      }),
    );
  }
}, 60_000);
afterAll(async () => {
  await Promise.allSettled(hypervisors.map((hypervisor) => hypervisor.close()));
  await Promise.allSettled(hosts.map((host) => host.stopAll()));
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

function aSpec(): VmSpec {
  count += 1;
  return {
    name: `mover-${count}`,
    uuid: `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`,
    flavor: { name: 'tiny', vcpus: 1, memoryMiB: 64, diskGiB: 1 },
    metadata: { id: count, owner: 'o', operation: 'x', image: '', flavor: 'tiny' },
  };
}

function pair(): MigrationPair {
  const [source, target] = hypervisors;
  if (source === undefined || target === undefined) throw new Error('the hosts have not come up');
  const slow = () => ({ bandwidthMiBps: 1 });
  return { source, target, aSpec, drive: (work) => work(), slow, sleep: (ms) => sleep(ms) };
}

describeMigration('libvirt', pair);
