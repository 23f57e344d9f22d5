// Numbers about groups that come from outside their VMs: posted ones, and answers of a monitoring system, asked at a beat of their own.
// Not here: what rules make of them (core), asking (ports/query-source).

import type { Metric } from '../core/metric.ts';
import { metricKey } from '../core/metric.ts';
import type { GroupName, GroupView, OutsideValue, VmRecord } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { QuerySource } from '../ports/query-source.ts';

export interface OutsideOptions {
  readonly clock: Clock;
  /** Absent: none is configured. */
  readonly queries?: QuerySource;
  /** All policies, candidates among them. */
  readonly policies: () => Iterable<Policy>;
}

const QUERY_EVERY_MS = 5_000;
const QUERY_DEADLINE_MS = 4_000;
/** Different queries of all policies; those beyond are told so. */
const QUERIES_MAX = 200;
/** Names of posted numbers per group. */
export const POSTED_NAMES_MAX = 50;

interface Posted {
  ofGroup?: OutsideValue;
  readonly ofVms: Map<string, OutsideValue>;
}

export class Outside {
  readonly #options: OutsideOptions;
  readonly #posted = new Map<GroupName, Map<string, Posted>>();
  readonly #answers = new Map<string, OutsideValue>();
  readonly #asking = new Set<string>();

  constructor(options: OutsideOptions) {
    this.#options = options;
  }

  /** Takes a number for a group, or for one of its VMs. False: the group has too many names of numbers already. */
  post(group: GroupName, name: string, value: number, vm?: VmRecord): boolean {
    const names = this.#posted.get(group) ?? new Map<string, Posted>();
    const posted = names.get(name) ?? { ofVms: new Map<string, OutsideValue>() };
    if (!names.has(name) && names.size >= POSTED_NAMES_MAX) return false;
    const told = { value, atMs: this.#options.clock.nowMs() };
    if (vm === undefined) posted.ofGroup = told;
    else posted.ofVms.set(vm.uuid, told);
    names.set(name, posted);
    this.#posted.set(group, names);
    return true;
  }

  /** Numbers of VMs and groups that are no more are forgotten. */
  forget(isKnown: (group: GroupName) => boolean, uuids: { has(uuid: string): boolean }): void {
    for (const [group, names] of this.#posted) {
      if (!isKnown(group)) this.#posted.delete(group);
      for (const { ofVms } of names.values()) {
        for (const uuid of ofVms.keys()) if (!uuids.has(uuid)) ofVms.delete(uuid);
      }
    }
  }

  /** Asks the monitoring system what policies want to know, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const wanted = this.#queriesWanted();
      for (const query of this.#answers.keys()) if (!wanted.has(query)) this.#answers.delete(query);
      for (const query of [...wanted].slice(0, QUERIES_MAX)) void this.#ask(query, signal);
      await clock.sleep(QUERY_EVERY_MS, signal);
    }
  }

  /** What the group's rules measure outside. */
  view(policy: Policy): GroupView['outside'] {
    const outside = metricsOf(policy).flatMap((metric) => {
      const found = this.#valueOf(policy.group, metric);
      return found === undefined ? [] : [[metricKey(metric), found] as const];
    });
    return outside.length === 0 ? undefined : Object.fromEntries(outside);
  }

  #valueOf(group: GroupName, { source }: Metric): NonNullable<GroupView['outside']>[string] | undefined {
    if (source.kind === 'query') return this.#answers.get(source.query);
    if (source.kind !== 'posted') return undefined;
    const posted = this.#posted.get(group)?.get(source.name);
    // Where VMs tell of themselves, the group's number is made of theirs.
    if (posted === undefined || posted.ofVms.size === 0) return posted?.ofGroup;
    return { values: Object.fromEntries(posted.ofVms) };
  }

  #queriesWanted(): ReadonlySet<string> {
    const metrics = [...this.#options.policies()].flatMap(metricsOf);
    return new Set(metrics.flatMap(({ source }) => (source.kind === 'query' ? [source.query] : [])));
  }

  async #ask(query: string, signal: AbortSignal): Promise<void> {
    const { clock, queries } = this.#options;
    if (this.#asking.has(query)) return;
    if (queries === undefined) {
      this.#answers.set(query, { atMs: clock.nowMs(), problem: 'no Prometheus is configured' });
      return;
    }
    this.#asking.add(query);
    try {
      const { value, ageMs } = await clock.deadline(QUERY_DEADLINE_MS, (inner) => queries.value(query, inner), signal);
      this.#answers.set(query, { value, atMs: clock.nowMs() - ageMs });
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Error ? error.message : String(error);
      // The last good answer is good for as long as a value from outside is.
      const { problem: _before, ...last } = this.#answers.get(query) ?? { atMs: clock.nowMs() };
      this.#answers.set(query, { ...last, problem });
    } finally {
      this.#asking.delete(query);
    }
  }
}

function metricsOf({ rules }: Policy): readonly Metric[] {
  return rules.flatMap((rule) => ('metric' in rule ? [rule.metric] : []));
}
