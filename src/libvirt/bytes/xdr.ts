/**
 * XDR (RFC 4506) types as values: each one reads and writes its kind of value, and its TypeScript type follows from it.
 * Not a serializer of arbitrary objects, and free of anything libvirt.
 */
import { XdrError, type XdrReader, type XdrWriter } from './cursor.ts';

/**
 * One XDR type. `read` and `write` throw {@link XdrError} for bytes or values outside the type.
 * `minBytes` is the least it can occupy, so that a lying array count is refused before anything is allocated.
 */
export interface XdrType<T> {
  readonly minBytes: number;
  write(out: XdrWriter, value: T): void;
  read(input: XdrReader): T;
}

/** The TypeScript type of the values of an XDR type. */
export type TypeOf<X> = X extends XdrType<infer T> ? T : never;

/** The members of a struct, in wire order. */
export type Fields = Readonly<Record<string, XdrType<unknown>>>;

/** The object a set of fields describes. */
export type ObjectOf<F extends Fields> = { readonly [K in keyof F]: TypeOf<F[K]> };

const integer = (name: string, min: number, max: number, value: number): number => {
  if (!Number.isInteger(value) || value < min || value > max) throw new XdrError(`${value} is not a ${name}`);
  return value;
};

const bigInteger = (name: string, min: bigint, max: bigint, value: bigint): bigint => {
  if (typeof value !== 'bigint' || value < min || value > max) throw new XdrError(`${value} is not a ${name}`);
  return value;
};

/** Signed 32 bit. Also how `char`, `short` and enums travel. */
export const int: XdrType<number> = {
  minBytes: 4,
  write: (out, value) => out.int(integer('32-bit int', -0x8000_0000, 0x7fff_ffff, value)),
  read: (input) => input.int(),
};

/** Unsigned 32 bit. Also how `uchar` and `ushort` travel. */
export const uint: XdrType<number> = {
  minBytes: 4,
  write: (out, value) => out.uint(integer('32-bit unsigned int', 0, 0xffff_ffff, value)),
  read: (input) => input.uint(),
};

/** Signed 64 bit, always a bigint. */
export const hyper: XdrType<bigint> = {
  minBytes: 8,
  write: (out, value) => out.hyper(bigInteger('64-bit int', -(2n ** 63n), 2n ** 63n - 1n, value)),
  read: (input) => input.hyper(),
};

/** Unsigned 64 bit, always a bigint (libvirt sends 2^64-1 for "unlimited"). */
export const uhyper: XdrType<bigint> = {
  minBytes: 8,
  write: (out, value) => out.uhyper(bigInteger('64-bit unsigned int', 0n, 2n ** 64n - 1n, value)),
  read: (input) => input.uhyper(),
};

/** IEEE 754 double. */
export const double: XdrType<number> = {
  minBytes: 8,
  write: (out, value) => out.double(value),
  read: (input) => input.double(),
};

/** An int of 0 or not 0. */
export const bool: XdrType<boolean> = {
  minBytes: 4,
  write: (out, value) => out.int(value ? 1 : 0),
  read: (input) => input.int() !== 0,
};

const lengthWithin = (what: string, length: number, max: number): number => {
  if (length > max) throw new XdrError(`${what} of ${length} is over the limit of ${max}`);
  return length;
};

/** UTF-8 text of at most `maxBytes`. A NUL is refused when writing: the daemon's C strings would end there. */
export const string = (maxBytes: number): XdrType<string> => ({
  minBytes: 4,
  write: (out, value) => {
    if (typeof value !== 'string') throw new XdrError(`${typeof value} is not a string`);
    if (value.includes('\0')) throw new XdrError('a string must not contain a NUL character');
    out.text(value, lengthWithin('string length', Buffer.byteLength(value), maxBytes));
  },
  read: (input) => input.text(lengthWithin('string length', input.uint(), maxBytes)),
});

/** Bytes of any length up to `maxBytes`. What is read is a copy. */
export const opaque = (maxBytes: number): XdrType<Uint8Array> => ({
  minBytes: 4,
  write: (out, value) => {
    out.uint(lengthWithin('opaque length', value.length, maxBytes));
    out.opaque(value);
  },
  read: (input) => Uint8Array.from(input.opaque(lengthWithin('opaque length', input.uint(), maxBytes))),
});

/** A counted array of at most `maxItems`. */
export const array = <T>(item: XdrType<T>, maxItems: number): XdrType<readonly T[]> => ({
  minBytes: 4,
  write: (out, value) => {
    out.uint(lengthWithin('array count', value.length, maxItems));
    for (const element of value) item.write(out, element);
  },
  read: (input) => {
    const count = lengthWithin('array count', input.uint(), maxItems);
    if (count * item.minBytes > input.remaining) {
      throw new XdrError(`array of ${count} items cannot fit into the ${input.remaining} bytes that are left`);
    }
    const items: T[] = [];
    for (let index = 0; index < count; index += 1) items.push(item.read(input));
    return items;
  },
});

/** A value or nothing: XDR's pointer. */
export const optional = <T>(inner: XdrType<T>): XdrType<T | undefined> => ({
  minBytes: 4,
  write: (out, value) => {
    out.uint(value === undefined ? 0 : 1);
    if (value !== undefined) inner.write(out, value);
  },
  read: (input) => {
    const present = input.uint();
    if (present > 1) throw new XdrError(`${present} is not an XDR pointer flag`);
    return present === 1 ? inner.read(input) : undefined;
  },
});

/** Members one after another. */
export const struct = <const F extends Fields>(fields: F): XdrType<ObjectOf<F>> => {
  const members = Object.entries(fields);
  return {
    minBytes: members.reduce((sum, [, type]) => sum + type.minBytes, 0),
    write: (out, value) => {
      for (const [name, type] of members) type.write(out, value[name]);
    },
    read: (input) => {
      const result: Record<string, unknown> = {};
      for (const [name, type] of members) result[name] = type.read(input);
      return result as ObjectOf<F>;
    },
  };
};

/** `length` characters, each in four bytes: how XDR spells C's `char name[length]`. Text up to the first NUL. */
export const charArray = (length: number): XdrType<string> => ({
  minBytes: length * 4,
  write: (out, value) => {
    const bytes = Buffer.from(value, 'latin1');
    lengthWithin('text length', bytes.length, length - 1);
    for (let index = 0; index < length; index += 1) out.int(bytes[index] ?? 0);
  },
  read: (input) => {
    const bytes = Buffer.alloc(length);
    for (let index = 0; index < length; index += 1) bytes[index] = input.int() & 0xff;
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end === -1 ? length : end);
  },
});

/** Another representation of the same bytes: `decode` after reading, `encode` before writing. */
export const mapped = <Wire, T>(
  wire: XdrType<Wire>,
  decode: (value: Wire) => T,
  encode: (value: T) => Wire,
): XdrType<T> => ({
  minBytes: wire.minBytes,
  write: (out, value) => wire.write(out, encode(value)),
  read: (input) => decode(wire.read(input)),
});

/** `length` raw bytes without a length in front. What is read is a copy. */
export const fixedOpaque = (length: number): XdrType<Uint8Array> => ({
  minBytes: length + ((4 - (length & 3)) & 3),
  write: (out, value) => {
    if (value.length !== length) throw new XdrError(`${value.length} bytes where ${length} are needed`);
    out.opaque(value);
  },
  read: (input) => Uint8Array.from(input.opaque(length)),
});

/** The arms of a union: the name an arm has in TypeScript, its number on the wire and the type of its value. */
export type Arms = Readonly<Record<string, readonly [discriminant: number, type: XdrType<unknown>]>>;

/** What a union holds: the arm's name and its value. */
export type UnionOf<A extends Arms> = {
  readonly [K in keyof A & string]: { readonly type: K; readonly value: TypeOf<A[K][1]> };
}[keyof A & string];

/** A union told apart by a leading int. */
export const union = <const A extends Arms>(arms: A): XdrType<UnionOf<A>> => {
  const byNumber = new Map(Object.entries(arms).map(([type, [number, value]]) => [number, { type, value }]));
  return {
    minBytes: 8,
    write: (out, { type, value }) => {
      const arm = arms[type];
      if (arm === undefined) throw new XdrError(`a union has no arm '${type}'`);
      out.int(arm[0]);
      arm[1].write(out, value);
    },
    read: (input) => {
      const number = input.int();
      const arm = byNumber.get(number);
      if (arm === undefined) throw new XdrError(`a union has no arm ${number}`);
      return { type: arm.type, value: arm.value.read(input) } as UnionOf<A>;
    },
  };
};
