// Bringing a VM's image to its host, as long as it moves. Not here: what an image is, when one is needed (core/steps).

import type { Clock } from '../../ports/clock.ts';
import { Fault } from '../../ports/fault.ts';
import type { Executor } from './outcome.ts';

/** An image of which nothing has moved for so long is given up for now. */
const IMAGE_STALL_MS = 120_000;

export const placeImage: Executor<'place-image'> = async (record, _step, context) => {
  const { hypervisor, images, clock, onImageBytes, onImagePlaced, signal } = context;
  const { image, deadlineAtMs = record.phaseAtMs, phaseAtMs } = record;
  const content = image?.content;
  if (image === undefined || content === undefined) throw new Error(`VM ${record.name} has no image to be brought`);
  await unlessStalled(clock, signal, (beat, inner) =>
    hypervisor.placeImage(
      { ...image, content },
      (reading) => images.read(content, reading),
      (bytes) => {
        beat();
        onImageBytes(bytes);
      },
      inner,
    ),
  );
  onImagePlaced(image);
  const facts = { step: 'image-there', deadlineAtMs: clock.nowMs() + (deadlineAtMs - phaseAtMs) } as const;
  return { kind: 'progress', facts };
};

/** Runs `work` until it is done, or nothing has beaten for {@link IMAGE_STALL_MS}. */
async function unlessStalled(
  clock: Clock,
  signal: AbortSignal,
  work: (beat: () => void, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stalled = new AbortController();
  const done = new AbortController();
  let beatAtMs = clock.nowMs();
  const watch = async (): Promise<void> => {
    while (!done.signal.aborted) {
      await clock.sleep(IMAGE_STALL_MS / 4, done.signal);
      if (clock.nowMs() - beatAtMs > IMAGE_STALL_MS) stalled.abort();
    }
  };
  const watching = watch();
  const beat = (): void => {
    beatAtMs = clock.nowMs();
  };
  try {
    await work(beat, AbortSignal.any([signal, stalled.signal]));
  } catch (error) {
    if (!stalled.signal.aborted || signal.aborted) throw error;
    const message = `nothing of the image has moved for ${IMAGE_STALL_MS / 1000} s`;
    throw new Fault('timed-out', message, { cause: error });
  } finally {
    done.abort();
    await watching;
  }
}
