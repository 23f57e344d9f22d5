/**
 * The pipe over an open TLS socket: one chunk is one TLS record (or several), and never shares one with another.
 *
 * libvirtd waits on its socket for the next packet, but its TLS library has by then read the whole record: a packet that begins in
 * the record in which another ends is not seen before more comes (seen with libvirt 9.0: pipelined calls hung until the next
 * keepalive). libvirt's own client sends each packet by itself. Node joins chunks that wait, so they are handed over one at a time.
 */
import type { Duplex } from 'node:stream';
import { duplexTransport, type Transport, type TransportHandlers } from './transport.ts';

/** So much may wait here before the writer is asked to wait. */
const HIGH_WATER_BYTES = 64 * 1024;

export const recordTransport = (socket: Duplex): Transport => {
  const inner = duplexTransport(socket);
  const waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let writing = false;
  let ended = false;
  let owesDrain = false;
  let handlers: TransportHandlers | undefined;

  const next = (): void => {
    const chunk = ended ? undefined : waiting.shift();
    writing = chunk !== undefined;
    if (chunk === undefined) {
      if (!owesDrain || ended) return;
      owesDrain = false;
      handlers?.onDrain();
      return;
    }
    waitingBytes -= chunk.length;
    socket.write(chunk, next);
  };

  return {
    write(...chunks) {
      if (ended) return false;
      for (const chunk of chunks) {
        waiting.push(chunk);
        waitingBytes += chunk.length;
      }
      if (!writing) next();
      owesDrain ||= waitingBytes >= HIGH_WATER_BYTES;
      return !owesDrain;
    },
    get congested() {
      return owesDrain;
    },
    pause: inner.pause,
    resume: inner.resume,
    destroy() {
      ended = true;
      inner.destroy();
    },
    start(given) {
      handlers = given;
      inner.start({
        onData: given.onData,
        onDrain: () => undefined,
        onEnd: (error) => {
          ended = true;
          given.onEnd(error);
        },
      });
    },
  };
};
