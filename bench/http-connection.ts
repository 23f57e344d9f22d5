// One kept-alive HTTP connection that asks GET after GET at the least cost to the asking process, so that the server is what is
// measured. Not here: how often is asked (load).

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

interface Waiting {
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class HttpConnection {
  readonly #socket: Socket;
  readonly #host: string;
  #waiting: Waiting | undefined;
  #received: Buffer | undefined;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.setNoDelay(true);
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => {
      if (this.#waiting) socket.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`));
    });
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** `base` such as `http://127.0.0.1:7070`. */
  static async open(base: string): Promise<HttpConnection> {
    const { host, hostname, port } = new URL(base);
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, 'connect', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    return new HttpConnection(socket, host);
  }

  /** The body of a 200; rejects on anything else. One at a time. */
  get(path: string): Promise<Buffer> {
    if (this.#waiting !== undefined) throw new Error('a request is under way on this connection');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (this.#socket.destroyed) this.#fail(new Error('the connection is closed'));
      else this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n\r\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const all = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk]);
    if (all.length > MAX_ANSWER_BYTES) this.#socket.destroy(new Error('the answer is too long'));
    const headEnd = all.indexOf(HEAD_END);
    if (headEnd < 0) {
      this.#received = all;
      return;
    }
    const head = all.toString('latin1', 0, headEnd);
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (length === undefined || !head.startsWith('HTTP/1.1 200 ')) {
      const said = all.toString('latin1', 0, Math.min(all.length, 2000));
      this.#socket.destroy(new Error(`not a 200 with a length: ${said}`));
      return;
    }
    const bodyAt = headEnd + HEAD_END.length;
    const end = bodyAt + Number(length);
    if (all.length < end) {
      this.#received = all;
      return;
    }
    this.#received = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(all.subarray(bodyAt, end));
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}
