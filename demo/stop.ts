// Stops what `npm run demo -- --keep` left running on an embedded host: `node demo/stop.ts STATE_DIR`.

import { stopEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';

const stateDir = process.argv[2];
if (stateDir === undefined) {
  console.error('node demo/stop.ts STATE_DIR');
  process.exitCode = 2;
} else {
  await stopEmbeddedHost(stateDir);
}
