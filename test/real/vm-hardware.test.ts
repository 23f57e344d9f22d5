// A VM that is changed while it runs, on a real host: the hardware port's contract, and what the guest sees of it: its disk grows and it has
// the space, its memory is ballooned, vCPUs come and go, a card is plugged in. Not here: what the engine makes of it (test/engine).

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GuestAgent } from '../../src/adapters/hypervisor/libvirt/guest-agent.ts';
import type { VmHardware } from '../../src/core/hardware.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { describeHypervisorHardware } from '../contracts/hypervisor-hardware.ts';
import { type RealHypervisor, realFixture } from '../support/real-hypervisor.ts';

const never = new AbortController().signal;
const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const MAC = '52:54:00:aa:bb:01';
let real: RealHypervisor;

beforeAll(async () => {
  real = await realFixture();
});
afterAll(() => real?.dispose());

describeHypervisorHardware('libvirt and QEMU', () => real);

describe('as the guest sees it', () => {
  let spec: VmSpec;
  let agent: GuestAgent;

  beforeAll(async () => {
    const { hypervisor } = real;
    agent = new GuestAgent(real.client);
    spec = {
      name: 'grows',
      uuid: '00000000-0000-4000-8000-0000000000a1',
      image: real.images.good,
      flavor: { name: 'roomy', vcpus: 1, memoryMiB: 160, maxVcpus: 2, maxMemoryMiB: 192, spareNics: 1 },
      metadata: { id: 2, owner: 'o', operation: 'op', image: 'backend', flavor: 'roomy' },
    };
    await hypervisor.createDisk(spec, never);
    await hypervisor.define(spec, never);
    await boot();
  });
  afterAll(async () => {
    const { hypervisor } = real;
    await hypervisor.destroy(spec.uuid, never);
    await hypervisor.undefine(spec.uuid, never);
    await hypervisor.deleteDisk(spec.name, never);
  });

  const boot = async (): Promise<void> => {
    await real.hypervisor.start(spec.uuid, never);
    expect(await agent.comes(spec.uuid, real.patienceMs, { signal: never })).toBe(true);
  };
  const look = (): Promise<VmHardware> => real.hypervisor.hardware.look(spec.uuid, never);
  const inGuest = async (script: string): Promise<string> => {
    const program = { path: '/bin/sh', args: ['-c', script], output: true };
    return (await agent.run(spec.uuid, program, { signal: never })).output.trim();
  };
  const numberInGuest = async (script: string): Promise<number> => Number(await inGuest(script));
  const rootKiB = (): Promise<number> => numberInGuest("df -k / | tail -n1 | awk '{print $2}'");
  const memoryKiB = (): Promise<number> => numberInGuest("awk '/MemTotal/ {print $2}' /proc/meminfo");
  const until = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    const endMs = performance.now() + 20_000;
    while (!(await isSo())) {
      if (performance.now() > endMs) throw new Error(`not within 20 s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const untilMemory = (memoryMiB: number): Promise<void> =>
    until(`${memoryMiB} MiB`, async () => (await look()).now?.memoryMiB === memoryMiB);

  test('a disk grows while it runs, and the guest has the space', async () => {
    const { hardware } = real.hypervisor;
    expect(await look()).toMatchObject({ diskBytes: 64 * MIB });
    expect(await rootKiB()).toBeLessThan(64 * 1024);
    await hardware.growDisk(spec.uuid, GIB, never);
    expect(await numberInGuest('cat /sys/block/vda/size')).toBe(GIB / 512);
    const growth = await hardware.growFileSystem(spec.uuid, never);
    expect(growth).toMatchObject({ grown: true, text: expect.stringContaining('ext4 on /dev/vda') });
    expect(await rootKiB()).toBeGreaterThan(900_000);
    // More than the disk had.
    await inGuest('dd if=/dev/zero of=/big bs=1M count=70 && sync');
    expect(await numberInGuest('wc -c </big')).toBe(70 * MIB);
  });

  test('memory goes up and down by the balloon', async () => {
    const { hardware } = real.hypervisor;
    await untilMemory(160);
    const before = await memoryKiB();
    await hardware.setMemory(spec.uuid, 128, never);
    await untilMemory(128);
    const { domains } = await real.hypervisor.observe(never);
    expect(domains.find(({ uuid }) => uuid === spec.uuid)).toMatchObject({ memoryMiB: 128 });
    expect(before - (await memoryKiB())).toBeGreaterThan(30_000);
    await hardware.setMemory(spec.uuid, 192, never);
    await untilMemory(192);
    expect((await memoryKiB()) - before).toBeGreaterThan(30_000);
  });

  test('a vCPU is plugged in and used, and then out of use', async () => {
    const { hardware } = real.hypervisor;
    expect(await inGuest('nproc')).toBe('1');
    await hardware.setVcpus(spec.uuid, 2, never);
    expect(await inGuest('nproc')).toBe('2');
    await hardware.setVcpus(spec.uuid, 1, never);
    expect(await inGuest('nproc')).toBe('1');
  });

  test('a card is plugged in, and let go again', async () => {
    const { hardware } = real.hypervisor;
    const addresses = (): Promise<string> => inGuest('cat /sys/class/net/*/address');
    await hardware.attachNic(spec.uuid, MAC, true, never);
    await until('the guest sees the card', async () => (await addresses()).includes(MAC));
    await hardware.detachNic(spec.uuid, MAC, true, never);
    await until('the guest has let it go', async () => !(await addresses()).includes(MAC));
  });

  test('more than its maximum comes with the next start, and what it kept is there', async () => {
    const { hardware } = real.hypervisor;
    const sizes = { vcpus: 2, maxVcpus: 2, memoryMiB: 256, maxMemoryMiB: 256 };
    await hardware.define(spec.uuid, sizes, never);
    expect(await look()).toMatchObject({ next: sizes, now: { maxMemoryMiB: 192 } });
    await real.hypervisor.shutdown(spec.uuid, never);
    await until('it is off', async () => !(await look()).running);
    await boot();
    expect(await look()).toMatchObject({ next: sizes, now: sizes, onlineVcpus: 2, diskBytes: GIB });
    expect(await inGuest('nproc')).toBe('2');
    expect(await memoryKiB()).toBeGreaterThan(210_000);
    expect(await rootKiB()).toBeGreaterThan(900_000);
    expect(await numberInGuest('wc -c </big')).toBe(70 * MIB);
  });
});
