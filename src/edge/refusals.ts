// What the engine refuses, as problem documents: one place for all routes.
// Not here: deciding that something is refused (engine).

import type { CommandResult } from '../engine/view.ts';
import { ProblemError, type ProblemName } from './problem.ts';

type Refusal = Extract<CommandResult<unknown>, { readonly ok: false }>;

const NAMES: Readonly<Record<Refusal['refused'], ProblemName>> = {
  'not-found': 'not-found',
  invalid: 'invalid-request',
  conflict: 'conflict',
  'no-capacity': 'no-capacity',
  'too-many': 'too-many',
  unreachable: 'unreachable',
  'key-reused': 'idempotency-key-reused',
};

/** Worth another try after this many seconds. */
const RETRY_AFTER_S: Partial<Readonly<Record<Refusal['refused'], number>>> = { 'too-many': 5, unreachable: 5 };

/** The value, or a `ProblemError`. `part`: what the refusal's `where` is a member of. */
export function accepted<T>(result: CommandResult<T>, part = 'body'): T {
  if (result.ok) return result.value;
  const { refused, reason, where, hosts } = result;
  const retryAfter = RETRY_AFTER_S[refused];
  throw new ProblemError(
    NAMES[refused],
    reason,
    {
      ...(where !== undefined && { errors: [{ where: `${part}.${where}`, what: reason }] }),
      ...(hosts !== undefined && { hosts: hosts.map(({ name, chosen, text }) => ({ name, chosen, text })) }),
    },
    retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) },
  );
}
