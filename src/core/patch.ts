// What changed from one JSON value to the next, as a JSON value itself, small where thousands of alike things change alike.
// Not here: what the values mean (recording).

/**
 * How to make the next value of the one before:
 * - a number: add it (whole numbers only); `[value]`: it is this now;
 * - an object: patches by key (a key that was not there comes last); `['-', keys, patches]`: these keys go, then the same;
 * - `['a', packed]`: one patch per element of an array, or per value of an object in the order of its keys;
 * - `['s', runs, packed]`: elements of an array came, went or moved: it is put together from runs first. A run is `[from, count]` of the
 *   elements before, or `{ first, rest }`: new ones, the rest as packed patches each on the element before it.
 *
 * Packed patches are `['=', count, patch]` (all the same), `['t', count, {key: packed}]` (by column), `['i', count, places, packed]` (only some),
 * or `['x', patches]`, with null for no change.
 */
export type Patch = number | readonly unknown[] | { readonly [key: string]: Patch };

type Packed = readonly unknown[];
type Json = { readonly [key: string]: unknown };

/** Objects with at least so many values that are all objects or all numbers are patched like arrays. */
const TABLE_SIZE_MIN = 4;

/** Undefined: they are the same. Values are taken as JSON takes them: members that are undefined are not there. */
export function patchBetween(before: unknown, after: unknown): Patch | undefined {
  if (before === after) return undefined;
  if (typeof before === 'number' && typeof after === 'number') return numberPatch(before, after);
  if (typeof before !== 'object' || typeof after !== 'object' || before === null || after === null) return [after];
  if (Array.isArray(before)) return Array.isArray(after) ? arrayPatch(before, after) : [after];
  return Array.isArray(after) ? [after] : objectPatch(before as Json, after as Json);
}

function numberPatch(before: number, after: number): Patch | undefined {
  if (Number.isNaN(before) && Number.isNaN(after)) return undefined;
  const exact = Number.isSafeInteger(before) && Number.isSafeInteger(after) && Number.isSafeInteger(after - before);
  return exact ? after - before : [after];
}

function keysOf(value: Json): readonly string[] {
  const keys = Object.keys(value);
  return keys.some((key) => value[key] === undefined) ? keys.filter((key) => value[key] !== undefined) : keys;
}

function sameOrder(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((key, index) => key === b[index]);
}

function objectPatch(before: Json, after: Json): Patch | undefined {
  const keys = keysOf(before);
  const wanted = keysOf(after);
  if (sameOrder(keys, wanted)) {
    if (keys.length >= TABLE_SIZE_MIN && isTable(after, wanted)) {
      const packed = pack(keys.map((key) => patchBetween(before[key], after[key])));
      return packed && ['a', packed];
    }
    const changes: Record<string, Patch> = {};
    let changed = false;
    for (const key of keys) {
      const patch = patchBetween(before[key], after[key]);
      if (patch === undefined) continue;
      // The one key that cannot be assigned.
      if (key === '__proto__') return [after];
      changes[key] = patch;
      changed = true;
    }
    return changed ? changes : undefined;
  }
  const known = new Set(keys);
  const kept = new Set(wanted);
  const gone = keys.filter((key) => !kept.has(key));
  const added = wanted.filter((key) => !known.has(key));
  // What a patch cannot bring about: another order of the keys.
  const reached = [...keys.filter((key) => kept.has(key)), ...added];
  if (!sameOrder(reached, wanted) || known.has('__proto__') || kept.has('__proto__')) return [after];
  const changes: Record<string, Patch> = {};
  for (const key of wanted) {
    const patch = known.has(key) ? patchBetween(before[key], after[key]) : ([after[key]] as const);
    if (patch !== undefined) changes[key] = patch;
  }
  // Among columns the order of several new keys would be lost.
  return gone.length > 0 || added.length > 1 ? ['-', gone, changes] : changes;
}

function isTable(value: Json, keys: readonly string[]): boolean {
  const kind = typeof value[keys[0] ?? ''];
  return (kind === 'object' || kind === 'number') && keys.every((key) => typeof value[key] === kind);
}

function arrayPatch(before: readonly unknown[], after: readonly unknown[]): Patch | undefined {
  if (after.length === 0) return before.length === 0 ? undefined : [[]];
  if (before.length === after.length && after.every((one, index) => alike(before[index], one))) {
    const packed = pack(after.map((one, index) => patchBetween(before[index], one)));
    return packed && ['a', packed];
  }
  const { runs, base } = runsOf(before, after);
  return ['s', runs, pack(after.map((one, index) => patchBetween(base[index], one))) ?? null];
}

/** Whether one may be the other's successor: by what names them. */
function alike(before: unknown, after: unknown): boolean {
  return before === after || nameOf(before) === nameOf(after);
}

const NAMES = ['uuid', 'name', 'group', 'rule', 'limit', 'step', 'id'] as const;

function nameOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  const record = (value as Json)['record'];
  const named = (typeof record === 'object' && record !== null ? record : value) as Json;
  for (const key of NAMES) if (named[key] !== undefined) return named[key];
  return undefined;
}

function runsOf(before: readonly unknown[], after: readonly unknown[]): { runs: unknown[]; base: unknown[] } {
  const places = new Map<unknown, number>();
  before.forEach((one, index) => {
    places.set(nameOf(one) ?? one, index);
  });
  const runs: unknown[] = [];
  const base: unknown[] = [];
  let run: [number, number] | undefined;
  let fresh: { first: unknown; more: (Patch | undefined)[]; last: unknown } | undefined;
  const close = () => {
    if (fresh !== undefined)
      runs.push({ first: fresh.first, rest: fresh.more.length === 0 ? null : packAll(fresh.more) });
    fresh = undefined;
  };
  for (const one of after) {
    const place = places.get(nameOf(one) ?? one);
    if (place === undefined) {
      run = undefined;
      if (fresh === undefined) fresh = { first: one, more: [], last: one };
      else {
        fresh.more.push(patchBetween(fresh.last, one));
        fresh.last = one;
      }
      base.push(one);
      continue;
    }
    close();
    if (run !== undefined && place === run[0] + run[1]) run[1] += 1;
    else {
      run = [place, 1];
      runs.push(run);
    }
    base.push(before[place]);
  }
  close();
  return { runs, base };
}

function pack(patches: readonly (Patch | undefined)[]): Packed | undefined {
  const changed: number[] = [];
  patches.forEach((patch, index) => {
    if (patch !== undefined) changed.push(index);
  });
  if (changed.length === 0) return undefined;
  if (changed.length * 3 > patches.length) return packAll(patches);
  return ['i', patches.length, changed, packAll(changed.map((index) => patches[index]))];
}

function packAll(patches: readonly (Patch | undefined)[]): Packed {
  const [first] = patches;
  if (typeof first === 'number' && patches.every((patch) => patch === first)) return ['=', patches.length, first];
  if (patches.every(isColumns)) {
    const keys = new Set<string>();
    for (const patch of patches) if (patch !== undefined) for (const key of Object.keys(patch)) keys.add(key);
    const columns: Record<string, Packed> = {};
    for (const key of keys) {
      const column = pack(patches.map((patch) => patch?.[key]));
      if (column !== undefined) columns[key] = column;
    }
    return ['t', patches.length, columns];
  }
  return ['x', patches.map((patch) => patch ?? null)];
}

function isColumns(patch: Patch | undefined): patch is { readonly [key: string]: Patch } | undefined {
  return patch === undefined || (typeof patch === 'object' && !Array.isArray(patch));
}

/** What `patch` makes of `before`. Throws `TypeError` on what `patchBetween` never made of it. */
export function patched(before: unknown, patch: unknown): unknown {
  if (typeof patch === 'number') {
    if (typeof before !== 'number') throw new TypeError('a number is added to what is no number');
    return before + patch;
  }
  if (Array.isArray(patch)) return patch.length === 1 ? patch[0] : patchedBy(before, patch);
  return patchedMembers(asObject(before), asObject(patch));
}

function patchedBy(before: unknown, patch: readonly unknown[]): unknown {
  const [kind, second, third] = patch;
  if (kind === '-') {
    const gone = new Set(asArray(second));
    const kept = Object.fromEntries(Object.entries(asObject(before)).filter(([key]) => !gone.has(key)));
    return patchedMembers(kept, asObject(third));
  }
  if (kind === 'a') {
    if (Array.isArray(before)) return patchedAll(before, second);
    const object = asObject(before);
    const keys = keysOf(object);
    const values = patchedAll(
      keys.map((key) => object[key]),
      second,
    );
    return Object.fromEntries(keys.map((key, index) => [key, values[index]]));
  }
  if (kind !== 's') throw new TypeError('a patch of an unknown kind');
  const base = assembled(asArray(before), asArray(second));
  return third === null ? base : patchedAll(base, third);
}

function patchedMembers(before: Json, patch: Json): Json {
  const after: Record<string, unknown> = { ...before };
  for (const key of Object.keys(patch)) after[key] = patched(before[key], patch[key]);
  return after;
}

/** As `unpacked` and then one by one would, without making the rows of columns first. */
function patchedAll(values: readonly unknown[], packed: unknown): unknown[] {
  const [kind, second, third, fourth] = asArray(packed);
  const count = kind === 'x' ? asArray(second).length : asCount(second);
  if (count !== values.length) throw new TypeError('a patch for another number of elements');
  if (kind === 't') return patchedColumns(values, asObject(third));
  if (kind === '=') return values.map((value) => patched(value, third));
  if (kind === 'x') {
    const patches = asArray(second);
    return values.map((value, index) => (patches[index] === null ? value : patched(value, patches[index])));
  }
  if (kind !== 'i') throw new TypeError('packed patches of an unknown kind');
  const after = [...values];
  const places = asArray(third).map(asCount);
  const some = patchedAll(
    places.map((place) => values[place]),
    fourth,
  );
  places.forEach((place, index) => {
    if (place >= count) throw new TypeError('a patch for an element that is not there');
    after[place] = some[index];
  });
  return after;
}

function patchedColumns(values: readonly unknown[], columns: Json): unknown[] {
  const after: (Record<string, unknown> | undefined)[] = new Array(values.length);
  for (const [key, column] of Object.entries(columns)) {
    const before = values.map((value) => asObject(value)[key]);
    patchedAll(before, column).forEach((one, index) => {
      if (one === before[index]) return;
      const row = after[index] ?? { ...asObject(values[index]) };
      row[key] = one;
      after[index] = row;
    });
  }
  return values.map((value, index) => after[index] ?? value);
}

function assembled(before: readonly unknown[], runs: readonly unknown[]): unknown[] {
  const base: unknown[] = [];
  for (const run of runs) {
    if (Array.isArray(run)) {
      const [from, count] = run;
      const kept = before.slice(from, from + count);
      if (kept.length !== count) throw new TypeError('a patch keeps what was not there');
      for (const one of kept) base.push(one);
      continue;
    }
    const { first, rest } = asObject(run);
    base.push(first);
    for (const patch of rest === null ? [] : unpacked(asArray(rest))) {
      base.push(patch === null ? base.at(-1) : patched(base.at(-1), patch));
    }
  }
  return base;
}

/** One patch each; null: no change. */
function unpacked(packed: Packed): unknown[] {
  const [kind, second, third, fourth] = packed;
  if (kind === 'x') return [...asArray(second)];
  const all: unknown[] = new Array(asCount(second)).fill(null);
  if (kind === '=') return all.fill(third);
  if (kind === 'i') {
    const places = asArray(third);
    unpacked(asArray(fourth)).forEach((patch, index) => {
      all[asCount(places[index])] = patch;
    });
    return all;
  }
  if (kind !== 't') throw new TypeError('packed patches of an unknown kind');
  const rows: (Record<string, unknown> | null)[] = all.map(() => null);
  for (const [key, column] of Object.entries(asObject(third))) {
    unpacked(asArray(column)).forEach((patch, index) => {
      if (patch === null) return;
      const row = rows[index] ?? {};
      row[key] = patch;
      rows[index] = row;
    });
  }
  return rows;
}

function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError('a patch without its list');
  return value;
}

function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('a patch of no object');
  return value as Json;
}

/** Whoever wrote the file: no list of billions is made. */
const COUNT_MAX = 10_000_000;

function asCount(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > COUNT_MAX) {
    throw new TypeError('a patch with a count that is none');
  }
  return value;
}
