// A real, private host for tests: folders of its own, nothing left behind. Fails where libvirt is missing; never skips.
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
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

const GUEST_SOURCES = join(import.meta.dirname, '../../guest');

/** One folder per state of the sources: a changed image never replaces one in use. */
async function imageFolder(): Promise<string> {
  const hash = createHash('sha256');
  const files = await readdir(GUEST_SOURCES, { recursive: true, withFileTypes: true });
  const paths = files.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const path of paths.sort()) hash.update(await readFile(path));
  return `/tmp/virtscale-test-image-${process.getuid?.() ?? 0}-${hash.digest('hex').slice(0, 10)}`;
}

export async function startTestHost(
  options: { withImage?: boolean; tcpAddress?: string; log?: (line: string) => void } = {},
): Promise<TestHost> {
  const { withImage = false, tcpAddress, log } = options;
  const stateDir = await mkdtemp('/tmp/vst-');
  try {
    await chmod(stateDir, 0o777);
    const imageDir = withImage ? await imageFolder() : '';
    const [host] = await Promise.all([
      startEmbeddedHost({ stateDir, name: 'test', ...(tcpAddress && { tcpAddress }), ...(log && { log }) }),
      withImage ? ensureGuestImage({ dir: imageDir, ...(log && { log }) }) : undefined,
    ]);
    const stop = async (): Promise<void> => {
      await host.stopAll();
      await rm(stateDir, { recursive: true, force: true, maxRetries: 5 });
    };
    return { host, uri: host.uri, stateDir, imageDir, stop };
  } catch (error) {
    await stopEmbeddedHost(stateDir).catch(() => undefined);
    await rm(stateDir, { recursive: true, force: true });
    throw error;
  }
}
