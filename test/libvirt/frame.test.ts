/** Framing: however the bytes are cut, the same packets come out; a bad length ends it with a typed error. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeHeader,
  encodePacket,
  FrameDecoder,
  FrameError,
  HEADER_BYTES,
  MAX_PACKET_BYTES,
  MAX_PAYLOAD_BYTES,
  type Packet,
} from '../../src/libvirt/frame.ts';
import { text } from '../../src/libvirt/structs.ts';

const header = { program: 0x2000_8086, version: 1, procedure: 66, type: 1, serial: 5, status: 0 };
const hello = encodePacket(header, text, 'hello');
const empty = encodeHeader({ ...header, serial: 6 });
const negative = encodePacket({ ...header, procedure: -1, serial: 0xffff_ffff }, text, 'x'.repeat(100));
const three = Buffer.concat([hello, empty, negative]);

const collect = (chunks: Iterable<Buffer>): Packet[] => {
  const decoder = new FrameDecoder();
  const packets: Packet[] = [];
  for (const chunk of chunks) decoder.push(chunk, (packet) => packets.push(packet));
  expect(decoder.heldBytes).toBe(0);
  return packets;
};
const plain = (packets: readonly Packet[]) =>
  packets.map(({ payload, ...rest }) => ({ ...rest, payload: payload.toString('hex') }));
const expected = plain(collect([three]));

describe('packets', () => {
  it('have the layout of the protocol', () => {
    const bytes = '00000028 20008086 00000001 00000042 00000001 00000005 00000000 00000005 68656c6c 6f000000';
    expect(hello).toEqual(Buffer.from(bytes.replaceAll(' ', ''), 'hex'));
    expect(empty.length).toBe(HEADER_BYTES);
  });

  it('come out of one chunk', () => {
    expect(expected.map(({ serial, procedure }) => [serial, procedure])).toEqual([
      [5, 66],
      [6, 66],
      [0xffff_ffff, -1],
    ]);
  });

  it('come out the same when split at every byte', () => {
    for (let at = 0; at <= three.length; at += 1) {
      expect(plain(collect([three.subarray(0, at), three.subarray(at)]))).toEqual(expected);
    }
  });

  it('come out the same one byte at a time', () => {
    expect(plain(collect(Array.from(three, (byte) => Buffer.of(byte))))).toEqual(expected);
  });

  it('come out the same however they are split', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(three.length), { maxLength: 8 }), (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), three.length];
        const chunks = ends.map((end, index) => three.subarray(ends[index - 1] ?? 0, end));
        expect(plain(collect(chunks))).toEqual(expected);
      }),
    );
  });

  it('may be as large as the protocol allows', () => {
    const big = Buffer.concat([encodeHeader(header, MAX_PAYLOAD_BYTES), Buffer.alloc(MAX_PAYLOAD_BYTES)]);
    expect(big.length).toBe(MAX_PACKET_BYTES);
    const packets = collect([big.subarray(0, 1_000_000), big.subarray(1_000_000)]);
    expect(packets.map(({ payload }) => payload.length)).toEqual([MAX_PAYLOAD_BYTES]);
    expect(() => encodeHeader(header, MAX_PAYLOAD_BYTES + 1)).toThrow(FrameError);
  });
});

describe('a bad length', () => {
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const bombs = [0, 1, HEADER_BYTES - 1, MAX_PACKET_BYTES + 1, 0x7fff_ffff, 0xffff_ffff];

  it.each(bombs)('of %d is an error as soon as it is known, and for good', (length) => {
    for (const chunks of [[word(length)], Array.from(word(length), (byte) => Buffer.of(byte))]) {
      const decoder = new FrameDecoder();
      const feed = (): void => {
        for (const chunk of chunks) decoder.push(chunk, () => expect.unreachable());
      };
      expect(feed).toThrow(FrameError);
      expect(() => decoder.push(hello, () => expect.unreachable())).toThrow(FrameError);
    }
  });

  it('comes after the packets before it', () => {
    const seen: number[] = [];
    const push = (): void =>
      new FrameDecoder().push(Buffer.concat([three, word(3)]), ({ serial }) => seen.push(serial));
    expect(push).toThrow(FrameError);
    expect(seen).toEqual([5, 6, 0xffff_ffff]);
  });

  it('that is allowed but not kept reserves no memory for what does not come', () => {
    const decoder = new FrameDecoder();
    const before = process.memoryUsage().arrayBuffers;
    decoder.push(word(MAX_PACKET_BYTES), () => expect.unreachable());
    decoder.push(Buffer.alloc(1_000), () => expect.unreachable());
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_048_576);
    expect(decoder.heldBytes).toBe(1_004);
  });
});
