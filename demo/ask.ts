// One request to a guest's backend, checked: `GET /N` must give the N-th Fibonacci number from the VM that was asked.
// Not here: whom to ask, how often (load-client).

import { type Agent, request } from 'node:http';
import type { Endpoint } from '../src/core/model.ts';
import { fibonacci } from './fibonacci.ts';

export interface Target {
  /** Absent: a balancer, behind which any VM may answer. */
  readonly vm?: string;
  readonly endpoint: Endpoint;
}

export interface Answer {
  /** The HTTP status, or in one word what went wrong: `wrong-answer`, `timeout`, `ECONNRESET`… Only '200' is a success. */
  readonly status: string;
  readonly latencyMs: number;
  /** The VM that says it has answered. */
  readonly server?: string;
}

const MAX_ANSWER_BYTES = 4096;

/** Never rejects. The time is that from having something to ask until the whole answer is there, connecting included. */
export function ask(target: Target, agent: Agent, n: number, timeoutMs: number): Promise<Answer> {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const end = (status: string, server?: string) =>
      resolve({ status, latencyMs: performance.now() - startedMs, ...(server !== undefined && { server }) });
    const call = request({
      host: target.endpoint.address,
      port: target.endpoint.port,
      path: `/${n}`,
      agent,
      signal: AbortSignal.timeout(timeoutMs),
    });
    call.on('error', (error: NodeJS.ErrnoException) =>
      end(error.name === 'AbortError' ? 'timeout' : (error.code ?? 'error')),
    );
    call.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length <= MAX_ANSWER_BYTES) return;
        end('too-long');
        call.destroy();
      });
      response.on('error', () => end('cut-off'));
      response.on('end', () => {
        if (response.statusCode !== 200) end(String(response.statusCode));
        else end(isRightAnswer(body, target.vm, n) ? '200' : 'wrong-answer', serverIn(body));
      });
    });
    call.end();
  });
}

/** `vm` undefined: whoever it was. */
export function isRightAnswer(body: string, vm: string | undefined, n: number): boolean {
  const { input, result, server } = fieldsOf(body);
  return input === n && result === fibonacci(n) && (vm === undefined ? typeof server === 'string' : server === vm);
}

function serverIn(body: string): string | undefined {
  const { server } = fieldsOf(body);
  return typeof server === 'string' ? server : undefined;
}

function fieldsOf(body: string): Readonly<Record<string, unknown>> {
  let answer: unknown;
  try {
    answer = JSON.parse(body);
  } catch {
    return {};
  }
  return typeof answer === 'object' && answer !== null ? (answer as Readonly<Record<string, unknown>>) : {};
}
