// Stops what `npm run demo -- --keep` left running: `node demo/stop.ts PID FOLDER`, as the demo has printed it.

import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { stopEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import { demoFilesIn } from './demo-config.ts';

/** The daemon promises to end within 5 s of SIGTERM. */
const PATIENCE_MS = 8000;

const [pid, folder] = [Number(process.argv[2]), process.argv[3]];
if (!Number.isInteger(pid) || pid <= 1 || folder === undefined) {
  console.error('node demo/stop.ts PID FOLDER');
  process.exitCode = 2;
} else {
  // The daemon first: it would start its libvirtd again.
  await endDaemon();
  await stopEmbeddedHost(demoFilesIn(folder).hostDir);
  await rm(folder, { recursive: true, force: true });
}

async function endDaemon(): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  signalled('SIGTERM');
  while (signalled(0) && performance.now() < endMs) await sleep(100);
  if (signalled(0)) signalled('SIGKILL');
}

/** False when there is no such process. */
function signalled(signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
