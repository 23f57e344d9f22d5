// Waiting for an operation: one changing line on a terminal, plain lines elsewhere; how it ended, as the end of the command.

import { setTimeout as sleep } from 'node:timers/promises';
import { operationSchema, type PublicOperation } from '../fabric-schemas.ts';
import { Unreachable } from './api-client.ts';
import type { ClientContext } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { bytes, elapsed } from './figures.ts';
import { hostLines } from './refusal.ts';

/** How long one question is held back by the daemon: on a terminal the line moves on each second. */
const HOLD_MS = { line: 1000, lines: 10_000 };
/** A lost daemon that is restarted goes on with its operations. */
const LOST_FOR_MS = 60_000;
const AGAIN_MS = 500;

/** Returns it when it has succeeded; throws `CommandFailure` when it has not, and on Ctrl-C, which leaves it running. */
export async function waitForOperation(context: ClientContext, operation: PublicOperation): Promise<PublicOperation> {
  const ended = await context.interruptible((signal) => untilEnded(context, operation, signal));
  context.terminal.endProgress();
  return succeeded(ended);
}

/** The operation when it has succeeded; throws its failure, each host with its reason, otherwise. */
function succeeded(operation: PublicOperation): PublicOperation {
  if (operation.state === 'succeeded') return operation;
  const { failure, vms } = operation;
  const detail = failure?.detail ?? `operation ${operation.id} was cancelled`;
  const vmLines = vms.flatMap(({ name, reason }) => {
    return reason === undefined || detail.includes(reason) ? [] : [`  ${name}: ${reason}`];
  });
  throw new CommandFailure(1, [detail, ...hostLines(failure?.hosts), ...vmLines].join('\n'));
}

async function untilEnded(
  context: ClientContext,
  begun: PublicOperation,
  signal: AbortSignal,
): Promise<PublicOperation> {
  const { api, terminal } = context;
  const holdMs = terminal.hasProgressLine ? HOLD_MS.line : HOLD_MS.lines;
  const path = `/v1/operations/${encodeURIComponent(begun.id)}/wait`;
  const report = new Report(context);
  let operation = begun;
  let lostAtMs: number | undefined;
  for (;;) {
    report.show(operation);
    if (operation.endedAt !== undefined) return operation;
    try {
      const query = { timeout: `${holdMs}ms` };
      operation = await api.get(path, operationSchema, query, { extraMs: holdMs, signal });
      lostAtMs = undefined;
    } catch (error) {
      if (signal.aborted) throw interrupted(begun.id);
      lostAtMs ??= performance.now();
      if (!(error instanceof Unreachable) || performance.now() - lostAtMs > LOST_FOR_MS) throw error;
      terminal.progress(`the connection is lost; asking ${api.url.origin} again`);
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => {
        throw interrupted(begun.id);
      });
    }
  }
}

function interrupted(id: string): CommandFailure {
  return new CommandFailure(
    130,
    `operation ${id} goes on. Watch it: virtscale operations wait ${id}. Cancel it: virtscale operations cancel ${id}`,
  );
}

/** What of an operation has been told already. */
class Report {
  readonly #context: ClientContext;
  readonly #beganMs = performance.now();
  #told = 0;
  #step = 0;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  show({ kind, history, progress }: PublicOperation): void {
    const { terminal, json } = this.#context;
    const last = history.at(-1)?.text ?? kind;
    if (terminal.hasProgressLine) {
      const far = progress === undefined ? '' : `  ${progressText(progress)}`;
      terminal.progress(`${elapsed(performance.now() - this.#beganMs)}  ${last}${far}`);
      return;
    }
    if (json) return;
    for (const { at, text } of history.slice(this.#told)) terminal.error(terminal.styled(undefined, `${at}  ${text}`));
    this.#told = history.length;
    // A line for each tenth, not for each question.
    const step = progress?.total ? Math.floor((10 * progress.done) / progress.total) : 0;
    if (progress !== undefined && step > this.#step) terminal.error(terminal.styled(undefined, progressText(progress)));
    this.#step = step;
  }
}

export function progressText({ text, done, total, unit }: NonNullable<PublicOperation['progress']>): string {
  const amount = (value: number): string => (unit === 'bytes' ? bytes(value) : `${value}`);
  if (total === undefined || total === 0) return `${text}: ${amount(done)}`;
  return `${text}: ${amount(done)} of ${amount(total)} (${Math.floor((100 * done) / total)} %)`;
}
