import { describe, expect, it } from 'vitest';
import { hasAdmin, isClaimed } from '../../src/core/admission.ts';
import type { Token } from '../../src/core/catalog.ts';
import { overQuota, type QuotaAmounts, quotaOf } from '../../src/core/user.ts';

const quota = { vms: 2, memoryMiB: 512, snapshots: 0 };
const over = (used: Partial<QuotaAmounts>, asked: Partial<QuotaAmounts>) => overQuota({ quota }, used, asked);

describe('a quota', () => {
  it('lets through what fits to the last bit, and what it says nothing about', () => {
    expect(
      over({ vms: 1, memoryMiB: 256, vcpus: 99 }, { vms: 1, memoryMiB: 256, vcpus: 99, diskGiB: 1e6 }),
    ).toBeUndefined();
  });

  it('refuses with what it allows, what is used and what was asked', () => {
    expect(over({ vms: 1 }, { vms: 2 })).toEqual({
      part: 'vms',
      allowed: 2,
      used: 1,
      asked: 2,
      reason: 'over the quota of 2 VMs: 1 in use, 2 more asked for',
    });
    expect(over({ memoryMiB: 256.5 }, { memoryMiB: 256 })?.reason).toBe(
      'over the quota of 512 MiB of memory: 256.5 in use, 256 more asked for',
    );
    expect(over({}, { snapshots: 1 })?.part).toBe('snapshots');
  });

  it('looks only at what is asked for: who is over already may still take something else', () => {
    expect(over({ vms: 9 }, { memoryMiB: 1 })).toBeUndefined();
    expect(over({ vms: 9 }, { vms: 0 })).toBeUndefined();
    expect(over({ vms: 9 }, { vms: 1 })?.part).toBe('vms');
  });

  it('of a user stands before the one of everybody, part by part', () => {
    expect(quotaOf({ quota: { vms: 9 } }, { vms: 1, vcpus: 2 })).toEqual({ vms: 9, vcpus: 2 });
    expect(quotaOf(undefined, { vms: 1 })).toEqual({ vms: 1 });
  });
});

describe('who has a way in', () => {
  const AT = '2026-01-02T00:00:00.000Z';
  const token = (more: Partial<Token>): Token => ({ name: 't', scope: 'admin', sha256: '', createdAt: AT, ...more });
  const admin = { role: 'admin' } as const;

  it.each([
    ['nobody', [], [], false, false],
    ['a token of the operator', [token({})], [], true, true],
    ['one that reaches less', [token({ scope: 'operate' })], [], true, false],
    ['one that has expired', [token({ expiresAt: AT })], [], true, false],
    ['a token of a user alone', [token({ user: 'ann' })], [], false, false],
    ['an admin', [], [admin], true, true],
    ['a user', [], [{ role: 'user' } as const], true, false],
    ['a disabled admin', [], [{ ...admin, disabled: 'x' }], true, false],
    ['a deleted admin', [], [{ ...admin, deletedAt: AT }], false, false],
  ])('%s', (_, tokens, users, claimed, admins) => {
    expect([isClaimed({ tokens, users }), hasAdmin({ tokens, users }, AT)]).toEqual([claimed, admins]);
  });
});
