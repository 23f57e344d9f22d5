// The WebSocket face of /v1/events: upgrade, limits over all subscribers, pings, the end. Protocol: docs/EVENTS.md.
// Not here: what one subscriber is sent and when (subscriber).

import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { LoggedEvent } from '../core/events.ts';
import type { Log } from '../engine/log.ts';
import type { EventLog } from '../engine/view.ts';
import { type Access, type Admitted, requireScope } from './access.ts';
import { eventStreamQuerySchema } from './event-query.ts';
import { HOST_ADVICE, hostAllowed, isProxied, sameOrigin } from './guards.ts';
import { PROBLEM_MEDIA_TYPE, ProblemError } from './problem.ts';
import { CLOSE_CODES, NOT_WELCOME, Subscriber, type SubscriberLimits, type Subscription } from './subscriber.ts';
import { invalidRequest } from './validation.ts';
import { onlyOf } from './visibility.ts';

export const EVENTS_PATH = '/v1/events';
const TOKEN_PROTOCOL = 'virtscale.bearer.';

export interface EventStreamLimits extends SubscriberLimits {
  readonly maxSubscribers: number;
  readonly pingMs: number;
  /** Nothing a client sends is read; this much is put up with between two pings. */
  readonly maxClientMessages: number;
  readonly maxClientMessageBytes: number;
}

export const EVENT_STREAM_LIMITS: EventStreamLimits = {
  maxSubscribers: 1000,
  maxQueuedEvents: 1000,
  maxQueuedBytes: 1024 * 1024,
  stallMs: 30_000,
  pageSize: 100,
  storeMs: 10_000,
  pingMs: 30_000,
  maxClientMessages: 100,
  maxClientMessageBytes: 4096,
  closeMs: 10_000,
};

export interface SubscriberTelemetry {
  subscribers(count: number): void;
  subscriberDropped(code: number): void;
}

export interface EventStreamOptions {
  readonly events: EventLog;
  readonly log: Log;
  readonly telemetry?: SubscriberTelemetry;
  /** The same one as the app's. */
  readonly access: Access;
  /** As in `AppOptions`. */
  readonly names?: readonly string[];
  readonly limits?: Partial<EventStreamLimits>;
}

interface Wanted {
  readonly subscription: Subscription;
  readonly admitted: Admitted;
}

interface Connection {
  readonly admitted: Admitted;
  readonly socket: WebSocket;
  readonly subscriber: Subscriber;
  alive: boolean;
  messages: number;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #limits: EventStreamLimits;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<Connection>();
  readonly #pings: NodeJS.Timeout;
  readonly #encode: (event: LoggedEvent) => Buffer;
  #closing = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#limits = { ...EVENT_STREAM_LIMITS, ...options.limits };
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: this.#limits.maxClientMessageBytes,
      // A client that offers protocols must be answered with one of them; the one that is a secret only if there is no other.
      handleProtocols: (offered) =>
        [...offered].find((one) => !one.startsWith(TOKEN_PROTOCOL)) ?? [...offered][0] ?? false,
    });
    this.#encode = encodeOnce();
    this.#pings = setInterval(() => this.#ping(), this.#limits.pingMs);
    this.#pings.unref();
  }

  get size(): number {
    return this.#connections.size;
  }

  /** For the http server's `upgrade` event. Answers everything itself, with a problem document where it refuses. */
  readonly handleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy());
    let wanted: Wanted;
    try {
      wanted = this.#admit(request);
    } catch (error) {
      refuse(socket, error, this.#options.log, this.#limits.closeMs);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket, wanted));
  };

  /** Tells every subscriber to go (1001) and cuts those that have not gone after `ms`. */
  async close(ms: number): Promise<void> {
    this.#closing = true;
    clearInterval(this.#pings);
    const gone = [...this.#connections].map(
      ({ socket }) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
    );
    for (const { subscriber } of this.#connections) subscriber.close(CLOSE_CODES.goingAway, 'virtscale is stopping');
    const timer = setTimeout(() => this.terminate(), ms);
    await Promise.all(gone);
    clearTimeout(timer);
  }

  /** Cuts all connections. */
  terminate(): void {
    for (const { socket } of this.#connections) socket.terminate();
  }

  #admit(request: IncomingMessage): Wanted {
    const { host, origin, upgrade } = request.headers;
    const authorization = tokenOf(request);
    if (authorization === undefined && !hostAllowed(host, this.#options.names ?? [])) {
      throw new ProblemError(
        'host-not-allowed',
        `the name in the Host header is not one of this daemon: ${HOST_ADVICE}`,
      );
    }
    // Other than with fetch, browsers let any page open a WebSocket anywhere and read it.
    if (!sameOrigin({ host, origin, secFetchSite: undefined })) {
      throw new ProblemError('cross-origin', 'a page of another origin may not read the events');
    }
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname !== EVENTS_PATH)
      throw new ProblemError('not-found', `only ${EVENTS_PATH} can be upgraded to a WebSocket`);
    if (upgrade?.toLowerCase() !== 'websocket') {
      throw new ProblemError(
        'upgrade-required',
        'the only upgrade known here is websocket',
        {},
        { upgrade: 'websocket' },
      );
    }
    const peer = request.socket.remoteAddress;
    const admitted = this.#options.access.admit({ authorization, peer, proxied: isProxied(request.headers) });
    requireScope(admitted, 'read', 'reading the events');
    const parsed = eventStreamQuerySchema.safeParse(queryObject(url.searchParams));
    if (!parsed.success) throw invalidRequest(parsed.error, 'query');
    if (this.#closing) throw new ProblemError('not-ready', 'virtscale is stopping', {}, { 'retry-after': '5' });
    if (this.#connections.size >= this.#limits.maxSubscribers) {
      const detail = `there are ${this.#limits.maxSubscribers} subscribers already`;
      throw new ProblemError('too-many-subscribers', detail, {}, { 'retry-after': '5' });
    }
    const owner = onlyOf(admitted);
    const isWelcome = () => this.#options.access.stillHolds(admitted);
    return { subscription: { ...parsed.data, isWelcome, ...(owner !== undefined && { owner }) }, admitted };
  }

  #accept(socket: WebSocket, { subscription, admitted }: Wanted): void {
    const { events, telemetry, log } = this.#options;
    const subscriber = new Subscriber(socket, events, subscription, this.#limits, this.#encode, (code, reason) => {
      telemetry?.subscriberDropped(code);
      log.warn({ code, reason }, 'an event subscriber was closed');
    });
    const connection: Connection = { admitted, socket, subscriber, alive: true, messages: 0 };
    this.#connections.add(connection);
    telemetry?.subscribers(this.size);
    socket.on('close', () => {
      this.#connections.delete(connection);
      telemetry?.subscribers(this.size);
    });
    // Broken frames, oversized messages, resets: ws closes with the right code by itself.
    socket.on('error', (error) =>
      log.debug({ err: error }, 'an event subscriber broke the protocol or its connection'),
    );
    socket.on('pong', () => {
      connection.alive = true;
    });
    socket.on('message', () => {
      connection.messages += 1;
      if (connection.messages > this.#limits.maxClientMessages) {
        subscriber.close(CLOSE_CODES.policy, 'nothing is expected from subscribers');
      }
    });
    void subscriber.start();
  }

  #ping(): void {
    for (const connection of this.#connections) {
      if (!connection.alive) {
        connection.socket.terminate();
        continue;
      }
      if (!this.#options.access.stillHolds(connection.admitted)) {
        connection.subscriber.close(CLOSE_CODES.policy, NOT_WELCOME);
        continue;
      }
      connection.alive = false;
      connection.messages = 0;
      connection.socket.ping();
    }
  }
}

/** From the header; browsers cannot set it on a WebSocket, so they offer it as a protocol: `virtscale.bearer.TOKEN`. */
function tokenOf({ headers }: IncomingMessage): string | undefined {
  if (headers.authorization !== undefined) return headers.authorization;
  const offered = headers['sec-websocket-protocol']?.split(',').map((one) => one.trim());
  const token = offered?.find((one) => one.startsWith(TOKEN_PROTOCOL));
  return token && `Bearer ${token.slice(TOKEN_PROTOCOL.length)}`;
}

/** Remembers the newest event's bytes: live, all subscribers are sent the same one right after each other. */
function encodeOnce(): (event: LoggedEvent) => Buffer {
  let last: { readonly event: LoggedEvent; readonly bytes: Buffer } | undefined;
  return (event) => {
    if (last?.event !== event) last = { event, bytes: Buffer.from(JSON.stringify(event)) };
    return last.bytes;
  };
}

/** As hono's validator sees it: an argument given twice is a list, which no schema here takes. */
function queryObject(search: URLSearchParams): Readonly<Record<string, string | readonly string[]>> {
  const keys = [...new Set(search.keys())];
  return Object.fromEntries(
    keys.map((key) => {
      const values = search.getAll(key);
      return [key, values.length === 1 ? (values[0] ?? '') : values];
    }),
  );
}

function refuse(socket: Duplex, error: unknown, log: Log, cutMs: number): void {
  let known: ProblemError;
  if (error instanceof ProblemError) known = error;
  else if (error instanceof TypeError && 'code' in error && error.code === 'ERR_INVALID_URL') {
    known = new ProblemError('invalid-request', 'the request target is not a valid URL');
  } else {
    log.error({ err: error }, 'an upgrade failed inside');
    known = new ProblemError('internal', 'this is a fault of virtscale; its log says more');
  }
  const { problem, headers } = known;
  const body = Buffer.from(JSON.stringify(problem));
  const lines = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    `Content-Type: ${PROBLEM_MEDIA_TYPE}`,
    `Content-Length: ${body.length}`,
    'Connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]));
  const timer = setTimeout(() => socket.destroy(), cutMs);
  socket.once('close', () => clearTimeout(timer));
}
