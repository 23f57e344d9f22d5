// Bytes to the daemon and lines from it, as they come. Not here: requests with one answer (api-client), images (upload).

import type { z } from '@hono/zod-openapi';
import { type ApiClient, jsonOf, known, ofSuccess, type Query, unreachable } from './api-client.ts';
import { CommandFailure } from './command-failure.ts';

/** Slower than any network that one would work over. */
const PUT_BYTES_PER_MS = 100;
const TIMEOUT_MS = 60_000;
const MAX_LINE_CHARACTERS = 4 * 1024 * 1024;

export interface Posted {
  readonly query?: Query;
  /** Becomes JSON. */
  readonly body: unknown;
}

/** A file, small enough to be held. It is sent once: what became of it when the connection is lost, nobody knows. */
export async function putBytes<T extends z.ZodType>(
  api: ApiClient,
  path: string,
  schema: T,
  query: Query,
  bytes: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<z.infer<T>> {
  const url = api.at(path, query);
  const headers = { ...api.credentials, accept: 'application/json', 'content-type': 'application/octet-stream' };
  const timeoutMs = TIMEOUT_MS + Math.ceil(bytes.byteLength / PUT_BYTES_PER_MS);
  const any = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const response = await fetch(url, { method: 'PUT', headers, body: bytes, signal: any });
    return known(url, schema, ofSuccess(url, await jsonFrom(url, response)));
  } catch (error) {
    throw signal.aborted ? error : unreachable(api.url, timeoutMs, error);
  }
}

/** A POST that is answered by lines of JSON, as they come, as long as it takes. What it began ends with the connection. */
export async function* postedLines<T extends z.ZodType>(
  api: ApiClient,
  path: string,
  schema: T,
  { query = {}, body }: Posted,
  signal: AbortSignal,
): AsyncGenerator<z.infer<T>> {
  const url = api.at(path, query);
  const headers = { ...api.credentials, accept: 'application/x-ndjson', 'content-type': 'application/json' };
  try {
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal });
    if (response.status >= 400) ofSuccess(url, await jsonFrom(url, response));
    for await (const line of linesOf(response)) {
      const bytes = new TextEncoder().encode(line);
      yield known(url, schema, jsonOf(url, { status: response.status, bytes }).body);
    }
  } catch (error) {
    throw signal.aborted ? error : unreachable(api.url, TIMEOUT_MS, error);
  }
}

async function jsonFrom(url: URL, response: Response) {
  return jsonOf(url, { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) });
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
    if (rest.length > MAX_LINE_CHARACTERS)
      throw new CommandFailure(1, `${response.url} answered with a line of over ${MAX_LINE_CHARACTERS} characters`);
  }
  if (rest !== '') throw new CommandFailure(1, `the answer of ${response.url} broke off`);
}
