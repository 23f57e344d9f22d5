// What a policy refers to outside its file: image, flavor, domains, placement, hosts, balancer, Prometheus, calendar. All names are looked
// up even when other parts of the file are wrong. Not here: the file's form (policy-schema), whether it makes sense (core/lint-policy).

import type { Flavor, HostName, Image, PlacementName } from '../core/model.ts';
import type { ScaleRule, Source } from '../core/policy.ts';
import { portOf } from '../core/ready-check.ts';
import { didYouMean } from './did-you-mean.ts';
import type { FileProblem } from './file-problem.ts';
import { unknownPlacement } from './placement-schema.ts';
import type { RawPolicy } from './policy-schema.ts';
import { isBlock } from './schemas.ts';
import type { YamlText } from './yaml-text.ts';

/** What policies may refer to. */
export interface PolicyCatalog {
  /** Names need not be known: the policy is judged by its rules and never runs. Its image and flavor are then stand-ins. */
  readonly anyName?: true;
  readonly images: readonly Image[];
  readonly flavors: readonly Flavor[];
  /** Placement algorithms. Absent: ours alone. */
  readonly placements?: readonly PlacementName[];
  /** Absent: not checked. */
  readonly hosts?: readonly HostName[];
  /** Absent: not checked. */
  readonly balancers?: readonly string[];
  /** Whether queries can be answered. Absent: not checked. */
  readonly prometheus?: boolean;
  /** What is wrong with a cron expression, for people; undefined when nothing is. Absent: only its form is checked. */
  readonly cronProblem?: (cron: string, timezone: string) => string | undefined;
}

/** A rule that has the right form, and where in the file's list it stands. */
export interface PlacedRule {
  readonly index: number;
  readonly rule: ScaleRule;
}

/** Where the VMs come from. Names are looked up even when other parts of the file are wrong. */
export function sourceOf(
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
    const problems = catalog.anyName
      ? []
      : [
          ...unknownName(yaml, template, 'image', catalog.images),
          ...unknownName(yaml, template, 'flavor', catalog.flavors),
        ];
    if (raw['ready'] !== undefined) {
      problems.push(yaml.problem(['ready'], 'belongs inside template', 'key'));
    }
    if (!policy?.template) return { problems };
    const { cloudInit: setup, ready } = policy.template;
    const image = named(policy.template.image, catalog.images, catalog.anyName && ANY_IMAGE);
    const flavor = named(policy.template.flavor, catalog.flavors, catalog.anyName && ANY_FLAVOR);
    if (!image || !flavor) return { problems };
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

const ANY_IMAGE: Image = { name: '', path: '', format: 'qcow2' };
const ANY_FLAVOR: Flavor = { name: '', vcpus: 1, memoryMiB: 1 };

function named<T extends { readonly name: string }>(name: string, known: readonly T[], any?: T): T | undefined {
  return known.find((one) => one.name === name) ?? (any && { ...any, name });
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
export function placementProblems(
  yaml: YamlText,
  { anyName, placements, hosts }: PolicyCatalog,
): readonly FileProblem[] {
  if (anyName) return [];
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
export function tooFewHosts(
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

/** The configuration's balancer and Prometheus. */
export function outsideProblems(
  yaml: YamlText,
  rules: readonly PlacedRule[],
  { balancers, prometheus, cronProblem }: PolicyCatalog,
): readonly FileProblem[] {
  const problems: FileProblem[] = [];
  const said = isBlock(yaml.value) ? yaml.value['balancer'] : undefined;
  if (typeof said === 'string' && said !== '' && balancers !== undefined && !balancers.includes(said)) {
    const there =
      balancers.length === 0
        ? 'the configuration has none: add it to balancers:'
        : `there are: ${balancers.join(', ')}`;
    const reason = `no balancer is named "${said.slice(0, 100)}"${didYouMean(said, balancers)}; ${there}`;
    problems.push(yaml.problem(['balancer'], reason));
  }
  for (const { index, rule } of rules) {
    if (rule.type === 'schedule') {
      const reason = cronProblem?.(rule.cron, rule.timezone);
      if (reason !== undefined) problems.push(yaml.problem(['scale', index, 'cron'], reason));
    } else if (rule.metric.source.kind === 'query' && prometheus === false) {
      const reason = 'a query needs a Prometheus: add prometheus: { url: http://127.0.0.1:9090 } to the configuration';
      problems.push(yaml.problem(['scale', index, 'metric', 'query'], reason));
    }
  }
  return problems;
}

/** Parts that cannot go together. */
export function clashes(yaml: YamlText, source: Source | undefined): readonly FileProblem[] {
  const raw = isBlock(yaml.value) ? yaml.value : {};
  const problems: FileProblem[] = [];
  const tell = (key: string, reason: string) => problems.push(yaml.problem([key], reason, 'key'));
  if (raw['candidate'] !== undefined && (raw['mode'] ?? 'act') === 'act') {
    tell('candidate', 'goes with mode: observe: a candidate decides beside the policy in force, and does nothing');
  }
  if (raw['domains'] !== undefined) {
    const reason = 'goes with template: listed domains are started and shut down as they are';
    for (const key of ['capacity', 'refresh']) if (raw[key] !== undefined && raw[key] !== false) tell(key, reason);
  }
  const check = source?.kind === 'template' ? source.template.ready : source?.ready;
  if (raw['balancer'] !== undefined && check !== undefined && portOf(check) === undefined) {
    tell('balancer', 'needs the port that clients use: let ready be http or tcp, not agent');
  }
  return problems;
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
