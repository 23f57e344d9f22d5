import { describe, expect, it } from 'vitest';
import { SingleFlight } from '../../../src/adapters/hypervisor/embedded/single-flight.ts';

/** Work that ends when the test says so. */
function heldWork() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const signals: AbortSignal[] = [];
  const work = (signal: AbortSignal): Promise<string> => {
    signals.push(signal);
    return promise;
  };
  return { work, signals, resolve, reject };
}

describe('single flight', () => {
  it('does the work once for all who ask while it is done, and anew for who comes later', async () => {
    const flights = new SingleFlight<string>();
    const first = heldWork();
    const asked = [1, 2, 3].map(() => flights.run('a', undefined, first.work));
    const other = flights.run('b', undefined, async () => 'other');
    first.resolve('done');
    expect(await Promise.all(asked)).toEqual(['done', 'done', 'done']);
    expect(await other).toBe('other');
    expect(first.signals).toHaveLength(1);
    expect(await flights.run('a', undefined, async () => 'again')).toBe('again');
  });

  it('tells everybody of the failure, and the next one tries again', async () => {
    const flights = new SingleFlight<string>();
    const held = heldWork();
    const asked = Promise.allSettled([flights.run('a', undefined, held.work), flights.run('a', undefined, held.work)]);
    held.reject(new Error('no disk'));
    expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await flights.run('a', undefined, async () => 'again')).toBe('again');
  });

  it('lets one who gives up go at once, and aborts the work only with the last one', async () => {
    const flights = new SingleFlight<string>();
    const held = heldWork();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = flights.run('a', one.signal, held.work);
    const second = flights.run('a', two.signal, held.work);
    one.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    expect(held.signals[0]?.aborted).toBe(false);
    two.abort(new Error('enough, too'));
    await expect(second).rejects.toThrow('enough, too');
    expect(held.signals[0]?.aborted).toBe(true);
    expect(await flights.run('a', undefined, async () => 'again')).toBe('again');
    await expect(flights.run('a', AbortSignal.abort(new Error('before')), held.work)).rejects.toThrow('before');
  });
});
