// The way from the product to the guest image's builder, which is plain JavaScript outside src. Builds nothing itself.
import { buildGuestImage, type GuestImage } from '../../../../guest/build.mjs';
import { EmbeddedHostError } from './embedded-host-error.ts';

export type { GuestImage };

export interface GuestImageOptions {
  /** The folder for the image's files, of its own. */
  readonly dir: string;
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * The guest image, built into `dir` when it is not there yet or its sources have changed.
 * @throws EmbeddedHostError `no-image` saying what was missing or failed; the signal's reason when aborted
 */
export async function ensureGuestImage({ dir, log, signal }: GuestImageOptions): Promise<GuestImage> {
  try {
    return await buildGuestImage({ outDir: dir, ...(log && { log }), ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    throw new EmbeddedHostError(
      'no-image',
      `the guest image could not be built: ${(error as Error).message}`,
      'It is made from packages of the distribution: check that apt-get works and reaches its mirror',
      { cause: error },
    );
  }
}
