// The part of the Hypervisor port's contract that is about images brought to a host.
// Not here: what is left when something dies in the middle (test/real/placed-images.test.ts, test/sim).

import { createHash, randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import type { Image, ImageContent } from '../../src/core/model.ts';
import type { Fault, FaultKind } from '../../src/ports/fault.ts';
import type { ImageReader, VmSpec } from '../../src/ports/hypervisor.ts';
import type { HypervisorFixture } from './hypervisor.ts';

export interface ImageWithBytes {
  readonly image: Image & { readonly content: ImageContent };
  readonly read: ImageReader;
}

export interface ImageChecks {
  readonly check: (name: string, work: () => Promise<void>) => void;
  readonly fixture: () => HypervisorFixture;
  readonly aSpec: (changes?: Partial<VmSpec>) => VmSpec;
  readonly untilServes: (spec: VmSpec) => Promise<void>;
  readonly expectFault: (kind: FaultKind, work: Promise<unknown>) => Promise<Fault>;
  readonly unmake: (spec: VmSpec) => Promise<void>;
}

const never = new AbortController().signal;
const PIECE_BYTES = 50_000;

/** A raw image of random bytes; `read` counts how often it was asked. */
export function randomImage(
  name: string,
  length = 300_000,
): ImageWithBytes & { readonly bytes: Buffer; opened: number } {
  const bytes = randomBytes(length);
  const made = {
    bytes,
    opened: 0,
    image: { name, format: 'raw', content: contentOf(bytes) } as const,
    read: () => {
      made.opened += 1;
      return inPieces(bytes);
    },
  };
  return made;
}

export function contentOf(bytes: Uint8Array, virtualBytes = bytes.length): ImageContent {
  return { sha256: createHash('sha256').update(bytes).digest('hex'), fileBytes: bytes.length, virtualBytes };
}

export async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

export function describeHypervisorImages({
  aSpec,
  check,
  expectFault,
  fixture,
  unmake,
  untilServes,
}: ImageChecks): void {
  const quiet = (): void => undefined;
  const listed = async (): Promise<readonly string[]> =>
    (await fixture().hypervisor.listImages(never)).map(({ sha256 }) => sha256);

  describe('images', () => {
    check('one is brought once, with progress, and listed; then nothing is read, by other adapters too', async () => {
      const { hypervisor } = fixture();
      const brought = randomImage('brought');
      const { content } = brought.image;
      expect(await listed()).not.toContain(content.sha256);
      const told: number[] = [];
      await hypervisor.placeImage(brought.image, brought.read, (bytes) => told.push(bytes), never);
      expect(told).toEqual(told.toSorted((a, b) => a - b));
      expect(told.at(-1)).toBe(content.fileBytes);
      expect(await hypervisor.listImages(never)).toContainEqual({
        sha256: content.sha256,
        fileBytes: content.fileBytes,
      });
      await hypervisor.placeImage({ ...brought.image, name: 'another-name' }, brought.read, quiet, never);
      const other = fixture().open();
      await other.placeImage(brought.image, brought.read, quiet, never);
      await other.close();
      expect(brought.opened).toBe(1);
      await hypervisor.removeImage(content.sha256, never);
      await hypervisor.removeImage(content.sha256, never);
      expect(await listed()).not.toContain(content.sha256);
    });

    check('bytes that are too few, too many or others are refused, and leave no image', async () => {
      const { hypervisor } = fixture();
      const { bytes, image, read } = randomImage('wanted');
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(1000) ^ 1, 1000);
      for (const wrong of [bytes.subarray(1), Buffer.concat([bytes, Buffer.of(0)]), changed, Buffer.alloc(0)]) {
        await expectFault(
          'refused',
          hypervisor.placeImage(image, () => inPieces(wrong), quiet, never),
        );
        expect(await listed()).not.toContain(image.content.sha256);
      }
      await hypervisor.placeImage(image, read, quiet, never);
      expect(await listed()).toContain(image.content.sha256);
      await hypervisor.removeImage(image.content.sha256, never);
    });

    check('several who want it at once bring it once; one that gives up takes it from nobody', async () => {
      const { clock, hypervisor } = fixture();
      const wanted = randomImage('wanted-by-many');
      const gate = Promise.withResolvers<void>();
      const read: ImageReader = async function* () {
        wanted.opened += 1;
        yield wanted.bytes.subarray(0, PIECE_BYTES);
        await gate.promise;
        yield wanted.bytes.subarray(PIECE_BYTES);
      };
      const givingUp = new AbortController();
      const told = [0, 0];
      const first = expectFault('aborted', hypervisor.placeImage(wanted.image, read, quiet, givingUp.signal));
      const others = told.map((_, index) =>
        hypervisor.placeImage(
          wanted.image,
          read,
          (bytes) => {
            told[index] = bytes;
          },
          never,
        ),
      );
      await clock.sleep(200);
      givingUp.abort();
      await first;
      gate.resolve();
      await Promise.all(others);
      expect(wanted.opened).toBe(1);
      expect(told).toEqual([wanted.bytes.length, wanted.bytes.length]);
      expect(await listed()).toContain(wanted.image.content.sha256);
      await hypervisor.removeImage(wanted.image.content.sha256, never);
    });

    check(
      'given up in the middle it leaves no image, soon, even when the source hangs; the next try succeeds',
      async () => {
        const { clock, hypervisor } = fixture();
        const { bytes, image, read } = randomImage('given-up');
        let released = false;
        const stuck: ImageReader = async function* (signal) {
          yield bytes.subarray(0, PIECE_BYTES);
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
          released = true;
        };
        const givingUp = new AbortController();
        const given = expectFault('aborted', hypervisor.placeImage(image, stuck, quiet, givingUp.signal));
        await clock.sleep(200);
        givingUp.abort();
        await given;
        await clock.sleep(100);
        expect(released).toBe(true);
        expect(await listed()).not.toContain(image.content.sha256);
        await hypervisor.placeImage(image, read, quiet, never);
        expect(await listed()).toContain(image.content.sha256);
        await hypervisor.removeImage(image.content.sha256, never);
      },
    );

    check('two adapters that bring the same at the same time both have it', async () => {
      const { hypervisor, open } = fixture();
      const { image, read } = randomImage('by-two');
      const other = open();
      await Promise.all([hypervisor, other].map((each) => each.placeImage(image, read, quiet, never)));
      expect((await listed()).filter((sha256) => sha256 === image.content.sha256)).toHaveLength(1);
      await other.removeImage(image.content.sha256, never);
      expect(await listed()).not.toContain(image.content.sha256);
      await other.close();
    });

    check('a disk needs its image on the host; while there is a disk the image stays', async () => {
      const { hypervisor, memoryMiB } = fixture();
      const { image, read } = randomImage('below');
      const spec = aSpec({ image });
      const fault = await expectFault('refused', hypervisor.createDisk(spec, never));
      expect(fault.message).toContain(image.name);
      expect(await hypervisor.listDisks(never)).not.toContain(spec.name);
      await hypervisor.placeImage(image, read, quiet, never);
      await hypervisor.createDisk(spec, never);
      expect(await hypervisor.listDisks(never)).toContain(spec.name);
      await expectFault('conflict', hypervisor.removeImage(image.content.sha256, never));
      expect(await listed()).toContain(image.content.sha256);
      await hypervisor.deleteDisk(spec.name, never);
      const narrow = { name: 'narrow', vcpus: 1, memoryMiB, diskGiB: 1 };
      const wide = { ...image, content: { ...image.content, virtualBytes: 3 * 1024 ** 3 } };
      const refused = await expectFault(
        'refused',
        hypervisor.createDisk({ ...spec, image: wide, flavor: narrow }, never),
      );
      expect(refused.message).toMatch(/\b1 GiB\b.*\b3 GiB\b/);
      await hypervisor.removeImage(image.content.sha256, never);
      expect(await listed()).not.toContain(image.content.sha256);
    });

    check('a VM made from one that was brought boots and serves; removed with its disk, the image can go', async () => {
      const { bootable, hypervisor } = fixture();
      await hypervisor.placeImage(bootable.image, bootable.read, quiet, never);
      const spec = aSpec({ image: bootable.image });
      await hypervisor.createDisk(spec, never);
      await hypervisor.define(spec, never);
      await hypervisor.start(spec.uuid, never);
      await expectFault('conflict', hypervisor.removeImage(bootable.image.content.sha256, never));
      await untilServes(spec);
      await unmake(spec);
      await hypervisor.removeImage(bootable.image.content.sha256, never);
    });
  });
}
