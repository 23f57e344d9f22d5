// The daemon's HTTP API as the commands use it: with a time-out, checked by the same schemas, failures in words.

import type { z } from '@hono/zod-openapi';
import { problemSchema } from '../schemas.ts';
import { CommandFailure } from './command-failure.ts';

export const DEFAULT_URL = 'http://127.0.0.1:7070';
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

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

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export class ApiClient {
  readonly url: URL;
  readonly #timeoutMs: number;

  constructor(url: URL, timeoutMs = 10_000) {
    this.url = url;
    this.#timeoutMs = timeoutMs;
  }

  at(path: string, query: Readonly<Record<string, string | number | undefined>> = {}): URL {
    const url = new URL(this.url.pathname.replace(/\/$/, '') + path, this.url);
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(key, String(value));
    }
    return url;
  }

  /** The JSON answer, whatever its status. */
  async ask(url: URL): Promise<Answer> {
    let text: string;
    let status: number;
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      const response = await fetch(url, { signal, headers: { accept: 'application/json' } });
      status = response.status;
      text = await boundedText(response);
    } catch (error) {
      throw unreachable(this.url, this.#timeoutMs, error);
    }
    try {
      return { status, body: JSON.parse(text) };
    } catch (error) {
      throw new CommandFailure(
        1,
        `${url} did not answer with JSON (status ${status}): is that a virtscale daemon?`,
        error,
      );
    }
  }

  async get<T extends z.ZodType>(
    path: string,
    schema: T,
    query: Readonly<Record<string, string | number | undefined>> = {},
  ): Promise<z.infer<T>> {
    const url = this.at(path, query);
    const { status, body } = await this.ask(url);
    if (status >= 400) throw refusal(url, status, body);
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    const where = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`;
    throw new CommandFailure(
      1,
      `${url} answered something this command does not know${where}: are both of the same version?`,
    );
  }
}

function refusal(url: URL, status: number, body: unknown): CommandFailure {
  const problem = problemSchema.safeParse(body);
  const detail = problem.success ? problem.data.detail : `${url} answered with status ${status}`;
  return new CommandFailure(status < 500 ? 2 : 1, detail);
}

/** What a failed connection means and what to do. */
export function unreachable(url: URL, timeoutMs: number, error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  const advice = 'Start one with "virtscale serve", or name another with --url or VIRTSCALE_URL';
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new CommandFailure(
      1,
      `the daemon at ${url.origin} did not answer within ${timeoutMs / 1000} s; look at its log`,
      error,
    );
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why =
    cause instanceof Error
      ? 'code' in cause && cause.code === 'ECONNREFUSED'
        ? 'connection refused'
        : cause.message
      : String(cause);
  return new CommandFailure(1, `no daemon at ${url.origin} (${why}). ${advice}`, error);
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES)
      throw new CommandFailure(1, `${response.url} answered with more than ${MAX_ANSWER_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
