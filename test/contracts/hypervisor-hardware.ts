// The contract of the Hardware port, run against every adapter: what src/ports/hardware.ts says, on one VM that is changed again and again.
// Not here: what a guest sees of it (test/real/vm-hardware), the order in which the engine does it (test/engine/hardware).

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VmHardware } from '../../src/core/hardware.ts';
import type { FaultKind } from '../../src/ports/fault.ts';
import type { Hardware } from '../../src/ports/hardware.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import type { HypervisorFixture } from './hypervisor.ts';

const never = new AbortController().signal;
const GIB = 1024 ** 3;
const MAC = '52:54:00:aa:bb:01';
const OTHER_MAC = '52:54:00:aa:bb:02';
const READY = { http: { port: 80, path: '/' } };

export type HardwareFixture = Pick<
  HypervisorFixture,
  'hypervisor' | 'clock' | 'drive' | 'images' | 'memoryMiB' | 'patienceMs' | 'strangerDefines' | 'strangerUndefines'
>;

export function describeHypervisorHardware(adapter: string, fixture: () => HardwareFixture): void {
  describe(`hardware contract: ${adapter}`, () => {
    let spec: VmSpec;
    let hardware: Hardware;
    const check = (name: string, work: () => Promise<void>): void => test(name, () => fixture().drive(work));
    const look = (): Promise<VmHardware> => hardware.look(spec.uuid, never);
    const until = async (what: string, isSo: (seen: VmHardware) => boolean): Promise<VmHardware> => {
      const { clock, patienceMs } = fixture();
      const endMs = clock.nowMs() + patienceMs;
      for (;;) {
        const seen = await look();
        if (isSo(seen)) return seen;
        if (clock.nowMs() > endMs) throw new Error(`not within ${patienceMs} ms: ${what}: ${JSON.stringify(seen)}`);
        await clock.sleep(100);
      }
    };
    const refused = (kind: FaultKind, work: Promise<unknown>): Promise<void> =>
      expect(work).rejects.toMatchObject({ name: 'Fault', kind });
    const start = async (): Promise<VmHardware> => {
      await fixture().hypervisor.start(spec.uuid, never);
      return until('its agent answers', ({ onlineVcpus }) => onlineVcpus !== undefined);
    };

    beforeAll(() =>
      fixture().drive(async () => {
        const { hypervisor, images, memoryMiB } = fixture();
        hardware = hypervisor.hardware;
        spec = {
          name: 'changed-1',
          uuid: '00000000-0000-4000-8000-00000000c0de',
          image: images.good,
          flavor: { name: 'roomy', vcpus: 1, memoryMiB, maxVcpus: 2, maxMemoryMiB: memoryMiB + 64, spareNics: 1 },
          ready: READY,
          metadata: { id: 1, owner: 'o', operation: 'op', image: 'backend', flavor: 'roomy' },
        };
        await hypervisor.createDisk(spec, never);
        await hypervisor.define(spec, never);
      }),
    );
    afterAll(() =>
      fixture().drive(async () => {
        const { hypervisor } = fixture();
        await hypervisor.destroy(spec.uuid, never);
        await hypervisor.undefine(spec.uuid, never);
        await hypervisor.deleteDisk(spec.name, never);
      }),
    );

    check('what is not there is gone, and what is not ours is not touched', async () => {
      const nobody = '00000000-0000-4000-8000-0000000000ff';
      await refused('gone', hardware.look(nobody, never));
      const stranger = '00000000-0000-4000-8000-0000000000fe';
      await fixture().strangerDefines({ uuid: stranger, name: 'strange' });
      const sizes = { vcpus: 1, maxVcpus: 1, memoryMiB: 16, maxMemoryMiB: 16 };
      await refused('conflict', hardware.define(stranger, sizes, never));
      await refused('conflict', hardware.attachNic(stranger, MAC, false, never));
      expect((await hardware.look(stranger, never)).nics.map(({ mac }) => mac)).not.toContain(MAC);
      await fixture().strangerUndefines(stranger);
    });

    check('a caller who has given up gets nothing done', async () => {
      const before = await look();
      await refused('aborted', hardware.growDisk(spec.uuid, 2 * GIB, AbortSignal.abort()));
      expect(await look()).toEqual(before);
    });

    check('while it is off, the next start is changed, and its disk grows', async () => {
      const { memoryMiB } = fixture();
      const first = await look();
      expect(first).toMatchObject({ running: false, saved: false, freeSlots: 0 });
      expect(first.now).toBeUndefined();
      expect(first.next).toEqual({ vcpus: 1, maxVcpus: 2, memoryMiB, maxMemoryMiB: memoryMiB + 64 });
      for (const sizes of [
        { vcpus: 2, maxVcpus: 3, memoryMiB: memoryMiB + 16, maxMemoryMiB: memoryMiB + 32 },
        { vcpus: 1, maxVcpus: 1, memoryMiB, maxMemoryMiB: memoryMiB },
        { vcpus: 1, maxVcpus: 2, memoryMiB, maxMemoryMiB: memoryMiB + 64 },
      ]) {
        await hardware.define(spec.uuid, sizes, never);
        await hardware.define(spec.uuid, sizes, never);
        expect((await look()).next).toEqual(sizes);
      }
      await hardware.growDisk(spec.uuid, 2 * GIB, never);
      await hardware.growDisk(spec.uuid, 2 * GIB, never);
      expect((await look()).diskBytes).toBe(2 * GIB);
      await refused('refused', hardware.growDisk(spec.uuid, GIB, never));
      await refused('conflict', hardware.setMemory(spec.uuid, memoryMiB, never));
      await refused('conflict', hardware.setVcpus(spec.uuid, 1, never));
      expect(await hardware.growFileSystem(spec.uuid, never)).toMatchObject({ grown: false });
    });

    check('while it runs, it has what it began with, and more within its maximum', async () => {
      const { memoryMiB } = fixture();
      const begun = await start();
      expect(begun).toMatchObject({ running: true, onlineVcpus: 1, freeSlots: 1 });
      expect(begun.now).toMatchObject({ vcpus: 1, maxVcpus: 2, maxMemoryMiB: memoryMiB + 64 });
      for (const wanted of [memoryMiB + 32, memoryMiB + 64, memoryMiB]) {
        await hardware.setMemory(spec.uuid, wanted, never);
        await until(`${wanted} MiB`, ({ now }) => now?.memoryMiB === wanted);
      }
      await refused('refused', hardware.setMemory(spec.uuid, memoryMiB + 80, never));
      await hardware.setVcpus(spec.uuid, 2, never);
      await hardware.setVcpus(spec.uuid, 2, never);
      expect(await look()).toMatchObject({ now: { vcpus: 2 }, onlineVcpus: 2 });
      await hardware.setVcpus(spec.uuid, 1, never);
      expect(await look()).toMatchObject({ now: { vcpus: 2 }, onlineVcpus: 1, next: { vcpus: 1 } });
      await refused('refused', hardware.setVcpus(spec.uuid, 3, never));
    });

    check('its disk grows while it runs, and its file system with it', async () => {
      await hardware.growDisk(spec.uuid, 3 * GIB, never);
      expect((await look()).diskBytes).toBe(3 * GIB);
      expect(await hardware.growFileSystem(spec.uuid, never)).toMatchObject({ grown: true });
      expect(await hardware.growFileSystem(spec.uuid, never)).toMatchObject({ grown: true });
      await refused('refused', hardware.growDisk(spec.uuid, 2 * GIB, never));
    });

    check('a card is added where a slot is free, and taken away; the forwarded one stays', async () => {
      const before = (await look()).nics;
      await hardware.attachNic(spec.uuid, MAC, true, never);
      await hardware.attachNic(spec.uuid, MAC, true, never);
      const seen = await look();
      expect(seen.nics).toHaveLength(before.length + 1);
      expect(seen.nics.find(({ mac }) => mac === MAC)).toMatchObject({ now: true, next: true });
      expect(seen.freeSlots).toBe(0);
      await refused('refused', hardware.attachNic(spec.uuid, OTHER_MAC, true, never));
      await hardware.attachNic(spec.uuid, OTHER_MAC, false, never);
      expect((await look()).nics.find(({ mac }) => mac === OTHER_MAC)).toMatchObject({ now: false, next: true });
      await hardware.detachNic(spec.uuid, OTHER_MAC, true, never);
      await hardware.detachNic(spec.uuid, MAC, true, never);
      await until('the card is gone', ({ nics }) => nics.length === before.length);
      await hardware.detachNic(spec.uuid, MAC, true, never);
      const [first] = before;
      if (first?.kind === 'forward') await refused('refused', hardware.detachNic(spec.uuid, first.mac, true, never));
    });

    check('one whose memory is saved is not changed before it goes on', async () => {
      const before = await look();
      await fixture().hypervisor.save(spec.uuid, never);
      expect(await look()).toMatchObject({ running: false, saved: true });
      await refused(
        'refused',
        hardware.define(spec.uuid, { ...before.next, memoryMiB: 256, maxMemoryMiB: 256 }, never),
      );
      await refused('refused', hardware.growDisk(spec.uuid, 4 * GIB, never));
      await refused('refused', hardware.attachNic(spec.uuid, MAC, false, never));
      const again = await start();
      expect(again).toMatchObject({ running: true, saved: false, next: before.next, diskBytes: 3 * GIB });
    });
  });
}
