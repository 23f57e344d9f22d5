/**
 * Packets of libvirt's RPC: cutting a byte stream into them and building them. No I/O, no knowledge of procedures.
 */

import { XdrWriter } from './bytes/cursor.ts';
import type { XdrType } from './bytes/xdr.ts';

/** Packet type. The two `withFds` kinds need ancillary data, which no transport here carries. */
export const PacketType = {
  call: 0,
  reply: 1,
  message: 2,
  stream: 3,
  callWithFds: 4,
  replyWithFds: 5,
  streamHole: 6,
} as const;

/** Packet status; `continue` is for streams only. */
export const PacketStatus = { ok: 0, error: 1, continue: 2 } as const;

/** Length word and the six header words. */
export const HEADER_BYTES = 28;
/** 32 MiB and the length word, which counts itself. */
export const MAX_PACKET_BYTES = 33_554_432 + 4;
export const MAX_PAYLOAD_BYTES = MAX_PACKET_BYTES - HEADER_BYTES;

/** The fixed words in front of a payload, without the length. */
export interface PacketHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
}

/** One packet; `payload` is a view into the received bytes. */
export interface Packet extends PacketHeader {
  readonly payload: Buffer;
}

/** The stream of packets cannot be followed any further. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

const decodePacket = (bytes: Buffer): Packet => ({
  program: bytes.readUInt32BE(4),
  version: bytes.readUInt32BE(8),
  procedure: bytes.readInt32BE(12),
  type: bytes.readUInt32BE(16),
  serial: bytes.readUInt32BE(20),
  status: bytes.readUInt32BE(24),
  payload: bytes.subarray(HEADER_BYTES),
});

/**
 * Cuts chunks into packets. Holds at most one unfinished packet, in a buffer that grows with the bytes received, not
 * with the length announced: neither a length bomb nor a peer that sends byte by byte makes it large or slow.
 * After a {@link FrameError} it is dead and throws it again.
 */
export class FrameDecoder {
  #partial: Buffer = Buffer.alloc(0);
  #held = 0;
  #failure: FrameError | undefined;

  /** Bytes of an unfinished packet. */
  get heldBytes(): number {
    return this.#held;
  }

  /**
   * Hands every packet that is now complete to `onPacket`, in order.
   * @throws FrameError when a length is impossible; packets before it have been handed over.
   */
  push(chunk: Buffer, onPacket: (packet: Packet) => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#held > 0) {
        offset = this.#fill(chunk, offset, onPacket);
        continue;
      }
      const available = chunk.length - offset;
      const length = available >= 4 ? this.#checked(chunk.readUInt32BE(offset)) : undefined;
      if (length === undefined || available < length) {
        this.#hold(chunk, offset, chunk.length);
        return;
      }
      onPacket(decodePacket(chunk.subarray(offset, offset + length)));
      offset += length;
    }
  }

  /** Adds to the held packet as much of the chunk as belongs to it; returns where the rest begins. */
  #fill(chunk: Buffer, offset: number, onPacket: (packet: Packet) => void): number {
    const wanted = this.#held < 4 ? 4 : this.#partial.readUInt32BE(0);
    const end = Math.min(chunk.length, offset + wanted - this.#held);
    this.#hold(chunk, offset, end);
    if (this.#held === 4) this.#checked(this.#partial.readUInt32BE(0));
    else if (this.#held > 4 && this.#held === wanted) {
      const bytes = this.#partial.subarray(0, wanted);
      this.#partial = Buffer.alloc(0);
      this.#held = 0;
      onPacket(decodePacket(bytes));
    }
    return end;
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    const needed = this.#held + end - start;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(HEADER_BYTES, needed, Math.min(needed * 2, MAX_PACKET_BYTES)));
      this.#partial.copy(grown, 0, 0, this.#held);
      this.#partial = grown;
    }
    chunk.copy(this.#partial, this.#held, start, end);
    this.#held = needed;
  }

  #checked(length: number): number {
    if (length >= HEADER_BYTES && length <= MAX_PACKET_BYTES) return length;
    this.#failure = new FrameError(`packet length ${length} is outside ${HEADER_BYTES} to ${MAX_PACKET_BYTES}`);
    throw this.#failure;
  }
}

const writeHeader = (out: XdrWriter, header: PacketHeader): void => {
  out.uint(0);
  out.uint(header.program);
  out.uint(header.version);
  out.int(header.procedure);
  out.uint(header.type);
  out.uint(header.serial);
  out.uint(header.status);
};

/**
 * Builds a packet whose payload is one XDR value.
 * @throws XdrError when the value does not fit its type or the packet its limit.
 */
export const encodePacket = <T>(header: PacketHeader, type: XdrType<T>, value: T): Buffer => {
  const out = new XdrWriter(MAX_PACKET_BYTES);
  writeHeader(out, header);
  type.write(out, value);
  out.patchUint(0, out.length);
  return out.bytes();
};

/** Builds the 28 bytes in front of `payloadBytes` raw bytes that follow separately (streams), or of none. */
export const encodeHeader = (header: PacketHeader, payloadBytes = 0): Buffer => {
  if (payloadBytes > MAX_PAYLOAD_BYTES) throw new FrameError(`payload of ${payloadBytes} bytes is over the limit`);
  const out = new XdrWriter(HEADER_BYTES, HEADER_BYTES);
  writeHeader(out, header);
  out.patchUint(0, HEADER_BYTES + payloadBytes);
  return out.bytes();
};
