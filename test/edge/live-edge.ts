// The edge on a real socket of 127.0.0.1, and WebSocket clients that remember what they were sent. Everything is let go of
// at the end of the test.

import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { EventStream, type EventStreamLimits } from '../../src/edge/event-stream.ts';
import { type Listening, listen } from '../../src/edge/server.ts';
import { type EdgeApp, type EdgeOptions, edgeApp } from './edge-app.ts';
import type { FakeEngineParts } from './fake-engine.ts';

const WAIT_MS = 15_000;

export interface LiveEdge extends EdgeApp {
  readonly stream: EventStream;
  readonly listening: Listening;
  /** `ws://127.0.0.1:PORT` */
  readonly wsUrl: string;
}

export async function liveEdge(
  limits: Partial<EventStreamLimits> = {},
  parts: FakeEngineParts = {},
  options: EdgeOptions = {},
): Promise<LiveEdge> {
  const edge = edgeApp(parts, { ...options, near: false });
  const stream = new EventStream({
    events: edge.engine.log,
    log: edge.log,
    telemetry: edge.metrics,
    access: edge.access,
    names: ['scaler.example'],
    limits,
  });
  const listening = await listen({ address: { host: '127.0.0.1', port: 0 }, app: edge.app, stream });
  onTestFinished(() => listening.close(100));
  return { ...edge, stream, listening, wsUrl: listening.url.replace('http', 'ws') };
}

export interface Message {
  readonly type: string;
  readonly seq: number;
  readonly [field: string]: unknown;
}

export class Client {
  readonly socket: WebSocket;
  readonly messages: Message[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  #changed: () => void = () => undefined;

  constructor(url: string, options: ClientOptions = {}, protocols: string[] = []) {
    this.socket = new WebSocket(url, protocols, options);
    onTestFinished(() => this.socket.terminate());
    this.socket.on('message', (data) => {
      this.messages.push(JSON.parse(String(data)));
      this.#changed();
    });
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) };
      this.#changed();
    });
    this.socket.on('error', () => undefined);
  }

  get events(): readonly Message[] {
    return this.messages.slice(1);
  }

  get seqs(): readonly number[] {
    return this.events.map(({ seq }) => seq);
  }

  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0)
        throw new Error(
          `waited ${WAIT_MS} ms; ${this.messages.length} messages, closed: ${JSON.stringify(this.closed)}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 1000));
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  greeted(): Promise<void> {
    return this.until(() => this.messages.length > 0);
  }

  async closing(): Promise<{ readonly code: number; readonly reason: string }> {
    await this.until(() => this.closed !== undefined);
    return this.closed ?? { code: 0, reason: '' };
  }
}

/** The HTTP answer to an upgrade that is refused. */
export async function refusal(
  url: string,
  options: ClientOptions = {},
): Promise<{ readonly status: number; readonly type: string | undefined; readonly body: Record<string, unknown> }> {
  const socket = new WebSocket(url, options);
  onTestFinished(() => socket.terminate());
  socket.on('error', () => undefined);
  const [, response] = await once(socket, 'unexpected-response', { signal: AbortSignal.timeout(WAIT_MS) });
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, type: response.headers['content-type'], body: JSON.parse(text) };
}

export function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
