// The accelerator probe through libvirt alone, as for a far host: here /dev/kvm is out of the guests' reach, so emulation it is,
// and the control guest must really have run. A machine with a working KVM says kvm.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { probeAccel } from '../../src/adapters/hypervisor/libvirt/accel-probe.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { LibvirtClient } from '../../src/libvirt/index.ts';
import { startTestHost, type TestHost } from '../support/embedded-host.ts';

let test: TestHost;
let hypervisor: LibvirtHypervisor;

beforeAll(async () => {
  test = await startTestHost();
  hypervisor = new LibvirtHypervisor({
    host: 'far',
    uri: test.uri,
    clock: new SystemClock(),
    pool: { name: 'virtscale', path: test.host.poolDir },
    network: { kind: 'forward', addressPrefix: '127.0.1', port: 8080 },
  });
});

afterAll(async () => {
  await hypervisor.close();
  await test.stop();
});

it('a host without a verdict is probed, and agrees with the probe made without libvirt', async () => {
  const { accel, accelReason } = await hypervisor.info(AbortSignal.timeout(30_000));
  expect({ accel, accelReason }).toEqual({ accel: test.host.accel, accelReason: expect.stringMatching(/KVM/) });
});

it('a guest that runs is seen to run: the control does, and leaves nothing behind', async () => {
  const verdict = await probeAccel({ uri: test.uri }, 'virtscale', AbortSignal.timeout(30_000), ['qemu', 'qemu']);
  expect(verdict).toEqual({ kind: 'kvm', reason: expect.stringMatching(/^a probe guest ran under KVM in \d+ ms$/) });
  const client = new LibvirtClient({ uri: test.uri });
  expect(await client.listDomains()).toEqual([]);
  expect(await client.listVolumes(await client.lookupPoolByName('virtscale'))).toEqual([]);
  await client.close();
});

it('a probe that cannot be made settles for emulation and says why', async () => {
  const verdict = await probeAccel({ uri: test.uri }, 'no-such-pool', AbortSignal.timeout(30_000), ['qemu', 'qemu']);
  expect(verdict).toEqual({ kind: 'qemu', reason: expect.stringContaining('no-such-pool') });
});
