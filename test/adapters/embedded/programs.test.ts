import { describe, expect, it } from 'vitest';
import { compareVersions } from '../../../src/adapters/hypervisor/embedded/programs.ts';

describe('compareVersions', () => {
  it.each([
    ['9.0.0', '9.0.0', 0],
    ['8.10.0', '9.0.0', -1],
    ['10.0.0', '9.11.3', 1],
    ['7.2.22', '7.2.3', 1],
  ])('%s against %s', (a, b, sign) => {
    expect(Math.sign(compareVersions(a, b))).toBe(sign);
  });
});
