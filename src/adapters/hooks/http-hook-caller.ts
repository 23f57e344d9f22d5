// The hook port over real HTTP: one signed POST on a connection of its own, an answer or nothing within the time.
// Not here: how often to try and for how long (engine).

import { createHmac } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Hook } from '../../core/policy.ts';
import { Fault } from '../../ports/fault.ts';
import type { HookCaller, HookRequest } from '../../ports/hook-caller.ts';

const TRY_MS = 10_000;
/** Of an answer; nothing of it is used, but a connection is only left in good order when it was read. */
const ANSWER_BYTES_MAX = 64 * 1024;
const SECRET_BYTES_MAX = 4096;

export interface HttpHookCallerOptions {
  /** Longest time for one try. Default: 10 s. */
  readonly tryMs?: number;
  /** Unix time in ms, for the signature. */
  readonly wallMs?: () => number;
}

/**
 * Sends `{id, hook, group, vm, reason, attempt, deadlineAt}` as JSON, with
 *
 *     content-type: application/json
 *     x-virtscale-id: <id>
 *     x-virtscale-attempt: <attempt>
 *     x-virtscale-signature: t=<Unix seconds>,v1=<hex>        (only where the policy names a secret)
 *
 * To verify: take `t` and `v1` from the header; refuse when `t` is more than five minutes from now; compute HMAC-SHA256, keyed with
 * the secret, over the bytes `<t>.<body as received>`; compare its lower-case hex with `v1` in constant time. Repeats have the same id.
 *
 * 200–299 agrees. 403 and 409 refuse. Everything else may be tried again: `busy` for 429 and 503, `unreachable` for other answers
 * (redirects too: nobody is followed) and for connections that fail, `timed-out` without an answer in time. A secret that cannot be
 * read, and a URL that is none, are `refused`.
 */
export class HttpHookCaller implements HookCaller {
  readonly #tryMs: number;
  readonly #wallMs: () => number;

  constructor({ tryMs = TRY_MS, wallMs = Date.now }: HttpHookCallerOptions = {}) {
    this.#tryMs = tryMs;
    this.#wallMs = wallMs;
  }

  async call(hook: Hook, request: HookRequest, signal: AbortSignal): Promise<'agreed' | 'refused'> {
    throwIfAborted(signal);
    const url = webUrl(hook.url);
    const body = Buffer.from(JSON.stringify(request));
    const headers: Record<string, string> = {
      'content-type': 'application/json',
      'content-length': String(body.length),
      connection: 'close',
      'user-agent': 'virtscale',
      'x-virtscale-id': request.id,
      'x-virtscale-attempt': String(request.attempt),
    };
    if (hook.secretFile !== undefined) {
      const secret = await readSecret(hook.secretFile);
      headers['x-virtscale-signature'] = signatureOf(secret, Math.floor(this.#wallMs() / 1000), body);
    }
    throwIfAborted(signal);
    return verdictOf(await post(url, headers, body, Math.min(this.#tryMs, hook.deadlineMs), signal), url);
  }
}

/** `t=…,v1=…`, see `HttpHookCaller`. */
export function signatureOf(secret: Uint8Array, unixSeconds: number, body: Uint8Array): string {
  const hash = createHmac('sha256', secret).update(`${unixSeconds}.`).update(body);
  return `t=${unixSeconds},v1=${hash.digest('hex')}`;
}

function webUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new Fault(
      'refused',
      `the hook's URL is no http:// or https:// address: ${JSON.stringify(text.slice(0, 100))}`,
    );
  }
  return url;
}

/** Read each time: a new secret needs no restart. White space around it is no part of it. */
async function readSecret(file: string): Promise<Buffer> {
  try {
    const handle = await open(file, 'r');
    try {
      const bytes = Buffer.alloc(SECRET_BYTES_MAX + 1);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      if (bytesRead > SECRET_BYTES_MAX) throw new Error(`it has more than ${SECRET_BYTES_MAX} bytes`);
      const secret = bytes.toString('utf8', 0, bytesRead).trim();
      if (secret === '') throw new Error('it is empty');
      return Buffer.from(secret);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault('refused', `cannot read the hook's secret ${file}: ${why}`, { cause: error });
  }
}

function post(
  url: URL,
  headers: Record<string, string>,
  body: Buffer,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    let sent: ClientRequest;
    try {
      sent = send(url, { method: 'POST', headers, agent: false });
    } catch (error) {
      reject(new Fault('refused', `the hook cannot be called: ${messageOf(error)}`, { cause: error }));
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      // Late errors of a request nobody waits for.
      sent.on('error', () => undefined);
      sent.destroy();
    };
    const fail = (fault: Fault): void => {
      end();
      reject(fault);
    };
    const onAbort = (): void => fail(aborted());
    const late = (): void => fail(new Fault('timed-out', `${url.host} does not answer within ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    sent.once('error', (error) => {
      fail(new Fault('unreachable', `the connection to ${url.host} failed: ${messageOf(error)}`, { cause: error }));
    });
    sent.once('response', (answer) => {
      const status = answer.statusCode ?? 0;
      drain(answer, () => {
        end();
        resolve(status);
      });
    });
    sent.end(body);
  });
}

/** The status is what counts: an answer that is too long, or is cut off, is an answer. */
function drain(answer: IncomingMessage, done: () => void): void {
  let bytes = 0;
  answer.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) done();
  });
  answer.once('end', done);
  answer.once('error', done);
}

function verdictOf(status: number, url: URL): 'agreed' | 'refused' {
  if (status >= 200 && status <= 299) return 'agreed';
  if (status === 403 || status === 409) return 'refused';
  const kind = status === 429 || status === 503 ? 'busy' : 'unreachable';
  throw new Fault(kind, `${url.host} answered ${status}`);
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw aborted();
}

function aborted(): Fault {
  return new Fault('aborted', 'the call of the hook was cancelled');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
