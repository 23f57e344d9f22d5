// Identifiers from the system's random source.
// Not here: identifiers that can be repeated from a seed (test/support/seeded-ids.ts).

import { randomUUID } from 'node:crypto';
import type { Ids } from '../../ports/ids.ts';
import { freshSshKey } from './ssh-key-pair.ts';

export class SystemIds implements Ids {
  uuid(): string {
    return randomUUID();
  }

  random(): number {
    return Math.random();
  }

  sshKey(comment: string): ReturnType<Ids['sshKey']> {
    return freshSshKey(comment);
  }
}
