/** The XDR codec: bytes written out by hand, round trips, and every kind of bad bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XdrError, XdrReader, XdrWriter } from '../../src/libvirt/bytes/cursor.ts';
import {
  array,
  bool,
  charArray,
  double,
  fixedOpaque,
  hyper,
  int,
  opaque,
  optional,
  string,
  struct,
  uhyper,
  uint,
  union,
  type XdrType,
} from '../../src/libvirt/bytes/xdr.ts';
import { messages, procedures } from '../../src/libvirt/procedures.ts';
import { domain, paramsToRecord, remoteError, typedParam, uuid } from '../../src/libvirt/structs.ts';

const encode = <T>(type: XdrType<T>, value: T): Buffer => {
  const out = new XdrWriter(1_048_576);
  type.write(out, value);
  return Buffer.from(out.bytes());
};
const decode = <T>(type: XdrType<T>, bytes: Buffer): T => type.read(new XdrReader(bytes));
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

const vm = { name: 'vm1', uuid: '01234567-89ab-cdef-0123-456789abcdef', id: -1 };
const vmBytes = hex('00000003 766d3100 01234567 89abcdef 01234567 89abcdef ffffffff');

describe('bytes written out by hand', () => {
  const cases: readonly (readonly [string, XdrType<unknown>, unknown, string])[] = [
    ['int', int, -2, 'fffffffe'],
    ['uint', uint, 4_294_967_295, 'ffffffff'],
    ['hyper', hyper, -1n, 'ffffffffffffffff'],
    ['uhyper', uhyper, 2n ** 64n - 1n, 'ffffffffffffffff'],
    ['double', double, 1.5, '3ff8000000000000'],
    ['bool', bool, true, '00000001'],
    ['string without padding', string(9), 'abcd', '00000004 61626364'],
    ['string with padding', string(9), 'é', '00000002 c3a90000'],
    ['empty string', string(9), '', '00000000'],
    ['opaque', opaque(9), Uint8Array.of(1, 2, 3, 4, 5), '00000005 0102030405000000'],
    ['fixed opaque', fixedOpaque(3), Uint8Array.of(1, 2, 3), '01020300'],
    ['array', array(int, 9), [1, 2], '00000002 00000001 00000002'],
    ['nothing', optional(int), undefined, '00000000'],
    ['something', optional(int), 7, '00000001 00000007'],
    ['char array', charArray(4), 'ab', '00000061 00000062 00000000 00000000'],
    ['struct', struct({ a: int, b: uhyper }), { a: 1, b: 2n }, '00000001 0000000000000002'],
    ['union', union({ num: [1, int], str: [7, string(9)] }), { type: 'str', value: 'x' }, '00000007 00000001 78000000'],
    ['uuid', uuid, vm.uuid, '0123456789abcdef0123456789abcdef'],
    ['domain', domain, vm, vmBytes.toString('hex')],
    [
      'typed param',
      typedParam,
      { field: 'cpu', value: { type: 'ullong', value: 9n } },
      '00000003 63707500 00000004 0000000000000009',
    ],
  ];
  it.each(cases)('%s', (_name, type, value, bytes) => {
    expect(encode(type, value)).toEqual(hex(bytes));
    expect(decode(type, hex(bytes))).toEqual(value);
  });

  it('takes a uuid undashed and in upper case, and gives it dashed in lower case', () => {
    expect(decode(uuid, encode(uuid, '0123456789ABCDEF0123456789ABCDEF'))).toBe(vm.uuid);
  });

  it('reads a remote error whose every pointer is null, and one whose every pointer is set', () => {
    const none = hex(
      '0000002a 0000000a 00000000 00000002 00000000 00000000 00000000 00000000 ffffffff ffffffff 00000000',
    );
    expect(decode(remoteError, none)).toMatchObject({ code: 42, domain: 10, message: undefined, level: 2 });
    const text = '00000001 00000001 78000000';
    const all = Buffer.concat([
      hex(`0000002a 0000000a ${text} 00000002 00000001`),
      vmBytes,
      hex(`${text} ${text} ${text} 00000001 00000002 00000001 00000001 6e000000 0123456789abcdef0123456789abcdef`),
    ]);
    expect(decode(remoteError, all)).toMatchObject({ message: 'x', dom: vm, str3: 'x', int2: 2, net: { name: 'n' } });
  });

  it('reads NODE_GET_INFO, whose model is 32 chars of four bytes, from 160 bytes', () => {
    const model = Buffer.alloc(128);
    for (const [index, letter] of [...'x86_64'].entries()) model.writeInt32BE(letter.charCodeAt(0), index * 4);
    const bytes = Buffer.concat([model, hex('0000000000000400 00000002 00000960 00000001 00000001 00000002 00000001')]);
    expect(bytes.length).toBe(160);
    const { ret } = procedures.NODE_GET_INFO;
    expect(decode(ret, bytes)).toMatchObject({ model: 'x86_64', memory: 1024n, cpus: 2, mhz: 2400, threads: 1 });
  });
});

describe('round trips', () => {
  const round = <T>(type: XdrType<T>, values: fc.Arbitrary<T>): void => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decode(type, encode(type, value))).toEqual(value);
      }),
    );
  };
  const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !value.includes('\0'));
  it('keep every number', () => {
    round(int, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
    round(uint, fc.nat({ max: 2 ** 32 - 1 }));
    round(hyper, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
    round(uhyper, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
    round(double, fc.double());
  });
  it('keep text, bytes and what is made of them', () => {
    round(string(4_000), text);
    round(opaque(64), fc.uint8Array({ maxLength: 64 }));
    round(
      struct({ name: string(4_000), maybe: optional(array(hyper, 9)), raw: fixedOpaque(5) }),
      fc.record({
        name: text,
        maybe: fc.option(fc.array(fc.bigInt({ min: -9n, max: 9n }), { maxLength: 9 }), { nil: undefined }),
        raw: fc.uint8Array({ minLength: 5, maxLength: 5 }),
      }),
    );
  });
  it('of every typed parameter give its plain value by name', () => {
    const params = [
      { field: 'a', value: { type: 'boolean' as const, value: true } },
      { field: 'b', value: { type: 'string' as const, value: 's' } },
      { field: 'c', value: { type: 'llong' as const, value: -5n } },
      { field: 'd', value: { type: 'double' as const, value: 0.5 } },
    ];
    const type = array(typedParam, 9);
    expect(paramsToRecord(decode(type, encode(type, params)))).toEqual({ a: true, b: 's', c: -5n, d: 0.5 });
  });
});

describe('bad values are refused when writing', () => {
  const bad: readonly (readonly [string, XdrType<unknown>, unknown])[] = [
    ['too large an int', int, 2 ** 31],
    ['a fraction', int, 1.5],
    ['a negative uint', uint, -1],
    ['NaN', uint, Number.NaN],
    ['too large a uhyper', uhyper, 2n ** 64n],
    ['a number for a hyper', hyper, 1],
    ['too long a text', string(2), 'abc'],
    ['a text too long in bytes only', string(3), 'éé'],
    ['a NUL', string(9), 'a\0b'],
    ['no text', string(9), undefined],
    ['too long an opaque', opaque(1), new Uint8Array(2)],
    ['a wrong fixed length', fixedOpaque(2), new Uint8Array(3)],
    ['too many items', array(int, 1), [1, 2]],
    ['no uuid', uuid, '0123'],
    ['an unknown arm', union({ a: [1, int] }), { type: 'b', value: 1 }],
  ];
  it.each(bad)('%s', (_name, type, value) => {
    expect(() => encode(type, value)).toThrow(XdrError);
  });
  it('a message beyond its limit', () => {
    expect(() => new XdrWriter(10).opaque(new Uint8Array(12))).toThrow(XdrError);
  });
});

describe('bad bytes are refused when reading', () => {
  const bad: readonly (readonly [string, XdrType<unknown>, string])[] = [
    ['a string length beyond the limit', string(4), '00000005 6162636465000000'],
    ['a string length bomb', string(0xffff_ffff), 'ffffffff 61'],
    ['an array count beyond the limit', array(int, 1), '00000002 00000001 00000002'],
    ['an array count that cannot fit', array(uuid, 0xffff_ffff), '10000000 00000000'],
    ['an opaque length beyond the bytes', opaque(100), '00000009 00'],
    ['a pointer flag of 2', optional(int), '00000002 00000001'],
    ['an unknown arm', union({ a: [1, int] }), '00000009 00000001'],
    ['missing padding', string(9), '00000001 61'],
  ];
  it.each(bad)('%s', (_name, type, bytes) => {
    expect(() => decode(type, hex(bytes))).toThrow(XdrError);
  });

  it('an array count that cannot fit, before the first item is read', () => {
    expect(() => decode(array(int, 99), hex('00000002 00000001'))).toThrow('array of 2 items cannot fit');
  });

  it('a value cut at any byte', () => {
    const type = struct({ dom: domain, params: array(typedParam, 9), err: optional(remoteError) });
    const whole = encode(type, {
      dom: vm,
      params: [{ field: 'f', value: { type: 'uint', value: 1 } }],
      err: undefined,
    });
    for (let length = 0; length < whole.length; length += 1) {
      expect(() => decode(type, whole.subarray(0, length))).toThrow(XdrError);
    }
    expect(decode(type, whole).dom).toEqual(vm);
  });

  it('any bytes at all, given to any result or message: a value or an XdrError, nothing else', () => {
    const types = [
      ...Object.values(procedures).map(({ ret }) => ret),
      ...Object.values(messages).map(({ body }) => body),
      remoteError,
    ] as XdrType<unknown>[];
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 400 }), (type, bytes) => {
        try {
          decode(type, Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(XdrError);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
