// A group of existing domains (the seed's vm1 and vm2) on real libvirt: first defined, first started; shut down, never removed.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { domainXml } from '../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { DomainState } from '../../src/libvirt/index.ts';
import { SMALL } from '../core/builders.ts';
import { TestDaemon } from '../support/daemon.ts';

const ADDRESSES = { vm1: '127.0.1.201', vm2: '127.0.1.202' } as const;
const POLICY = `
group: seed
min: 1
max: 2
domains:
  - { name: vm1, address: ${ADDRESSES.vm1} }
  - { name: vm2, address: ${ADDRESSES.vm2} }
ready: { http: { port: 8080, path: / } }
drain: { grace: 200ms }
scale: []
`;

let daemon: TestDaemon;

/** Defined as a stranger would: with a disk of its own, and without a word of virtscale in it. */
async function defineStranger(name: keyof typeof ADDRESSES, uuid: string): Promise<void> {
  const images = join(daemon.dir, 's/guest-images');
  const dir = join(images, (await readdir(images))[0] ?? '');
  const manifest = JSON.parse(await readFile(join(dir, 'image.json'), 'utf8'));
  const disk = join(dir, manifest.disk);
  await daemon.asked(async (client) => {
    const pool = await client.lookupPoolByName('virtscale');
    const volume = await client.createVolume(
      pool,
      `<volume><name>${name}.qcow2</name><capacity unit='MiB'>64</capacity><target><format type='qcow2'/></target>
       <backingStore><path>${disk}</path><format type='qcow2'/></backingStore></volume>`,
    );
    const direct = {
      kernel: join(dir, manifest.kernel),
      initrd: join(dir, manifest.initrd),
      args: manifest.kernelArgs,
    };
    const xml = domainXml(
      {
        name,
        uuid,
        image: { name: 'backend', path: disk, format: 'qcow2', direct },
        flavor: SMALL,
        ready: { http: { port: 80, path: '/' } },
        metadata: { id: 1, group: '', owner: '', operation: '', image: '', flavor: '' },
      },
      {
        accel: 'qemu',
        network: { kind: 'forward', addressPrefix: '127.0.1', port: 8080, kernelArgs: manifest.userNetworkArgs },
        diskPath: await client.volumePath(volume),
        endpoint: { address: ADDRESSES[name], port: 8080 },
      },
    );
    await client.defineDomain(xml.replace(/<metadata>.*?<\/metadata>/s, ''));
  });
}

beforeAll(async () => {
  daemon = await TestDaemon.prepare(POLICY, 'seed');
  await daemon.start();
  await daemon.eventually('pool', () => daemon.asked((client) => client.lookupPoolByName('virtscale')));
  await defineStranger('vm1', '5eed0000-0000-4000-8000-000000000001');
  await defineStranger('vm2', '5eed0000-0000-4000-8000-000000000002');
});

afterAll(() => daemon.remove());

const states = () =>
  daemon.asked(async (client) => {
    const domains = await client.listDomains();
    const infos = await client.domainsInfo(domains);
    return Object.fromEntries(
      domains.map(({ name }, index) => {
        return [name, infos[index]?.info?.state === DomainState.RUNNING];
      }),
    );
  });

it('starts the first of the list for the minimum, the second when more are wanted', async () => {
  expect(await daemon.inService(1)).toMatchObject([{ name: 'vm1', endpoint: { address: ADDRESSES.vm1, port: 8080 } }]);
  await daemon.setDesired(2);
  await daemon.inService(2);
  const answer = await fetch(`http://${ADDRESSES.vm2}:8080/10`, { signal: AbortSignal.timeout(5000) });
  expect(await answer.json()).toMatchObject({ input: 10, result: 55 });
});

it('shuts one down when fewer are wanted, and leaves its definition and disk alone', async () => {
  await daemon.setDesired(1);
  const [left] = await daemon.inService(1);
  const running = await states();
  expect(Object.keys(running).sort()).toEqual(['vm1', 'vm2']);
  expect(Object.entries(running).filter(([, on]) => on)).toEqual([[left?.name, true]]);
  await daemon.setDesired(2);
  await daemon.inService(2);
});

it('a daemon that starts anew takes those that run back in', async () => {
  await daemon.end('SIGTERM');
  await daemon.start();
  const vms = await daemon.inService(2);
  expect(vms.map(({ name }) => name).sort()).toEqual(['vm1', 'vm2']);
});
