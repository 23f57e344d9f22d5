// A process that commits as fast as it can and says on stdout what was acknowledged, until it is killed.
// Not a test: sqlite-store.test.ts starts it.

import { writeSync } from 'node:fs';
import { SqliteStore } from '../../../src/adapters/store/sqlite/sqlite-store.ts';
import { AT, aDecision, aVmRecord } from '../../contracts/store.ts';

const file = process.argv[2];
if (file === undefined) throw new Error('usage: commit-loop.ts FILE');

const store = new SqliteStore({ path: file, keepEvents: 50 });
const { nextVmId } = await store.load();
for (let id = nextVmId; ; id += 1) {
  const events = await store.commit({
    putVms: [aVmRecord(id)],
    deleteVms: id > 3 ? [id - 3] : [],
    putMemory: { web: { desired: id, paused: false, breaker: { failures: 0 } } },
    decisions: [aDecision(`d-${id}`)],
    events: [
      { at: AT, event: { type: 'host.up', host: `${id}` } },
      { at: AT, event: { type: 'host.unreachable', host: `${id}`, reason: 'x'.repeat(2000) } },
    ],
  });
  writeSync(1, `${id} ${events.at(-1)?.seq}\n`);
}
