// SystemIds: the form of what it gives.

import { expect, test } from 'vitest';
import { SystemIds } from '../../../src/adapters/ids/system-ids.ts';

test('uuids are version 4, lower case, and differ; chance is within [0, 1)', () => {
  const ids = new SystemIds();
  const uuids = Array.from({ length: 100 }, () => ids.uuid());
  for (const uuid of uuids)
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(new Set(uuids).size).toBe(100);
  for (let i = 0; i < 100; i += 1) {
    const random = ids.random();
    expect(random >= 0 && random < 1).toBe(true);
  }
});
