// The app and the event stream on one listening socket, and their end within a deadline.
// Not here: what is served (app, event-stream).

import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { ListenAddress } from '../config/listen.ts';
import type { EventStream } from './event-stream.ts';
import { isUpload } from './guards.ts';
import { PROBLEM_MEDIA_TYPE, problem, problemResponse } from './problem.ts';

/** What stands in the way of listening, in words that say what to do. */
export class ListenError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ListenError';
  }
}

export function listenText({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const BODY_MS = 30_000;

export interface ListenOptions {
  readonly address: ListenAddress;
  readonly app: { fetch(request: Request, env: object): Response | Promise<Response> };
  readonly stream: EventStream;
  /** How long a body that is no upload may take to arrive. Default 30 s. */
  readonly bodyMs?: number;
}

export interface Listening {
  /** The address bound, with the real port. */
  readonly address: ListenAddress;
  readonly url: string;
  /** Takes no more requests, says 1001 to subscribers, lets requests under way finish; after `ms` everything is cut. */
  close(ms: number): Promise<void>;
}

export async function listen({ address, app, stream, bodyMs = BODY_MS }: ListenOptions): Promise<Listening> {
  // With the socket: whom a request comes from is read there, never in a header.
  const listener = getRequestListener((request, env) => app.fetch(request, env), {
    overrideGlobalObjects: false,
    errorHandler: () => problemResponse(problem('invalid-request', 'the request line or the Host header is not valid')),
  });
  const server = createServer(
    {
      headersTimeout: 10_000,
      // Bodies have a deadline of their own (bodyInTime): an image may take hours.
      requestTimeout: 0,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 5_000,
      // Where Node knows it: other offers to upgrade (curl's h2c) are passed over, and the request is served as it is.
      ...{
        shouldUpgradeCallback: (request: { headers: { upgrade?: string | undefined } }) =>
          /^websocket$/i.test(request.headers.upgrade ?? ''),
      },
    },
    (request, response) => {
      bodyInTime(request, bodyMs);
      void listener(request, response);
    },
  );
  server.maxConnections = 4096;
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', stream.handleUpgrade);
  server.on('clientError', (_error, socket) => {
    if (!socket.writable) return;
    const body = JSON.stringify(problem('invalid-request', 'this is not a valid HTTP request'));
    const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: ${PROBLEM_MEDIA_TYPE}\r\nContent-Length: ${body.length}`;
    socket.end(`${head}\r\nConnection: close\r\n\r\n${body}`);
  });
  await bind(server, address);
  const bound = server.address() as AddressInfo;
  const real = { host: address.host, port: bound.port };
  return { address: real, url: `http://${listenText(real)}`, close: (ms) => close(server, stream, sockets, ms) };
}

/** Cuts a request whose body has not come whole by then. An upload watches over itself. */
function bodyInTime(request: IncomingMessage, ms: number): void {
  if (isUpload(request.method, request.url ?? '') || request.complete) return;
  const timer = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, ms);
  const stop = (): void => clearTimeout(timer);
  request.once('end', stop).once('close', stop);
}

function bind(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(listenError(error, address));
    server.once('error', failed);
    server.listen({ host: address.host, port: address.port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function listenError(error: NodeJS.ErrnoException, address: ListenAddress): ListenError {
  const where = listenText(address);
  switch (error.code) {
    case 'EADDRINUSE':
      return new ListenError(
        `cannot listen on ${where}: another program does already, maybe another virtscale. End it, or choose another address with --listen HOST:PORT`,
        error,
      );
    case 'EACCES':
      return new ListenError(
        `cannot listen on ${where}: no right to this port. Choose one of 1024 or higher with --listen`,
        error,
      );
    case 'EADDRNOTAVAIL':
      return new ListenError(
        `cannot listen on ${where}: this machine has no such address. Choose one of its own with --listen`,
        error,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ListenError(
        `cannot listen on ${where}: the name is not known. Give an IP address with --listen`,
        error,
      );
    default:
      return new ListenError(`cannot listen on ${where}: ${error.message}`, error);
  }
}

async function close(server: Server, stream: EventStream, sockets: ReadonlySet<Socket>, ms: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Connections kept alive turn idle one by one, as their last answers end.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const cut = setTimeout(() => {
    // Also those that an upgrade took out of the http server's hands.
    for (const socket of sockets) socket.destroy();
  }, ms);
  try {
    await Promise.all([stream.close(ms), closed]);
  } finally {
    clearInterval(idle);
    clearTimeout(cut);
  }
}
