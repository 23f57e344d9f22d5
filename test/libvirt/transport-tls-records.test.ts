// One chunk, one TLS record: what a libvirtd that reads whole records needs. Not here: certificates and real daemons.

import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { recordTransport } from '../../src/libvirt/transport-tls-records.ts';

/** Takes writes as a socket does, joining those that wait, and lets the test say when one is through. */
class SlowSocket extends Duplex {
  readonly writes: string[] = [];
  readonly #through: (() => void)[] = [];

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk.toString());
    this.#through.push(done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(chunks.map(({ chunk }) => chunk.toString()).join('+'));
    this.#through.push(done);
  }

  async letThrough(): Promise<void> {
    this.#through.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const handlers = { onData() {}, onDrain() {}, onEnd() {} };

describe('a pipe of records', () => {
  it('hands over one chunk at a time, in order, however they come', async () => {
    const socket = new SlowSocket();
    const pipe = recordTransport(socket);
    pipe.start(handlers);
    pipe.write(Buffer.from('a'), Buffer.from('b'));
    pipe.write(Buffer.from('c'));
    expect(socket.writes).toEqual(['a']);
    for (let round = 0; round < 3; round += 1) await socket.letThrough();
    expect(socket.writes).toEqual(['a', 'b', 'c']);
  });

  it('asks the writer to wait when much waits here, and says when it need not any more', async () => {
    const socket = new SlowSocket({ writableHighWaterMark: 1 });
    const pipe = recordTransport(socket);
    let drained = 0;
    pipe.start({ ...handlers, onDrain: () => (drained += 1) });
    expect(pipe.write(Buffer.alloc(10))).toBe(true);
    expect(pipe.write(Buffer.alloc(64 * 1024))).toBe(false);
    expect(pipe.congested).toBe(true);
    await socket.letThrough();
    expect(drained).toBe(0);
    await socket.letThrough();
    expect([drained, pipe.congested]).toEqual([1, false]);
  });

  it('writes nothing more once it is destroyed', async () => {
    const socket = new SlowSocket();
    const pipe = recordTransport(socket);
    pipe.start(handlers);
    pipe.write(Buffer.from('a'), Buffer.from('b'));
    pipe.destroy();
    await socket.letThrough();
    expect(socket.writes).toEqual(['a']);
    expect(pipe.write(Buffer.from('c'))).toBe(false);
  });
});
