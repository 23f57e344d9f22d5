// What zod calls optional may be there as undefined; what the engine calls optional is there or not. This is the step between.

/** As `T`, with every member that is undefined left out. */
export type Present<T> = T extends readonly (infer I)[]
  ? readonly Present<I>[]
  : T extends object
    ? { [K in keyof T]: Present<Exclude<T[K], undefined>> }
    : T;

/** Only the outermost members. */
export function withoutAbsent<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** All the way down. JSON has no undefined, so nothing is lost. */
export function known<T>(value: T): Present<T> {
  if (Array.isArray(value)) return value.map(known) as Present<T>;
  if (typeof value !== 'object' || value === null) return value as Present<T>;
  const entries = Object.entries(value).flatMap(([key, member]) =>
    member === undefined ? [] : [[key, known(member)]],
  );
  return Object.fromEntries(entries) as Present<T>;
}
