// Operations of the fake engine: each is a list of steps, run at once or one by one as the test says.
// Not here: what the steps do (fake-fabric).

import type { Progress } from '../../src/core/operation.ts';
import { ENDED_STATES, type Operation } from '../../src/core/operation.ts';
import type { Caller, CommandResult, OperationQuery, OperationStatus } from '../../src/engine/view.ts';
import type { MemoryEventLog } from './memory-event-log.ts';
import { clock, NOW_MS } from './pictures.ts';

/** What a step makes of its operation. A step after the operation has ended is not run. */
export type Step = (operation: Operation) => Partial<Operation> & { readonly progress?: Progress };

export class FakeOperations {
  /** `immediate`: in the microtasks after the command's answer. `manual`: one step per `advance()`. */
  pace: 'immediate' | 'manual' = 'immediate';
  readonly #log: MemoryEventLog;
  readonly #all = new Map<string, OperationStatus>();
  readonly #steps = new Map<string, Step[]>();
  readonly #undo = new Map<string, () => void>();
  readonly #keys = new Map<string, string>();
  readonly #waiting = new Set<() => void>();
  #next = 1;

  constructor(log: MemoryEventLog) {
    this.#log = log;
  }

  /** The operation this key brought before, or the refusal when it was another request. */
  repeated({ owner, key, fingerprint }: Caller): CommandResult<OperationStatus> | undefined {
    const known = key === undefined ? undefined : this.#all.get(this.#keys.get(`${owner}\n${key}`) ?? '');
    if (known === undefined) return undefined;
    if (known.operation.fingerprint === fingerprint) return { ok: true, value: known };
    return { ok: false, refused: 'key-reused', reason: 'this key came before with another request' };
  }

  begin(
    operation: Pick<Operation, 'kind' | 'state'> & Partial<Operation>,
    caller: Caller,
    steps: readonly Step[],
    undo: () => void = () => undefined,
  ): OperationStatus {
    const id = `op-${this.#next++}`;
    const at = clock.wallOf(NOW_MS + this.#next);
    const whole: Operation = {
      id,
      owner: caller.owner,
      createdAt: at,
      changedAt: at,
      ...(caller.key !== undefined && { key: caller.key }),
      ...(caller.fingerprint !== undefined && { fingerprint: caller.fingerprint }),
      vms: [],
      history: [{ at, text: 'verified' }],
      ...operation,
    };
    const status = { operation: whole };
    this.#all.set(id, status);
    if (caller.key !== undefined) this.#keys.set(`${caller.owner}\n${caller.key}`, id);
    this.#steps.set(id, [...steps]);
    this.#undo.set(id, undo);
    this.#tell(whole);
    if (this.pace === 'immediate') queueMicrotask(() => this.#finish(id));
    return status;
  }

  /** One step of every operation that has not ended. */
  advance(): void {
    for (const id of [...this.#steps.keys()]) this.#step(id);
  }

  get(id: string): OperationStatus | undefined {
    return this.#all.get(id);
  }

  list({ limit, before, vmId, state, kind, owner }: OperationQuery): readonly OperationStatus[] {
    const newest = [...this.#all.values()].reverse();
    const from = before === undefined ? 0 : newest.findIndex(({ operation }) => operation.id === before) + 1;
    return newest
      .slice(from)
      .filter(({ operation }) => vmId === undefined || operation.vms.some((vm) => vm.id === vmId))
      .filter(({ operation }) => owner === undefined || operation.owner === owner)
      .filter(({ operation }) => state === undefined || operation.state === state)
      .filter(({ operation }) => kind === undefined || operation.kind === kind)
      .slice(0, limit);
  }

  cancel(id: string): CommandResult<OperationStatus> {
    const status = this.#all.get(id);
    if (status === undefined) return { ok: false, refused: 'not-found', reason: `there is no operation ${id}` };
    const { state, kind } = status.operation;
    if (ENDED_STATES.has(state)) return { ok: false, refused: 'conflict', reason: `it has ended: ${state}` };
    if (kind !== 'vm.create' && kind !== 'image.import') {
      return { ok: false, refused: 'conflict', reason: `${kind} cannot be cancelled` };
    }
    const changed = this.#change(id, { cancelling: true }, 'is being cancelled');
    if (this.pace === 'immediate') queueMicrotask(() => this.#finish(id));
    return { ok: true, value: changed };
  }

  async ended(id: string, timeoutMs: number, signal?: AbortSignal): Promise<OperationStatus | undefined> {
    const over = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
    for (;;) {
      const status = this.#all.get(id);
      if (status === undefined || ENDED_STATES.has(status.operation.state) || over.aborted) return status;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          over.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.add(wake);
        over.addEventListener('abort', wake);
      });
    }
  }

  #finish(id: string): void {
    while (this.#steps.has(id)) this.#step(id);
  }

  #step(id: string): void {
    const status = this.#all.get(id);
    if (status === undefined) return;
    const { operation } = status;
    if (operation.cancelling === true) {
      this.#undo.get(id)?.();
      const vms = operation.vms.map((vm) => ({ ...vm, outcome: 'cancelled' as const }));
      this.#change(id, { state: 'cancelled', cancelling: false, vms }, 'cancelled');
    } else {
      const step = this.#steps.get(id)?.shift();
      const changes = step === undefined ? { state: 'succeeded' as const } : step(operation);
      this.#change(id, changes, changes.state ?? 'went on');
    }
    for (const wake of [...this.#waiting]) wake();
  }

  #change(id: string, { progress, ...changes }: ReturnType<Step>, text: string): OperationStatus {
    const before = this.#all.get(id);
    if (before === undefined) throw new Error(`no operation ${id}`);
    const at = clock.wallOf(Date.parse(before.operation.changedAt) + 1);
    const operation: Operation = {
      ...before.operation,
      ...changes,
      changedAt: at,
      history: [...before.operation.history, { at, text }],
      ...(changes.state !== undefined && ENDED_STATES.has(changes.state) && { endedAt: at }),
    };
    const now = progress ?? before.progress;
    const status = { operation, ...(now !== undefined && { progress: now }) };
    this.#all.set(id, status);
    if (ENDED_STATES.has(operation.state)) this.#steps.delete(id);
    this.#tell(operation);
    return status;
  }

  #tell({ id, kind, state, owner, vms, image, history }: Operation): void {
    const operation = { id, kind, state, owner, vmIds: vms.map((vm) => vm.id), ...(image !== undefined && { image }) };
    this.#log.append({ type: 'operation.changed', operation, text: history.at(-1)?.text ?? '' });
  }
}
