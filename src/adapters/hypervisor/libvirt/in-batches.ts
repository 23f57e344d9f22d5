// Many calls on one connection, some at a time: its queue holds a bounded number.

/** Well below what a connection's queue takes, and enough to keep it busy. */
const BATCH = 64;

/** Results in the order of the items. Rejects with the first error. */
export async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += BATCH) {
    results.push(...(await Promise.all(items.slice(start, start + BATCH).map(work))));
  }
  return results;
}
