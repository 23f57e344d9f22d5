// Has the core judge as much of a policy as has the right form, so that a slip elsewhere does not hide that min is above max, and puts what
// it says on lines. Not here: what is judged (core/lint-policy).

import { type LintContext, type LintPlace, lintPolicy } from '../core/lint-policy.ts';
import type { Policy } from '../core/policy.ts';
import type { FileProblem, Path } from './file-problem.ts';
import type { PlacedRule } from './policy-references.ts';
import type { YamlText } from './yaml-text.ts';

interface Linted {
  readonly errors: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
}

/** `rules` are those of `policy`, with their places. */
export function lintOnLines(
  yaml: YamlText,
  policy: Omit<Policy, 'group' | 'source'>,
  rules: readonly PlacedRule[],
  context: LintContext | undefined,
): Linted {
  const [errors, warnings]: [FileProblem[], FileProblem[]] = [[], []];
  for (const { severity, place, reason } of lintPolicy(policy, context)) {
    (severity === 'error' ? errors : warnings).push(yaml.problem(pathOf(place, rules), reason));
  }
  return { errors, warnings };
}

/** `{ rule: 1, field: 'steps[2].above' }` is scale[1].steps[2].above. A field that is not in the file brings the line of what it is in. */
function pathOf(place: LintPlace, rules: readonly PlacedRule[]): Path {
  const field = place.field
    .split(/[.[\]]+/)
    .flatMap((part) => (part === '' ? [] : [/^\d+$/.test(part) ? Number(part) : part]));
  if (!('rule' in place)) return field;
  return ['scale', rules[place.rule]?.index ?? 0, ...field];
}
