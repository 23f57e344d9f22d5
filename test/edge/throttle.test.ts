import { describe, expect, it } from 'vitest';
import { networkOf, SignInThrottle } from '../../src/edge/sign-in-throttle.ts';
import { Throttle } from '../../src/edge/throttle.ts';

describe('a throttle', () => {
  it('allows a burst, then one more each time', () => {
    const throttle = new Throttle({ burst: 2, refillMs: 1000 });
    for (const nowMs of [0, 0]) {
      expect(throttle.waitMs('a', nowMs)).toBe(0);
      throttle.take('a', nowMs);
    }
    expect([throttle.waitMs('a', 0), throttle.waitMs('a', 400), throttle.waitMs('a', 1000)]).toEqual([1000, 600, 0]);
    throttle.take('a', 1000);
    expect([throttle.waitMs('a', 1000), throttle.waitMs('b', 1000), throttle.waitMs('a', 9000)]).toEqual([1000, 0, 0]);
    throttle.giveBack('a', 1000);
    expect(throttle.waitMs('a', 1000)).toBe(0);
  });

  it('remembers no more keys than it may, and forgets the ones used longest ago', () => {
    const throttle = new Throttle({ burst: 1, refillMs: 1e9, keys: 3 });
    for (let key = 0; key < 1000; key += 1) throttle.take(String(key), 0);
    expect(throttle.size).toBe(3);
    expect(throttle.waitMs('999', 0)).toBeGreaterThan(0);
    expect(throttle.waitMs('0', 0)).toBe(0);
  });
});

describe('signing in', () => {
  const END_MS = 600_000;
  const manyPeers = Array.from({ length: 100 }, (_, at) => `10.0.0.${at}`);

  /** Wrong tries as often as they are let, for ten minutes. */
  function attack(throttle: SignInThrottle, peers: readonly string[], name: string): number {
    let tried = 0;
    for (let nowMs = 0; nowMs <= END_MS; nowMs += 500) {
      for (const peer of peers) if (throttle.tryMs({ name, peer }, nowMs) === 0) tried += 1;
    }
    return tried;
  }

  it('cannot be tried without end, from one peer or from a hundred', () => {
    expect(attack(new SignInThrottle(), ['10.0.0.1'], 'ann')).toBeLessThan(111);
    expect(attack(new SignInThrottle(), manyPeers, 'ann')).toBeLessThan(222);
  });

  it('is not in the way of somebody else whose name one peer tries all the time', () => {
    const throttle = new SignInThrottle();
    attack(throttle, ['10.0.0.1'], 'ann');
    expect(throttle.tryMs({ name: 'ann', peer: '10.0.0.1' }, END_MS)).toBeGreaterThan(0);
    expect(throttle.tryMs({ name: 'ann', peer: '10.0.0.2' }, END_MS)).toBe(0);
  });

  it('goes on where one signed in before, though a hundred peers try the name', () => {
    const throttle = new SignInThrottle();
    const home = { name: 'ann', peer: '10.9.9.9' };
    expect(throttle.tryMs(home, 0)).toBe(0);
    throttle.succeeded(home, 0);
    attack(throttle, manyPeers, 'ann');
    expect(throttle.tryMs({ name: 'ann', peer: '10.9.9.8' }, END_MS)).toBeGreaterThan(0);
    expect(throttle.tryMs(home, END_MS)).toBe(0);
  });

  it('costs nothing when it is right', () => {
    const throttle = new SignInThrottle();
    for (let nowMs = 0; nowMs < 1000; nowMs += 1) {
      expect(throttle.tryMs({ name: 'ann', peer: '10.0.0.1' }, nowMs)).toBe(0);
      throttle.succeeded({ name: 'ann', peer: '10.0.0.1' }, nowMs);
    }
  });

  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::7', '2001:db8:1:2'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
  ])('%s is of the network %s', (peer, network) => expect(networkOf(peer)).toBe(network));
});
