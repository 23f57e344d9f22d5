// Past events and, with --follow, those to come: over the WebSocket, resumed where it broke off.

import type { z } from '@hono/zod-openapi';
import { WebSocket } from 'ws';
import type { LoggedEvent } from '../../core/events.ts';
import { eventText, isEventType } from '../event-text.ts';
import { eventSchema, eventsSchema, type PublicEvent } from '../schemas.ts';
import type { ApiClient } from './api-client.ts';
import { unreachable } from './api-client.ts';
import { CommandFailure } from './command-failure.ts';
import type { ShowContext } from './show.ts';
import type { Terminal } from './terminal.ts';

export interface EventsOptions {
  readonly since?: number;
  readonly group?: string;
  readonly types?: string;
  readonly follow: boolean;
}

/** Without `since`, so many of the newest are shown. */
const RECENT = 50;
const PAGE = 500;
const CONNECT_MS = 10_000;
/** The daemon pings every 30 s: after two and a half it is gone. */
const SILENT_MS = 75_000;
/** How long a lost connection is tried again. */
const RETRY_FOR_MS = 60_000;
const RETRY_MAX_MS = 5_000;

export async function showEvents(context: ShowContext, options: EventsOptions, signal?: AbortSignal): Promise<void> {
  const upTo = await showPast(context, options);
  if (options.follow) await follow(context, options, upTo, signal);
}

/** Prints what is in the log now and returns how far that was. */
async function showPast({ api, terminal, json }: ShowContext, { since, group, types }: EventsOptions): Promise<number> {
  const first = await api.get('/v1/events', eventsSchema, { limit: 1 });
  let from = since ?? Math.max(first.lastSeq - RECENT, first.oldestSeq - 1, 0);
  // Where the log ended when asked; what comes later is for --follow.
  do {
    const query = { since: from, group, types, limit: PAGE };
    const page: z.infer<typeof eventsSchema> = await api.get('/v1/events', eventsSchema, query);
    for (const event of page.events) printEvent(terminal, event, json);
    if (page.nextSince <= from) break;
    from = page.nextSince;
  } while (from < first.lastSeq);
  return from;
}

async function follow(context: ShowContext, options: EventsOptions, upTo: number, signal?: AbortSignal): Promise<void> {
  let since = upTo;
  let failingSinceMs: number | undefined;
  let waitMs = 250;
  while (!signal?.aborted) {
    const end = await followOnce(context, options, since, signal);
    since = end.since;
    if (end.fatal !== undefined) throw end.fatal;
    if (end.connected) {
      failingSinceMs = undefined;
      waitMs = 250;
    }
    failingSinceMs ??= performance.now();
    if (performance.now() - failingSinceMs > RETRY_FOR_MS) {
      throw new CommandFailure(
        1,
        `the connection to ${context.api.url.origin} was lost and did not come back: ${end.reason}`,
      );
    }
    await pause(waitMs, signal);
    waitMs = Math.min(waitMs * 2, RETRY_MAX_MS);
  }
}

interface FollowEnd {
  readonly since: number;
  readonly connected: boolean;
  readonly reason: string;
  readonly fatal?: CommandFailure;
}

function followOnce(
  { api, terminal, json }: ShowContext,
  { group, types }: EventsOptions,
  from: number,
  signal?: AbortSignal,
): Promise<FollowEnd> {
  return new Promise((resolve) => {
    let since = from;
    let connected = false;
    let failure: Error | undefined;
    const socket = new WebSocket(streamUrl(api, { since, group, types }), {
      handshakeTimeout: CONNECT_MS,
      perMessageDeflate: false,
      headers: api.credentials,
      maxPayload: 16 * 1024 * 1024,
    });
    let silence = setTimeout(() => socket.terminate(), SILENT_MS);
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => socket.terminate(), SILENT_MS);
    };
    const stop = (): void => socket.terminate();
    signal?.addEventListener('abort', stop, { once: true });
    socket.on('ping', heard);
    socket.on('message', (data) => {
      heard();
      connected = true;
      const event = eventOf(String(data));
      if (event === undefined || event.seq <= since) return;
      since = event.seq;
      printEvent(terminal, event, json);
    });
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', (code, reason) => {
      clearTimeout(silence);
      signal?.removeEventListener('abort', stop);
      const text = String(reason) || failure?.message || `closed with code ${code}`;
      const fatal =
        code === 4009 || code === 4010 ? new CommandFailure(1, `${text}; start again without --since`) : undefined;
      const first =
        failure !== undefined && from === since && !connected ? unreachable(api.url, CONNECT_MS, failure) : undefined;
      resolve({ since, connected, reason: first?.message ?? text, ...(fatal && { fatal }) });
    });
  });
}

function streamUrl(api: ApiClient, query: Readonly<Record<string, string | number | undefined>>): URL {
  const url = api.at('/v1/events', query);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}

/** Undefined for the greeting. */
function eventOf(text: string): PublicEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = eventSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

function printEvent(terminal: Terminal, event: PublicEvent, json: boolean): void {
  if (json) {
    terminal.json(event);
    return;
  }
  const head = [`${event.seq}`.padStart(5), event.at].map((part) => terminal.styled('dim', part));
  head.push(terminal.styled('cyan', event.type.padEnd(16)));
  terminal.line(`${head.join('  ')}  ${terminal.styled(undefined, textOf(event))}`);
}

/** The sentence this version knows for it; else, as from a newer daemon, its fields as they came. */
function textOf(event: PublicEvent): string {
  try {
    if (isKnown(event)) return eventText(event);
  } catch {
    // It has the name of a type known here and not its fields.
  }
  const { seq: _seq, at: _at, type: _type, ...fields } = event;
  return JSON.stringify(fields);
}

function isKnown(event: { readonly type: string }): event is LoggedEvent {
  return isEventType(event.type);
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
    if (signal?.aborted) done();
  });
}
