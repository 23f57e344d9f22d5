// Somebody outside who is asked before VMs serve or go, and answers what the test says.

import type { Hook } from '../../src/core/policy.ts';
import type { Fault } from '../../src/ports/fault.ts';
import type { HookCaller, HookRequest } from '../../src/ports/hook-caller.ts';

export class ScriptedHooks implements HookCaller {
  /** Every try, in order. */
  readonly requests: HookRequest[] = [];
  answer: (request: HookRequest) => 'agreed' | 'refused' | Fault = () => 'agreed';

  async call(_hook: Hook, request: HookRequest): Promise<'agreed' | 'refused'> {
    this.requests.push(request);
    const answer = this.answer(request);
    if (typeof answer === 'string') return answer;
    throw answer;
  }
}
