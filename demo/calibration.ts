// How much can one VM do here? Finds an N that costs 5 to 10 ms, and how many of those per second one VM answers.
// Not here: what is made of it (story).

import type { RequestRecord } from './request-record.ts';

export interface Calibration {
  readonly n: number;
  /** Time of one such request alone. */
  readonly aloneMs: number;
  /** Requests per second that one VM answers when it is never without work. */
  readonly capacityPerSecond: number;
}

export interface CalibrationOptions {
  readonly targetMs: number;
  /** Short enough not to be mistaken for load: the policy's `for` must be longer. */
  readonly burstMs: number;
  readonly concurrency: number;
  readonly signal: AbortSignal;
}

const FIRST_N = 22;
const ALONE_TRIES = 10;
const LARGEST_N = 44;
const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2;

/**
 * Each step of N costs the golden ratio times more, so a few steps find it on any machine: as long as the cost of connecting
 * still counts, the guess is too low and is made again from there.
 */
export async function calibrate(
  send: (n: number) => Promise<RequestRecord | undefined>,
  options: CalibrationOptions,
): Promise<Calibration> {
  let n = FIRST_N;
  let aloneMs = await alone(send, n, options.signal);
  while (aloneMs < options.targetMs / GOLDEN_RATIO && n < LARGEST_N) {
    const steps = Math.log(options.targetMs / aloneMs) / Math.log(GOLDEN_RATIO);
    n = Math.min(LARGEST_N, n + Math.max(1, Math.floor(steps)));
    aloneMs = await alone(send, n, options.signal);
  }
  // What a busy machine takes away makes both too small, never too large: the larger one is nearer to the truth.
  const capacityPerSecond = Math.max(await burst(send, n, options), 1000 / aloneMs);
  return { n, aloneMs, capacityPerSecond };
}

/** The quickest of a few: whatever else the machine does can only make it longer. */
async function alone(
  send: (n: number) => Promise<RequestRecord | undefined>,
  n: number,
  signal: AbortSignal,
): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < ALONE_TRIES; i += 1) {
    signal.throwIfAborted();
    times.push(checked(await send(n)).latencyMs);
  }
  return Math.min(...times);
}

async function burst(
  send: (n: number) => Promise<RequestRecord | undefined>,
  n: number,
  options: CalibrationOptions,
): Promise<number> {
  const startedMs = performance.now();
  let answered = 0;
  const worker = async () => {
    while (performance.now() - startedMs < options.burstMs) {
      options.signal.throwIfAborted();
      checked(await send(n));
      answered += 1;
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
  return answered / ((performance.now() - startedMs) / 1000);
}

function checked(record: RequestRecord | undefined): RequestRecord {
  if (record === undefined) throw new Error('there is no VM to send a request to');
  if (record.status !== '200') throw new Error(`${record.vm} answered /${record.n} with: ${record.status}`);
  return record;
}
