// Stops what `npm run demo -- --keep` left running on an embedded host: `node demo/stop.ts HOST_DIR`.

import { stopEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';

const hostDir = process.argv[2];
if (hostDir === undefined) {
  console.error('node demo/stop.ts HOST_DIR');
  process.exitCode = 2;
} else {
  await stopEmbeddedHost(hostDir);
}
