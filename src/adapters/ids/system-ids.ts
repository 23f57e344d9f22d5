// Identifiers from the system's random source.
// Not here: identifiers that can be repeated from a seed (test/support/seeded-ids.ts).

import { randomUUID } from 'node:crypto';
import type { Ids } from '../../ports/ids.ts';

export class SystemIds implements Ids {
  uuid(): string {
    return randomUUID();
  }

  random(): number {
    return Math.random();
  }
}
