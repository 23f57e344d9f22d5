// A real, private host for tests: folders of its own, nothing left behind. Fails where libvirt is missing; never skips.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import {
  type EmbeddedHost,
  startEmbeddedHost,
  stopEmbeddedHost,
} from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { ensureGuestImage } from '../../src/adapters/hypervisor/embedded/guest-image.ts';

export interface TestHost {
  readonly host: EmbeddedHost;
  readonly uri: string;
  /** Anyone may write there, as the account that guests run as must. */
  readonly stateDir: string;
  /** The guest image's folder, shared by all tests of this machine: read only. Empty string without `withImage`. */
  readonly imageDir: string;
  /** Ends every process of the host and removes its folders. */
  stop(): Promise<void>;
}

/** Shared by all tests of this machine and user. */
const IMAGES = `/tmp/virtscale-test-images-${process.getuid?.() ?? 0}`;

export async function startTestHost(
  options: { withImage?: boolean; tcpAddress?: string; log?: (line: string) => void } = {},
): Promise<TestHost> {
  const { withImage = false, tcpAddress, log } = options;
  const stateDir = await mkdtemp('/tmp/vst-');
  try {
    await chmod(stateDir, 0o777);
    const [host, image] = await Promise.all([
      startEmbeddedHost({ stateDir, name: 'test', ...(tcpAddress && { tcpAddress }), ...(log && { log }) }),
      withImage ? ensureGuestImage({ dir: IMAGES, ...(log && { log }) }) : undefined,
    ]);
    const stop = async (): Promise<void> => {
      await host.stopAll();
      await rm(stateDir, { recursive: true, force: true, maxRetries: 5 });
    };
    return { host, uri: host.uri, stateDir, imageDir: image?.dir ?? '', stop };
  } catch (error) {
    await stopEmbeddedHost(stateDir).catch(() => undefined);
    await rm(stateDir, { recursive: true, force: true });
    throw error;
  }
}
