// Recorded load from a Prometheus: a range query, read whole. Not here: the queries that rules make (adapters/prometheus).

import { z } from '@hono/zod-openapi';
import type { Trace } from '../../core/backtest/trace.ts';
import { CommandFailure } from './command-failure.ts';

export interface RangeQuery {
  readonly url: string;
  readonly query: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
}

/** Prometheus gives no more points than this in one answer. */
const POINTS_MAX = 11_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const PARTS_MAX = 400;
const DEADLINE_MS = 30_000;

const answerSchema = z.object({
  status: z.literal('success'),
  data: z.object({
    resultType: z.literal('matrix'),
    result: z.array(z.object({ values: z.array(z.tuple([z.number(), z.string()])) })),
  }),
});
const failureSchema = z.object({ status: z.literal('error'), error: z.string() });

/** In parts where it is long. Points that are missing or no number are left out: the row before holds on. Throws `CommandFailure`. */
export async function rangeTrace(query: RangeQuery, signal?: AbortSignal): Promise<Trace> {
  const { fromMs, toMs, stepMs } = query;
  const widthMs = stepMs * (POINTS_MAX - 1);
  if ((toMs - fromMs) / widthMs > PARTS_MAX) throw new CommandFailure(2, 'too many points: choose a longer --step');
  const [t, rps]: [number[], number[]] = [[], []];
  for (let partMs = fromMs; partMs <= toMs; partMs += widthMs + stepMs) {
    const values = await rangePart({ ...query, fromMs: partMs, toMs: Math.min(toMs, partMs + widthMs) }, signal);
    for (const [at, text] of values) {
      const value = Number(text);
      if (!Number.isFinite(value) || value < 0) continue;
      t.push(at);
      rps.push(value);
    }
  }
  if (t.length < 2) throw new CommandFailure(1, 'the query gave fewer than two points in that time');
  return { name: 'prometheus', t: Float64Array.from(t), rps: Float64Array.from(rps) };
}

async function rangePart(range: RangeQuery, signal: AbortSignal | undefined) {
  const url = urlOf(range);
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let text: string;
  try {
    const response = await fetch(url, {
      signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
    });
    text = await boundedText(response);
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new CommandFailure(1, `no answer from ${url.origin}: ${why}`, error);
  }
  return valuesOf(text, url);
}

function urlOf({ url: base, query, fromMs, toMs, stepMs }: RangeQuery): URL {
  const url = URL.parse(`${base.replace(/\/+$/, '')}/api/v1/query_range`);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new CommandFailure(2, `--prometheus must be a URL such as http://127.0.0.1:9090, not ${base}`);
  }
  const about = { query, start: fromMs / 1000, end: toMs / 1000, step: stepMs / 1000 };
  for (const [key, value] of Object.entries(about)) url.searchParams.set(key, String(value));
  return url;
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, bytes] = ['', 0];
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new CommandFailure(1, `the answer has more than ${ANSWER_BYTES_MAX} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

function valuesOf(text: string, url: URL) {
  const json = jsonOf(text);
  const failure = failureSchema.safeParse(json);
  if (failure.success) throw new CommandFailure(2, `Prometheus refuses the query: ${failure.data.error}`);
  const answer = answerSchema.safeParse(json);
  if (!answer.success) throw new CommandFailure(1, `${url.origin} did not answer as a Prometheus does`);
  const { result } = answer.data.data;
  if (result.length > 1) {
    throw new CommandFailure(2, `the query gives ${result.length} series: aggregate them, such as sum(…)`);
  }
  return result[0]?.values ?? [];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
