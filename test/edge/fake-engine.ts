// An engine for the edges: pictures as the tests set them, commands that change them, over a real event log in memory.
// Not here: hosts, VMs, images and operations (fake-fabric), the pictures themselves (pictures).

import type { Decision, LoggedDecision } from '../../src/core/decision.ts';
import type { RefreshMemory, Suspendable } from '../../src/core/memory.ts';
import { metricText } from '../../src/core/metric.ts';
import type {
  CommandResult,
  DomainStatus,
  EngineView,
  GroupStatus,
  RefreshVerb,
  WhyRecord,
} from '../../src/engine/view.ts';
import type { KeptAnswer } from '../../src/ports/store.ts';
import { conflict, notFound } from './fake-catalog.ts';
import { FakeFabric, type FakeFabricParts } from './fake-fabric.ts';
import { MemoryEventLog } from './memory-event-log.ts';
import { aGroup } from './pictures.ts';

export {
  aDecision,
  aGroup,
  aHost,
  aLoneVm,
  anImage,
  aPolicy,
  aVm,
  clock,
  NOW_MS,
} from './pictures.ts';

const REFRESHED: Readonly<Record<RefreshVerb, RefreshMemory['state']>> = {
  pause: 'paused',
  resume: 'running',
  rollback: 'rolling-back',
  cancel: 'stopped',
};

export interface FakeEngineParts extends FakeFabricParts {
  readonly groups?: readonly GroupStatus[];
  readonly domains?: readonly DomainStatus[];
  readonly decisions?: readonly LoggedDecision[];
  /** Answers kept by a daemon before this one. */
  readonly answers?: Map<string, KeptAnswer>;
}

export class FakeEngine extends FakeFabric implements EngineView {
  readonly log: MemoryEventLog;
  ready: { readonly ready: boolean; readonly reason?: string } = { ready: true };
  readonly answers: Map<string, KeptAnswer>;
  readonly #groups: Map<string, GroupStatus>;
  readonly #domains: readonly DomainStatus[];
  /** Newest first. */
  readonly #decisions: readonly LoggedDecision[];

  constructor(parts: FakeEngineParts = {}) {
    const { groups = [aGroup()], domains = [], decisions = [], answers = new Map() } = parts;
    const log = new MemoryEventLog();
    super(
      parts,
      groups.flatMap(({ vms }) => vms),
      log,
    );
    this.log = log;
    this.answers = answers;
    this.#groups = new Map(groups.map((group) => [group.policy.group, group]));
    this.#domains = domains;
    this.#decisions = decisions;
  }

  readonly history: { -readonly [K in keyof EngineView['history']]: EngineView['history'][K] } = {
    decision: async (id) => this.#decisions.find((decision) => decision.id === id),
    decisions: async ({ group, limit, before }) => {
      const from = before === undefined ? 0 : this.#decisions.findIndex(({ id }) => id === before) + 1;
      return this.#decisions
        .slice(from)
        .filter((decision) => group === undefined || decision.group === group)
        .slice(0, limit);
    },
    answer: async (key) => this.answers.get(key),
    keepAnswer: async (answer) => void this.answers.set(answer.key, answer),
  };

  groups(): readonly GroupStatus[] {
    return [...this.#groups.keys()].flatMap((name) => this.group(name) ?? []);
  }

  group(name: string): GroupStatus | undefined {
    const group = this.#groups.get(name);
    return group && { ...group, vms: this.vms().filter(({ record }) => record.group === name) };
  }

  domains(): readonly DomainStatus[] {
    return this.#domains;
  }

  readiness(): { readonly ready: boolean; readonly reason?: string } {
    return this.ready;
  }

  setDesired(name: string, desired: number): Promise<CommandResult<GroupStatus>> {
    return this.command(`desired ${name} ${desired}`, () => {
      const group = this.group(name);
      if (group !== undefined && (desired < group.policy.min || desired > group.policy.max)) {
        const reason = `${desired} is not within ${group.policy.min} to ${group.policy.max}`;
        return { ok: false, refused: 'invalid', reason, where: 'desired' };
      }
      return this.#change(name, { desired });
    });
  }

  pause(name: string): Promise<CommandResult<GroupStatus>> {
    return this.command(`pause ${name}`, () => this.#change(name, { paused: true }));
  }

  resume(name: string): Promise<CommandResult<GroupStatus>> {
    return this.command(`resume ${name}`, () => this.#change(name, { paused: false }));
  }

  suspend(name: string, processes: readonly Suspendable[]): Promise<CommandResult<GroupStatus>> {
    return this.command(`suspend ${name} ${processes.join(',')}`, () => this.#change(name, { suspended: processes }));
  }

  refresh(name: string, verb: RefreshVerb): Promise<CommandResult<GroupStatus>> {
    return this.command(`refresh ${name} ${verb}`, () => {
      const refresh = this.group(name)?.memory.refresh;
      if (this.group(name) !== undefined && refresh === undefined)
        return conflict(`no refresh of ${name} is under way`);
      return this.#change(name, refresh === undefined ? {} : { refresh: { ...refresh, state: REFRESHED[verb] } });
    });
  }

  async why(name: string, at?: string): Promise<CommandResult<WhyRecord>> {
    if (this.refusal !== undefined) return this.refusal;
    const group = this.group(name);
    if (group === undefined) return notFound(`there is no group ${JSON.stringify(name)}`);
    const text = (decision: Decision): string => `${name} has ${decision.desired} VMs because: ${decision.text}`;
    if (at === undefined) {
      const { lastDecision: decision, lastDecisionAt } = group;
      if (decision === undefined || lastDecisionAt === undefined) return notFound(`${name} was not evaluated yet`);
      return { ok: true, value: { at: lastDecisionAt, decision, text: text(decision) } };
    }
    const past = this.#decisions.find((decision) => decision.group === name && decision.at <= at);
    if (past === undefined) return notFound(`nothing is kept of ${name} from ${at}`);
    return { ok: true, value: { at: past.at, decision: past, text: text(past) } };
  }

  postMetric(name: string, metric: Parameters<EngineView['postMetric']>[1]): Promise<CommandResult<undefined>> {
    return this.command(`post ${name} ${JSON.stringify(metric)}`, () => {
      const group = this.group(name);
      if (group === undefined) return notFound(`there is no group ${name}`);
      const isWanted = group.policy.rules.some(
        (rule) => rule.type !== 'schedule' && metricText(rule.metric) === `posted ${metric.name}`,
      );
      if (!isWanted) return conflict(`no rule of ${name} measures ${metric.name}`);
      if (metric.vmId !== undefined && !group.vms.some(({ record }) => record.id === metric.vmId)) {
        return { ...notFound(`${name} has no VM ${metric.vmId}`), where: 'vm' };
      }
      return { ok: true, value: undefined };
    });
  }

  #change(name: string, memory: Partial<GroupStatus['memory']>): CommandResult<GroupStatus> {
    const group = this.group(name);
    if (group === undefined) return notFound(`there is no group ${name}`);
    const value = { ...group, memory: { ...group.memory, ...memory } };
    this.#groups.set(name, value);
    return { ok: true, value };
  }
}
