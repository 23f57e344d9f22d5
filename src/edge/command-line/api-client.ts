// The daemon's HTTP API as the commands use it: with a time-out, checked by the same schemas, failures in words.
// Not here: sending files (upload), waiting for operations (wait-for-operation).

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from '@hono/zod-openapi';
import { PROBLEM_TYPE_PREFIX } from '../problem.ts';
import { problemSchema } from '../schemas.ts';
import { CommandFailure } from './command-failure.ts';
import { refusal } from './refusal.ts';

export const DEFAULT_URL = 'http://127.0.0.1:7070';
const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** How often a request whose connection was lost is sent again, and the pause before the first time; it doubles. */
const RETRIES = 5;
const RETRY_MS = 250;
/** How often an edit begins anew when somebody else's came between. */
const EDITS = 4;

/** The address of a daemon; throws `CommandFailure` when `text` is none. `from` says where it was given. */
export function apiUrl(text: string, from: string): URL {
  const advice = `give an address such as ${DEFAULT_URL}`;
  if (!URL.canParse(text)) throw new CommandFailure(2, `${from}: ${JSON.stringify(text)} is not a URL; ${advice}`);
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new CommandFailure(2, `${from}: ${JSON.stringify(text)} is neither http nor https; ${advice}`);
  }
  return url;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface Ask {
  /** How long the daemon was asked to hold the answer back, beyond the usual time-out. */
  readonly extraMs?: number;
  readonly signal?: AbortSignal;
}

export interface Send {
  readonly query?: Query;
  /** Becomes JSON. */
  readonly body?: unknown;
  /** Only if it still has this ETag; else `Stale`. */
  readonly ifMatch?: string;
}

/** How something is changed that others may change at the same time. */
export interface Edit<T> {
  readonly method: 'PATCH' | 'PUT';
  /** Where it is read; absent: where it is written. */
  readonly from?: string;
  readonly body: (now: T) => unknown;
}

interface Request {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

interface Raw {
  readonly status: number;
  readonly bytes: Uint8Array;
  readonly etag?: string;
}

export class ApiClient {
  readonly url: URL;
  readonly #timeoutMs: number;
  readonly #token: string | undefined;

  constructor(url: URL, token?: string, timeoutMs = TIMEOUT_MS) {
    this.url = url;
    this.#token = token;
    this.#timeoutMs = timeoutMs;
  }

  at(path: string, query: Query = {}): URL {
    const url = new URL(this.url.pathname.replace(/\/$/, '') + path, this.url);
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(key, String(value));
    }
    return url;
  }

  /** What every request carries to be let in. */
  get credentials(): Readonly<Record<string, string>> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
  }

  /** The JSON answer, whatever its status. */
  async ask(url: URL, how: Ask = {}): Promise<Answer> {
    return jsonOf(url, await this.#get(url, 'application/json', how));
  }

  async get<T extends z.ZodType>(path: string, schema: T, query: Query = {}, how: Ask = {}): Promise<z.infer<T>> {
    const url = this.at(path, query);
    return known(url, schema, ofSuccess(url, await this.ask(url, how)));
  }

  /** The bytes of an answer that is no JSON. */
  async bytes(path: string, query: Query = {}): Promise<Uint8Array> {
    const url = this.at(path, query);
    const answer = await this.#get(url, 'text/plain, application/octet-stream');
    if (answer.status >= 400) ofSuccess(url, jsonOf(url, answer));
    return answer.bytes;
  }

  /**
   * A write. It carries a fresh Idempotency-Key, so that it can be sent again when the connection is lost before the answer came:
   * the daemon does it once.
   */
  async send<T extends z.ZodType>(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    schema: T,
    { query, body, ifMatch }: Send = {},
  ): Promise<z.infer<T>> {
    const url = this.at(path, query);
    const request: Request = {
      method,
      headers: {
        ...this.credentials,
        accept: 'application/json',
        'idempotency-key': randomUUID(),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      timeoutMs: this.#timeoutMs,
    };
    const answer = await retried(this.url, request.timeoutMs, () => written(url, request));
    if (answer.status === 412) throw new Stale();
    return known(url, schema, answer.status === 204 ? undefined : ofSuccess(url, jsonOf(url, answer)));
  }

  /** Reads, changes and writes back; begins anew when it was changed in between. */
  async edit<T extends z.ZodType>(
    path: string,
    schema: T,
    { method, from, body }: Edit<z.infer<T>>,
  ): Promise<z.infer<T>> {
    const url = this.at(from ?? path);
    for (let tries = 1; ; tries += 1) {
      const read = await this.#get(url, 'application/json');
      const now = known(url, schema, ofSuccess(url, jsonOf(url, read)));
      try {
        const match = read.etag === undefined ? {} : { ifMatch: read.etag };
        return await this.send(method, path, schema, { body: body(now), ...match });
      } catch (error) {
        if (!(error instanceof Stale) || tries === EDITS) throw error;
      }
    }
  }

  async #get(url: URL, accept: string, { extraMs = 0, signal }: Ask = {}): Promise<Raw> {
    const timeoutMs = this.#timeoutMs + extraMs;
    const headers = { ...this.credentials, accept };
    try {
      return await exchange(url, { method: 'GET', headers, timeoutMs, ...(signal && { signal }) });
    } catch (error) {
      throw unreachable(this.url, timeoutMs, error);
    }
  }
}

/** Does `work` again while its connection is lost; refused at the very first means that there is no daemon. */
export async function retried<T>(daemon: URL, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      const noDaemon = tries === 0 && codeOf(error) === 'ECONNREFUSED';
      if (noDaemon || tries === RETRIES || error instanceof CommandFailure) throw unreachable(daemon, timeoutMs, error);
      await sleep(RETRY_MS * 2 ** tries);
    }
  }
}

async function exchange(url: URL, { method, headers, body, timeoutMs, signal: stop }: Request): Promise<Raw> {
  const late = AbortSignal.timeout(timeoutMs);
  const signal = stop === undefined ? late : AbortSignal.any([late, stop]);
  const response = await fetch(url, { method, headers, signal, ...(body !== undefined && { body }) });
  const etag = response.headers.get('etag');
  return { status: response.status, bytes: await boundedBytes(response), ...(etag !== null && { etag }) };
}

/** A write that was sent again can come upon the first one, still under way: its answer is waited for. */
async function written(url: URL, request: Request): Promise<Raw> {
  const answer = await exchange(url, request);
  if (answer.status !== 409) return answer;
  const problem = problemSchema.safeParse(jsonOf(url, answer).body);
  if (problem.success && problem.data.type === `${PROBLEM_TYPE_PREFIX}in-progress`)
    throw new Error(problem.data.detail);
  return answer;
}

export function jsonOf(url: URL, { status, bytes }: Pick<Raw, 'status' | 'bytes'>): Answer {
  try {
    return { status, body: JSON.parse(new TextDecoder().decode(bytes)) };
  } catch (error) {
    throw new CommandFailure(
      1,
      `${url} did not answer with JSON (status ${status}): is that a virtscale daemon?`,
      error,
    );
  }
}

/** The body of an answer that is no refusal. */
export function ofSuccess(url: URL, { status, body }: Answer): unknown {
  if (status >= 400) throw refusal(url, status, body);
  return body;
}

export function known<T extends z.ZodType>(url: URL, schema: T, body: unknown): z.infer<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`;
  throw new CommandFailure(
    1,
    `${url} answered something this command does not know${where}: are both of the same version?`,
  );
}

/** It has changed since it was read. */
export class Stale extends CommandFailure {
  constructor() {
    super(1, 'somebody else changed it at the same time: look at it and try again');
    this.name = 'Stale';
  }
}

/** There is no daemon, or none that answers. */
export class Unreachable extends CommandFailure {
  constructor(message: string, cause: unknown) {
    super(1, message, cause);
    this.name = 'Unreachable';
  }
}

/** What a failed connection means and what to do. */
export function unreachable(url: URL, timeoutMs: number, error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  const advice = 'Start one with "virtscale serve", or name another with --url or VIRTSCALE_URL';
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new Unreachable(
      `the daemon at ${url.origin} did not answer within ${timeoutMs / 1000} s; look at its log`,
      error,
    );
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why =
    codeOf(error) === 'ECONNREFUSED' ? 'connection refused' : cause instanceof Error ? cause.message : String(cause);
  return new Unreachable(`no daemon at ${url.origin} (${why}). ${advice}`, error);
}

function codeOf(error: unknown): unknown {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error && 'code' in cause ? cause.code : undefined;
}

async function boundedBytes(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES)
      throw new CommandFailure(1, `${response.url} answered with more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
