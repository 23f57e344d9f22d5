// The query port over Prometheus' HTTP API: one instant query, one number. Anything that speaks the API will do (Thanos, Mimir,
// VictoriaMetrics). Not here: how often to ask (engine), what the number is for (core).

import { Fault } from '../../ports/fault.ts';
import type { QuerySource } from '../../ports/query-source.ts';

const TIMEOUT_MS = 5000;
const ANSWER_BYTES_MAX = 1024 * 1024;
/** Longer queries go in a body: servers and proxies refuse long addresses. */
const GET_CHARACTERS_MAX = 1024;

export interface PrometheusOptions {
  /** Where the API is, such as `http://127.0.0.1:9090` or `https://metrics.example/prometheus`. */
  readonly url: string;
  /** Sent with each query, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For one query, from the first byte to the last. Default: 5 s. */
  readonly timeoutMs?: number;
  /** Unix time in ms, to tell a value's age. */
  readonly wallMs?: () => number;
}

/**
 * A scalar, or a vector of one series. `refused`: the query is wrong, several series (aggregate them), no number, NaN or infinite.
 * `gone`: no series. `unreachable`, `busy` (429, 503), `timed-out`, `aborted` as always.
 */
export class PrometheusSource implements QuerySource {
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #wallMs: () => number;

  /** Throws `TypeError` when the URL is none. */
  constructor({ url, headers = {}, timeoutMs = TIMEOUT_MS, wallMs = Date.now }: PrometheusOptions) {
    this.#url = new URL(`${url.replace(/\/+$/, '')}/api/v1/query`);
    this.#headers = headers;
    this.#timeoutMs = timeoutMs;
    this.#wallMs = wallMs;
  }

  async value(query: string, signal: AbortSignal): Promise<{ readonly value: number; readonly ageMs: number }> {
    const late = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await this.#ask(query, AbortSignal.any([signal, late]));
      const { value, atMs } = numberOf(await answerOf(response, this.#url.host));
      return { value, ageMs: Math.max(0, this.#wallMs() - atMs) };
    } catch (error) {
      if (error instanceof Fault) throw error;
      if (signal.aborted) throw new Fault('aborted', 'the query was cancelled', { cause: error });
      if (late.aborted) throw new Fault('timed-out', `${this.#url.host} does not answer within ${this.#timeoutMs} ms`);
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw new Fault('unreachable', `the connection to ${this.#url.host} failed: ${cause}`, { cause: error });
    }
  }

  #ask(query: string, signal: AbortSignal): Promise<Response> {
    const form = new URLSearchParams({ query, timeout: `${this.#timeoutMs}ms` });
    const headers = { ...this.#headers, accept: 'application/json', 'user-agent': 'virtscale' };
    // Redirected, the headers would go to somebody else.
    const common = { headers, redirect: 'manual', signal } as const;
    if (query.length > GET_CHARACTERS_MAX) return fetch(this.#url, { ...common, method: 'POST', body: form });
    return fetch(new URL(`?${form}`, this.#url), common);
  }
}

async function answerOf(response: Response, host: string): Promise<unknown> {
  const text = await boundedText(response, host);
  const { status } = response;
  const answer = parsed(text);
  if (status === 200 && answer !== undefined) return answer;
  const why = typeof answer?.['error'] === 'string' ? `: ${answer['error'].slice(0, 300)}` : '';
  if (status === 400 || status === 422) throw new Fault('refused', `Prometheus refuses the query${why}`);
  if (status === 429 || status === 503) throw new Fault('busy', `${host} answered ${status}${why}`);
  if (status === 401 || status === 403)
    throw new Fault('refused', `${host} answered ${status}: it wants other credentials`);
  throw new Fault(
    'unreachable',
    status === 200 ? `${host} does not speak Prometheus' API` : `${host} answered ${status}${why}`,
  );
}

async function boundedText(response: Response, host: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop cancels what is still to come.
    if (bytes > ANSWER_BYTES_MAX)
      throw new Fault('refused', `${host} answers with more than ${ANSWER_BYTES_MAX} bytes`, ADVICE);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const ADVICE = { advice: 'Aggregate the series into one, for example with sum(…).' };

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** https://prometheus.io/docs/prometheus/latest/querying/api/: times in seconds, values as text. */
function numberOf(answer: unknown): { readonly value: number; readonly atMs: number } {
  const data = isObject(answer) ? answer['data'] : undefined;
  if (!isObject(data)) throw new Fault('unreachable', "the answer is none of Prometheus' API");
  const { resultType, result } = data;
  if (resultType === 'scalar') return sampleOf(result);
  if (resultType !== 'vector' || !Array.isArray(result)) {
    throw new Fault('refused', `the query gives a ${String(resultType)}; it must give one number`);
  }
  const [first, ...others] = result;
  if (first === undefined) throw new Fault('gone', 'the query finds no series');
  if (others.length > 0)
    throw new Fault('refused', `the query gives ${result.length} series; it must give one number`, ADVICE);
  if (!isObject(first) || first['value'] === undefined) {
    throw new Fault('refused', 'the query gives a histogram; it must give one number');
  }
  return sampleOf(first['value']);
}

function sampleOf(sample: unknown): { readonly value: number; readonly atMs: number } {
  const [seconds, text] = Array.isArray(sample) ? sample : [];
  const value = typeof text === 'string' && text.trim() !== '' ? Number(text) : Number.NaN;
  if (!Number.isFinite(value))
    throw new Fault('refused', `the query gives ${JSON.stringify(text) ?? 'nothing'}, which is no finite number`);
  if (typeof seconds !== 'number' || !Number.isFinite(seconds))
    throw new Fault('unreachable', 'the answer has no time');
  return { value, atMs: seconds * 1000 };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
