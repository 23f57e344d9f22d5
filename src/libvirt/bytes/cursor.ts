/**
 * A growing big-endian writer and a bounds-checked reader over one buffer: the two ends of the XDR codec.
 * Knows alignment and limits; knows nothing of types, packets or libvirt.
 */

/** The bytes or the value break XDR (RFC 4506) or one of the protocol's limits. */
export class XdrError extends Error {
  override readonly name = 'XdrError';
}

/** Bytes needed to bring `length` to a multiple of four, as XDR pads opaque data. */
export const paddingOf = (length: number): number => (4 - (length & 3)) & 3;

/** Appends XDR primitives to a buffer that grows up to `maxBytes` and never beyond. */
export class XdrWriter {
  #buffer: Buffer;
  #length = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number, initialBytes = 256) {
    this.#maxBytes = maxBytes;
    this.#buffer = Buffer.allocUnsafe(Math.min(initialBytes, maxBytes));
  }

  /** Makes room for `count` more bytes and returns where they start. */
  #reserve(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#maxBytes)
      throw new XdrError(`message of ${needed} bytes is over the limit of ${this.#maxBytes}`);
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(needed, this.#buffer.length * 2)));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#length = needed;
    return at;
  }

  int(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeInt32BE(value, at);
  }

  uint(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value, at);
  }

  hyper(value: bigint): void {
    const at = this.#reserve(8);
    this.#buffer.writeBigInt64BE(value, at);
  }

  uhyper(value: bigint): void {
    const at = this.#reserve(8);
    this.#buffer.writeBigUInt64BE(value, at);
  }

  double(value: number): void {
    const at = this.#reserve(8);
    this.#buffer.writeDoubleBE(value, at);
  }

  /** Raw bytes, zero-padded to a multiple of four; no length in front. */
  opaque(bytes: Uint8Array): void {
    const padding = paddingOf(bytes.length);
    const at = this.#reserve(bytes.length + padding);
    this.#buffer.set(bytes, at);
    this.#buffer.fill(0, at + bytes.length, at + bytes.length + padding);
  }

  /** Length in bytes, UTF-8 text, zero padding. `byteLength` must be that of `text`. */
  text(text: string, byteLength: number): void {
    const padding = paddingOf(byteLength);
    const at = this.#reserve(4 + byteLength + padding);
    this.#buffer.writeUInt32BE(byteLength, at);
    this.#buffer.write(text, at + 4, byteLength, 'utf8');
    this.#buffer.fill(0, at + 4 + byteLength, at + 4 + byteLength + padding);
  }

  /** Overwrites four bytes written before. */
  patchUint(at: number, value: number): void {
    this.#buffer.writeUInt32BE(value, at);
  }

  get length(): number {
    return this.#length;
  }

  /** A view of what was written; valid until the next write. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

/** Reads XDR primitives; every read past the end throws {@link XdrError}. */
export class XdrReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#buffer = bytes;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  #take(count: number): number {
    const at = this.#offset;
    if (count > this.#buffer.length - at) {
      throw new XdrError(`needs ${count} bytes at offset ${at}, but only ${this.#buffer.length - at} are left`);
    }
    this.#offset = at + count;
    return at;
  }

  int(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  uint(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  hyper(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8));
  }

  uhyper(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  double(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  /** `length` raw bytes (a view, not a copy), skipping the padding behind them. */
  opaque(length: number): Buffer {
    const at = this.#take(length + paddingOf(length));
    return this.#buffer.subarray(at, at + length);
  }

  /** `length` bytes as UTF-8 text, skipping the padding behind them. */
  text(length: number): string {
    const at = this.#take(length + paddingOf(length));
    return this.#buffer.toString('utf8', at, at + length);
  }
}
