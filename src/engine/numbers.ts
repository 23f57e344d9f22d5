// Numbers for hosts, images and flavors, as clients of the seeds' API call them: from 1 in order, never given to another key.
// Pure. Not here: keeping them (ledger).

import type { Numbered } from '../ports/store.ts';

/** The number that `key` is still to be given; undefined when it has one. `wanted`: what its file says, taken when it is free. */
export function nextNumber(
  numbers: readonly Numbered[],
  kind: Numbered['kind'],
  key: string,
  wanted?: number,
): Numbered | undefined {
  const ofKind = numbers.filter((number) => number.kind === kind);
  if (ofKind.some((number) => number.key === key)) return undefined;
  const free = wanted !== undefined && !ofKind.some(({ id }) => id === wanted);
  return { kind, key, id: free ? wanted : ofKind.reduce((last, { id }) => Math.max(last, id), 0) + 1 };
}

/** Numbers for all keys that have none yet, those with a wish first. */
export function missingNumbers(
  numbers: readonly Numbered[],
  kind: Numbered['kind'],
  keys: readonly { readonly key: string; readonly wanted?: number }[],
): readonly Numbered[] {
  const given: Numbered[] = [];
  const wishesFirst = [...keys].sort((a, b) => Number(a.wanted === undefined) - Number(b.wanted === undefined));
  for (const { key, wanted } of wishesFirst) {
    const next = nextNumber([...numbers, ...given], kind, key, wanted);
    if (next !== undefined) given.push(next);
  }
  return given;
}

export function numberOf(numbers: readonly Numbered[], kind: Numbered['kind'], key: string): number {
  return numbers.find((number) => number.kind === kind && number.key === key)?.id ?? 0;
}
