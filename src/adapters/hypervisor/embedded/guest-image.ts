// The way from the product to the guest image's builder, which is plain JavaScript outside src. Builds nothing itself.
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGuestImage, type GuestImage, type GuestImageKind, sourceHash } from '../../../../guest/build.mjs';
import { EmbeddedHostError } from './embedded-host-error.ts';
import { SingleFlight } from './single-flight.ts';

export type { GuestImage, GuestImageKind };

export interface GuestImageOptions {
  /** The folder for images; each version of the image has one of its own in it. */
  readonly dir: string;
  /** Default `backend`. */
  readonly kind?: GuestImageKind;
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Several hosts that come up together wait for one and the same build. */
const building = new SingleFlight<GuestImage>();

/**
 * The guest image, built when it is not there yet. One made from other sources stays beside it: the disks of VMs that an earlier
 * version of virtscale launched are overlays of it, and break when what lies beneath changes.
 * @throws EmbeddedHostError `no-image` saying what was missing or failed; the signal's reason when aborted
 */
export async function ensureGuestImage({ dir, kind = 'backend', log, signal }: GuestImageOptions): Promise<GuestImage> {
  const version = sourceHash().slice(0, 12);
  const outDir = join(dir, kind === 'backend' ? version : `${version}-${kind}`);
  return await building.run(outDir, signal, async (stop) => {
    try {
      const image = await buildGuestImage({ outDir, kind, signal: stop, ...(log && { log }) });
      // A umask of 077 must not lock out the account that guests run as.
      if (image.built) await chmod(outDir, 0o755);
      return image;
    } catch (error) {
      throw new EmbeddedHostError(
        'no-image',
        `the guest image could not be built: ${(error as Error).message}`,
        'It is made from packages of the distribution: check that apt-get works and reaches its mirror',
        { cause: error },
      );
    }
  });
}
