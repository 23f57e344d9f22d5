// A policy file's text to a policy the core can trust, or everything that is wrong with it, each with its line.
// Not here: reading or watching files, and what the rules do (core).

import { type LintContext, type LintPlace, lintPolicy } from '../core/lint-policy.ts';
import type { Flavor, HostName, Image, PlacementName } from '../core/model.ts';
import type { Policy, ScaleRule, Source } from '../core/policy.ts';
import { didYouMean } from './did-you-mean.ts';
import type { FileProblem, Path } from './file-problem.ts';
import { unknownPlacement } from './placement-schema.ts';
import { policySchema, type RawPolicy, scaleRule, sizes } from './policy-schema.ts';
import { checkYaml } from './schemas.ts';
import { cappedProblems, readYaml, type YamlText } from './yaml-text.ts';

/** A thousand listed domains fit. Text of this size that is no YAML at all takes about a second to be refused, a MiB ten. */
export const MAX_POLICY_BYTES = 128 * 1024;

const LAUNCH_DEADLINE_MS = 60_000;
const DRAIN_GRACE_MS = 5_000;
const SHUTDOWN_DEADLINE_MS = 30_000;

/** What policies may refer to. */
export interface PolicyCatalog {
  readonly images: readonly Image[];
  readonly flavors: readonly Flavor[];
  /** Placement algorithms. Absent: ours alone. */
  readonly placements?: readonly PlacementName[];
  /** Absent: not checked. */
  readonly hosts?: readonly HostName[];
}

export type PolicyResult =
  | { readonly ok: true; readonly policy: Policy; readonly warnings: readonly FileProblem[] }
  /** At least one problem, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/** `context`: poll interval and boot time to warn by; absent: a second, and that of the embedded guest. */
export function parsePolicy(text: string, file: string, catalog: PolicyCatalog, context?: LintContext): PolicyResult {
  const read = readYaml(text, file, MAX_POLICY_BYTES);
  if (!read.ok) return { ok: false, problems: read.problems };
  const { yaml } = read;
  if (yaml.value === null) return { ok: false, problems: [yaml.problem([], 'the file is empty: it holds no policy')] };
  const { value, problems } = checkYaml(policySchema, yaml);
  if (!isBlock(yaml.value)) return { ok: false, problems };
  const lint = lintWhatCanBe(yaml, context);
  const source = sourceOf(yaml, catalog, value);
  const all = [...problems, ...lint.errors, ...source.problems, ...placementProblems(yaml, catalog)];
  if (value === undefined || source.value === undefined || all.length > 0) {
    return { ok: false, problems: cappedProblems(distinct(all)) };
  }
  const warnings = [...lint.warnings, ...tooFewHosts(yaml, value, catalog)];
  return { ok: true, policy: policyOf(value, source.value), warnings };
}

function policyOf(raw: RawPolicy, source: Source): Policy {
  return {
    group: raw.group,
    min: raw.min,
    max: raw.max,
    source,
    rules: raw.scale,
    ...(raw.placement !== undefined && { placement: raw.placement }),
    launchDeadlineMs: raw.launch?.deadline ?? LAUNCH_DEADLINE_MS,
    drainGraceMs: raw.drain?.grace ?? DRAIN_GRACE_MS,
    shutdownDeadlineMs: raw.shutdown?.deadline ?? SHUTDOWN_DEADLINE_MS,
  };
}

/** Lints as much of a policy as has the right form, so that a slip elsewhere does not hide that min is above max. */
function lintWhatCanBe(
  yaml: YamlText,
  context: LintContext | undefined,
): { readonly errors: readonly FileProblem[]; readonly warnings: readonly FileProblem[] } {
  const raw = isBlock(yaml.value) ? yaml.value : {};
  const min = sizes.min.safeParse(raw['min']);
  const max = sizes.max.safeParse(raw['max']);
  const rules = (Array.isArray(raw['scale']) ? raw['scale'] : []).flatMap((item: unknown, index) => {
    const parsed = scaleRule.safeParse(item);
    return parsed.success ? [{ index, rule: parsed.data satisfies ScaleRule }] : [];
  });
  const found = lintPolicy(
    {
      min: min.success ? min.data : 0,
      max: max.success ? max.data : Math.max(min.success ? min.data : 0, 1),
      rules: rules.map(({ rule }) => rule),
    },
    context,
  );
  const problems = found.map(({ severity, place, reason }) => {
    const path = pathOf(place, rules);
    return { severity, problem: yaml.problem(path, reason) };
  });
  const of = (wanted: string) => problems.flatMap(({ severity, problem }) => (severity === wanted ? [problem] : []));
  return { errors: of('error'), warnings: of('warning') };
}

function pathOf(place: LintPlace, rules: readonly { readonly index: number; readonly rule: ScaleRule }[]): Path {
  if (!('rule' in place)) return [place.field];
  const judged = rules[place.rule];
  const out = judged?.rule.direction === 'out';
  const key = {
    name: 'name',
    threshold: out ? 'above' : 'below',
    for: 'for',
    by: out ? 'add' : 'remove',
    cooldown: 'cooldown',
  };
  return ['scale', judged?.index ?? 0, key[place.field]];
}

/** Where the VMs come from. Names are looked up even when other parts of the file are wrong. */
function sourceOf(
  yaml: YamlText,
  catalog: PolicyCatalog,
  policy: RawPolicy | undefined,
): { readonly value?: Source; readonly problems: readonly FileProblem[] } {
  const raw = isBlock(yaml.value) ? yaml.value : {};
  const [template, domains] = [raw['template'], raw['domains']];
  if ((template === undefined) === (domains === undefined)) {
    const reason =
      template === undefined
        ? 'needs either template (VMs are made) or domains (VMs that exist are started); it has neither'
        : 'a group has either template or domains, not both';
    return { problems: [yaml.problem(template === undefined ? [] : ['domains'], reason, 'key')] };
  }
  if (template !== undefined) {
    const problems = [
      ...unknownName(yaml, template, 'image', catalog.images),
      ...unknownName(yaml, template, 'flavor', catalog.flavors),
    ];
    if (raw['ready'] !== undefined) {
      problems.push(yaml.problem(['ready'], 'belongs inside template', 'key'));
    }
    const image = catalog.images.find((known) => known.name === policy?.template?.image);
    const flavor = catalog.flavors.find((known) => known.name === policy?.template?.flavor);
    if (!policy?.template || !image || !flavor) return { problems };
    const { cloudInit: setup, ready } = policy.template;
    return { problems, value: { kind: 'template', template: { image, flavor, ready, ...(setup && { setup }) } } };
  }
  const problems = [...repeatedDomains(yaml, domains), ...tooFewDomains(yaml, domains)];
  if (raw['ready'] === undefined) {
    const reason = 'needs ready: how a VM shows that it serves, such as ready: { http: { port: 80, path: / } }';
    return { problems: [...problems, yaml.problem(['domains'], reason, 'key')] };
  }
  if (!policy?.domains || !policy.ready) return { problems };
  const listed = policy.domains.map(({ name, address }) => ({ name, ...(address !== undefined && { address }) }));
  return { problems, value: { kind: 'domains', domains: listed, ready: policy.ready } };
}

function unknownName(
  yaml: YamlText,
  template: unknown,
  key: 'image' | 'flavor',
  known: readonly { readonly name: string }[],
): readonly FileProblem[] {
  const wanted = isBlock(template) ? template[key] : undefined;
  const names = known.map(({ name }) => name);
  if (typeof wanted !== 'string' || wanted === '' || names.includes(wanted)) return [];
  const there = names.length === 0 ? 'there are none' : `there are: ${names.join(', ')}`;
  return [
    yaml.problem(
      ['template', key],
      `no ${key} is named "${wanted.slice(0, 100)}"${didYouMean(wanted, names)}; ${there}`,
    ),
  ];
}

/** Names that stand for nothing. Looked up even when other parts of the file are wrong. */
function placementProblems(yaml: YamlText, { placements, hosts }: PolicyCatalog): readonly FileProblem[] {
  const said = isBlock(yaml.value) ? yaml.value['placement'] : undefined;
  const block = isBlock(said) ? said : { algorithm: said };
  const at = (key: string) => (isBlock(said) ? ['placement', key] : ['placement']);
  const { algorithm, host } = block as { readonly algorithm?: unknown; readonly host?: unknown };
  const problems: FileProblem[] = [];
  const unknown =
    typeof algorithm === 'string' && algorithm !== '' ? unknownPlacement(algorithm, placements) : undefined;
  if (unknown !== undefined) problems.push(yaml.problem(at('algorithm'), unknown));
  if (typeof host === 'string' && hosts !== undefined && !hosts.includes(host)) {
    const reason = `no host is named "${host.slice(0, 100)}"${didYouMean(host, hosts)}; there are: ${hosts.join(', ')}`;
    problems.push(yaml.problem(at('host'), reason));
  }
  return problems;
}

/** Apart, a group never has more VMs than there are hosts. */
function tooFewHosts(
  yaml: YamlText,
  { placement, max, template }: RawPolicy,
  { hosts }: PolicyCatalog,
): readonly FileProblem[] {
  if (placement?.apart !== true || template === undefined || hosts === undefined) return [];
  const possible = placement.host === undefined ? hosts.length : 1;
  if (max <= possible) return [];
  const count = possible === 1 ? 'one host is' : `${possible} hosts are`;
  return [
    yaml.problem(
      ['max'],
      `max is ${max}, but only ${count} there, and the VMs are to be apart: no more will be launched`,
    ),
  ];
}

function repeatedDomains(yaml: YamlText, domains: unknown): readonly FileProblem[] {
  if (!Array.isArray(domains)) return [];
  const names = domains.map((item: unknown) => (isBlock(item) ? item['name'] : item));
  return names.flatMap((name, index) =>
    typeof name === 'string' && names.indexOf(name) < index
      ? [yaml.problem(['domains', index], `${name.slice(0, 100)} is in the list already`)]
      : [],
  );
}

/** The group cannot have more VMs than there are domains in the list: `min` of them must be possible. */
function tooFewDomains(yaml: YamlText, domains: unknown): readonly FileProblem[] {
  const min = isBlock(yaml.value) ? yaml.value['min'] : undefined;
  if (!Array.isArray(domains) || domains.length === 0 || typeof min !== 'number' || min <= domains.length) return [];
  return [yaml.problem(['min'], `min is ${min}, but only ${domains.length} domains are listed`)];
}

function isBlock(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One complaint per place and reason. */
function distinct(problems: readonly FileProblem[]): readonly FileProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}
