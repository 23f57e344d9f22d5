import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Passwords } from '../../src/edge/passwords.ts';

const CHEAP = { logN: 4, r: 1, p: 1 };
const PASSWORD = 'correct horse battery';

describe('passwords', () => {
  it('are known again by their hash, which says how it was made and is another one each time', async () => {
    const passwords = new Passwords(CHEAP);
    const [one, other] = [await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)];
    expect(one).toMatch(/^scrypt\$4,1,1\$[\w-]{22}\$[\w-]{43}$/);
    expect(one).not.toBe(other);
    expect(await passwords.verify(PASSWORD, one)).toBe(true);
    expect(await passwords.verify(`${PASSWORD} `, one)).toBe(false);
    expect(await passwords.verify('', one)).toBe(false);
  });

  it('are the same however their letters are composed', async () => {
    const passwords = new Passwords(CHEAP);
    expect(await passwords.verify('u\u0308ber', await passwords.hash('\u00fcber'))).toBe(true);
  });

  it('of nobody, and hashes that are none, take the work of one and never fit', async () => {
    const passwords = new Passwords({ logN: 14, r: 8, p: 1 });
    const time = async (kept: string | undefined): Promise<number> => {
      const before = performance.now();
      expect(await passwords.verify(PASSWORD, kept)).toBe(false);
      return performance.now() - before;
    };
    await time(undefined);
    const known = await time(await passwords.hash('another'));
    for (const kept of [undefined, '', 'scrypt$99,8,1$x$y', 'plain'])
      expect(await time(kept)).toBeGreaterThan(known / 5);
  });

  it('made at a lower cost still fit, and are told to be made anew', async () => {
    const before = await new Passwords(CHEAP).hash(PASSWORD);
    const now = new Passwords({ ...CHEAP, p: 2 });
    expect(await now.verify(PASSWORD, before)).toBe(true);
    expect([now.isOutdated(before), now.isOutdated(await now.hash(PASSWORD)), now.isOutdated('plain')]).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('by default cost 32 MiB and do not hold the event loop', async () => {
    const passwords = new Passwords();
    let turns = 0;
    const hashing = passwords.hash(PASSWORD).then(() => 'done');
    while ((await Promise.race([hashing, turn()])) !== 'done') turns += 1;
    expect(turns).toBeGreaterThan(10);
    expect(await hashing).toBe('done');
    expect(await passwords.hash(PASSWORD)).toMatch(/^scrypt\$15,8,3\$/);
  });

  it('are refused when too many wait already, and taken again afterwards', async () => {
    const passwords = new Passwords(CHEAP);
    const all = await Promise.allSettled(Array.from({ length: 50 }, () => passwords.hash(PASSWORD)));
    const refused = all.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(50 - 34);
    expect(refused[0]).toMatchObject({ reason: { problem: { status: 429 }, headers: { 'retry-after': '2' } } });
    expect(await passwords.verify(PASSWORD, await passwords.hash(PASSWORD))).toBe(true);
  });
});
