// A policy file's text to a policy the core can trust, or everything that is wrong with it, each with its line.
// Not here: reading or watching files, and what the rules do (core).

import { dirname, resolve } from 'node:path';
import type { LintContext } from '../core/lint-policy.ts';
import type { ReadyCheck } from '../core/model.ts';
import { type HealthCheck, type Hook, POLICY_DEFAULTS, type Policy, type Source } from '../core/policy.ts';
import type { FileProblem } from './file-problem.ts';
import { HOOK_DEADLINE_MS, type RawHealth, type RawHook } from './group-schema.ts';
import { lintOnLines } from './policy-lint.ts';
import {
  clashes,
  outsideProblems,
  type PlacedRule,
  type PolicyCatalog,
  placementProblems,
  sourceOf,
  tooFewHosts,
} from './policy-references.ts';
import { policyKeys, policySchema, type RawPolicy } from './policy-schema.ts';
import { scaleRule } from './rule-schema.ts';
import { checkYaml, isBlock } from './schemas.ts';
import { cappedProblems, readYaml } from './yaml-text.ts';

export type { PolicyCatalog } from './policy-references.ts';

/** A thousand listed domains fit. Text of this size that is no YAML at all takes about a second to be refused, a MiB ten. */
export const MAX_POLICY_BYTES = 128 * 1024;

export type PolicyResult =
  | { readonly ok: true; readonly policy: Policy; readonly warnings: readonly FileProblem[] }
  /** At least one problem, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/**
 * `file`: named in problems; paths in it are relative to its folder. `context`: poll interval and boot time to warn by; absent: a
 * second, and that of the embedded guest.
 */
export function parsePolicy(text: string, file: string, catalog: PolicyCatalog, context?: LintContext): PolicyResult {
  const read = readYaml(text, file, MAX_POLICY_BYTES);
  if (!read.ok) return { ok: false, problems: read.problems };
  const { yaml } = read;
  if (yaml.value === null) return { ok: false, problems: [yaml.problem([], 'the file is empty: it holds no policy')] };
  const { value, problems } = checkYaml(policySchema, yaml);
  if (!isBlock(yaml.value)) return { ok: false, problems };
  const parts = partsOf(yaml.value);
  const rules = placedRules(yaml.value['scale']);
  const source = sourceOf(yaml, catalog, value);
  const lint = lintOnLines(
    yaml,
    settingsOf({ ...parts, scale: rules.map(({ rule }) => rule) }, file, readyOf(parts)),
    rules,
    context,
  );
  const all = [
    ...problems,
    ...lint.errors,
    ...source.problems,
    ...placementProblems(yaml, catalog),
    ...outsideProblems(yaml, rules, catalog),
    ...clashes(yaml, source.value),
  ];
  if (value === undefined || source.value === undefined || all.length > 0) {
    return { ok: false, problems: cappedProblems(distinct(all)) };
  }
  const policy = { group: value.group, source: source.value, ...settingsOf(value, file, checkOf(source.value)) };
  return { ok: true, policy, warnings: [...lint.warnings, ...tooFewHosts(yaml, value, catalog)] };
}

/** Why a file cannot stand beside `other`, which holds the same: one file per group acts, and every candidate has a name of its own. */
export function twinReason(
  { candidate, group, mode }: Pick<Policy, 'group' | 'mode' | 'candidate'>,
  other: string,
): string {
  if (candidate !== undefined) return `group ${group} has a candidate named ${candidate} already, in ${other}`;
  const advice =
    mode === 'observe'
      ? 'give this one a name: candidate: NAME'
      : 'to try another policy beside it, let it have mode: observe and a candidate name';
  return `group ${group} has a policy already, in ${other}; one file per group acts: ${advice}`;
}

type Parts = Partial<RawPolicy>;

/** Those keys of a policy that have the right form. */
function partsOf(raw: Readonly<Record<string, unknown>>): Parts {
  return Object.fromEntries(
    Object.entries(policyKeys).flatMap(([key, form]) => {
      const parsed = raw[key] === undefined || key === 'scale' ? undefined : form.safeParse(raw[key]);
      return parsed?.success ? [[key, parsed.data]] : [];
    }),
  );
}

function placedRules(scale: unknown): readonly PlacedRule[] {
  return (Array.isArray(scale) ? scale : []).flatMap((item: unknown, index) => {
    const parsed = scaleRule.safeParse(item);
    return parsed.success ? [{ index, rule: parsed.data }] : [];
  });
}

function readyOf({ template, ready }: Parts): ReadyCheck | undefined {
  return template?.ready ?? ready;
}

function checkOf(source: Source): ReadyCheck {
  return source.kind === 'template' ? source.template.ready : source.ready;
}

/** Everything but where VMs come from. What is missing has its default; a missing size, one that contradicts nothing. */
function settingsOf(raw: Parts, file: string, ready: ReadyCheck | undefined): Omit<Policy, 'group' | 'source'> {
  const defaults = POLICY_DEFAULTS;
  const { min = 0, max = Math.max(min, 1), candidate, placement, balancer, refresh } = raw;
  const health = raw.health && healthOf(raw.health, ready);
  const { launch, remove } = raw.hooks ?? {};
  return {
    mode: raw.mode ?? defaults.mode,
    ...(candidate !== undefined && { candidate }),
    min,
    max,
    rules: raw.scale ?? [],
    pace: { out: raw.limits?.out ?? defaults.pace.out, in: raw.limits?.in ?? defaults.pace.in },
    warmupMs: raw.warmup ?? defaults.warmupMs,
    ...(placement !== undefined && { placement }),
    capacity: raw.capacity ?? defaults.capacity,
    removal: raw.removal ?? defaults.removal,
    ...(balancer !== undefined && { balancer }),
    hooks: {
      ...(launch && { launch: hookOf(launch, 'abandon', file) }),
      ...(remove && { remove: hookOf(remove, 'continue', file) }),
    },
    ...(health !== undefined && { health }),
    ...(refresh !== undefined && { refresh }),
    launchDeadlineMs: raw.launch?.deadline ?? defaults.launchDeadlineMs,
    drainGraceMs: raw.drain?.grace ?? defaults.drainGraceMs,
    shutdownDeadlineMs: raw.shutdown?.deadline ?? defaults.shutdownDeadlineMs,
  };
}

function healthOf({ check: own, ...rest }: RawHealth, ready: ReadyCheck | undefined): HealthCheck | undefined {
  const check = own ?? ready;
  return check && { check, ...rest };
}

function hookOf({ url, secretFile, deadline, onTimeout }: RawHook, otherwise: Hook['onTimeout'], file: string): Hook {
  return {
    url,
    ...(secretFile !== undefined && { secretFile: resolve(dirname(file), secretFile) }),
    deadlineMs: deadline ?? HOOK_DEADLINE_MS,
    onTimeout: onTimeout ?? otherwise,
  };
}

/** One complaint per place and reason. */
function distinct(problems: readonly FileProblem[]): readonly FileProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}
