// Port: asking somebody outside before a VM goes into service or is removed. Not here: when, and how often (engine).

import type { EventVm } from '../core/events.ts';
import type { GroupName } from '../core/model.ts';
import type { Hook } from '../core/policy.ts';

export interface HookRequest {
  /** The same for each try: receivers recognise repeats by it. */
  readonly id: string;
  readonly hook: 'launch' | 'remove';
  readonly group: GroupName;
  readonly vm: EventVm;
  readonly reason?: string;
  /** From 1. */
  readonly attempt: number;
  /** RFC 3339: when nobody waits any more. */
  readonly deadlineAt: string;
}

export interface HookCaller {
  /**
   * One try, as a signed POST. `agreed`: answered 200–299. `refused`: answered 409 or 403, which means no for good. Anything else is a
   * `Fault` (`unreachable`, `timed-out`, `busy`) and may be tried again; an unreadable secret is `refused` as a Fault.
   */
  call(hook: Hook, request: HookRequest, signal: AbortSignal): Promise<'agreed' | 'refused'>;
}
