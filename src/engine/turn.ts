// One turn: observe, decide, act, tell, once for all groups. Not here: when turns happen (engine), how steps are done (worker).

import { decide } from '../core/decide.ts';
import type { Decision, DecisionSummary, LoggedDecision } from '../core/decision.ts';
import type { DatedDecision } from '../core/evaluation.ts';
import type { NewEvent } from '../core/events.ts';
import type { CpuSample, Memory, RefreshMemory } from '../core/memory.ts';
import type { DomainObservation, GroupView, HostView, Snapshot, VmRecord } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';
import { noteRefreshFailure } from '../core/refresh.ts';
import { sampleCpu } from '../core/series.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ids } from '../ports/ids.ts';
import type { Recorder } from '../ports/recorder.ts';
import { adoptStrays } from './adopt.ts';
import type { Candidates } from './candidates.ts';
import type { HostWatch } from './host-watch.ts';
import type { Change, Ledger, LedgerState } from './ledger.ts';
import { intentsOf } from './records.ts';
import { refreshEvents } from './refresh-events.ts';
import type { FabricSettings } from './settings.ts';
import { joinSnapshot, joinVm } from './snapshot.ts';
import type { HostCondition, Telemetry } from './view.ts';
import type { Worker } from './worker.ts';

export interface TurnParts {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly telemetry: Telemetry;
  readonly hosts: readonly HostWatch[];
  readonly worker: Worker;
  readonly owner: string;
  readonly settings: () => FabricSettings;
  /** What is known of a policy's group besides its VMs. */
  readonly groupView: (policy: Policy) => GroupView;
  /** Why a VM counts as unhealthy. */
  readonly unhealthy: (vmId: number) => string | undefined;
  /** The template that a VM of the group is forked from on a host. */
  readonly templateOf: (policy: Policy, host: string) => string | undefined;
  readonly candidates: Candidates;
  /** Told every evaluation. */
  readonly onDecided: (decisions: readonly Decision[]) => void;
  readonly recorder: Pick<Recorder, 'record'>;
  /** A turn waits for healthy hosts this long at most; a slower answer is used by a later turn. */
  readonly observeBudgetMs: number;
  /** A CPU value older than this is missing data to decisions. */
  readonly staleAfterMs: number;
}

/** VMs whose CPU is looked at in one stretch. */
const SAMPLES_AT_A_TIME = 1000;

export class Turn {
  readonly #parts: TurnParts;
  readonly #conditions = new Map<string, HostCondition>();
  /** CPU of VMs without a group, by uuid; those of groups are in the groups' memories. */
  readonly #samples = new Map<string, CpuSample>();
  /** The latest evaluation per group, and how the last one kept in the store looked. */
  readonly evaluations = new Map<string, DatedDecision>();
  readonly #keptShape = new Map<string, string>();
  /** Where each group's refresh stood when that was told last. */
  readonly #toldRefresh = new Map<string, RefreshMemory | undefined>();

  constructor(parts: TurnParts) {
    this.#parts = parts;
  }

  async run(policies: ReadonlyMap<string, Policy>, signal: AbortSignal): Promise<void> {
    const { ledger, settings, worker, clock } = this.#parts;
    const views = await this.#observe(signal);
    if (signal.aborted) return;
    // Between its parts others get their turn: with ten thousand VMs each part takes milliseconds.
    await clock.sleep(0);
    const flavors = settings().flavors.map(({ flavor }) => flavor);
    await ledger.change((state) => adoptStrays(state, views, policies, worker.forgotten, flavors, clock.nowMs()));
    // Until every host has answered or failed once, it may have VMs of ours that nobody has counted (the database was lost).
    if (policies.size > 0 && views.every(isKnown)) {
      await clock.sleep(0);
      await ledger.change((state) => this.#decide(state, views, policies));
    }
    await clock.sleep(0);
    worker.kick();
    await this.#sample(views);
  }

  async #observe(signal: AbortSignal): Promise<readonly HostView[]> {
    const { hosts, clock, ledger, observeBudgetMs } = this.#parts;
    const polls = hosts.map((host) => ({ awaited: host.worthWaitingFor, done: host.poll(signal) }));
    const awaited = Promise.all(polls.filter((poll) => poll.awaited).map((poll) => poll.done));
    const budget = new AbortController();
    await Promise.race([awaited, clock.sleep(observeBudgetMs, budget.signal)]);
    budget.abort();
    const events = hosts.flatMap((host) => this.#hostEvents(host));
    if (events.length > 0 && !signal.aborted) await ledger.tell(...events);
    return hosts.map((host) => host.view());
  }

  #hostEvents(host: HostWatch): readonly NewEvent[] {
    const { condition, name, trouble: reason = 'it does not answer' } = host;
    const before = this.#conditions.get(name);
    // A host that is only being asked for the first time has nothing to say yet.
    if (before === condition || condition === 'connecting') return [];
    this.#conditions.set(name, condition);
    if (condition === 'up') return [{ type: 'host.up', host: name }];
    return [{ type: condition === 'slow' ? 'host.slow' : 'host.unreachable', host: name, reason }];
  }

  #decide(state: LedgerState, views: readonly HostView[], policies: ReadonlyMap<string, Policy>): Change {
    const { candidates, clock, onDecided, recorder, settings, telemetry } = this.#parts;
    const nowMs = clock.nowMs();
    const inForce = [...policies.values()];
    const snapshot = this.#snapshot(state, views, inForce, nowMs);
    const { decisions, memory } = decide(snapshot, inForce, state.memory, nowMs, settings().placements);
    const decideMs = clock.nowMs() - nowMs;
    for (const decision of decisions) telemetry.decided(decision.group, decideMs / 1000, decision);
    recorder.record({
      at: clock.wall(),
      nowMs,
      snapshot,
      policies: inForce,
      memory: state.memory,
      decisions,
      memoryAfter: memory,
    });
    candidates.decide(snapshot, nowMs);
    onDecided(decisions);
    return this.#changeFor(decisions, memory, decideMs, state, policies);
  }

  #snapshot(state: LedgerState, views: readonly HostView[], policies: readonly Policy[], nowMs: number): Snapshot {
    const { groupView, settings, staleAfterMs, unhealthy, worker } = this.#parts;
    const joined = joinSnapshot(views, state.vms.values(), worker.busy, nowMs, unhealthy);
    const { placement } = settings();
    const { lastHost } = state;
    const groups = policies.map((policy) => [policy.group, groupView(policy)] as const);
    return {
      ...joined,
      staleAfterMs,
      groups: Object.fromEntries(groups),
      ...(placement !== undefined && { placement }),
      ...(lastHost !== undefined && { lastHost }),
    };
  }

  /** Percent of its vCPUs that a VM without a group uses; undefined while nobody knows. */
  cpuPercentOf(uuid: string): number | undefined {
    return this.#samples.get(uuid)?.percent;
  }

  async #sample(views: readonly HostView[]): Promise<void> {
    const { clock, ledger } = this.#parts;
    const hosts = new Map(views.map((view) => [view.name, view]));
    const records = [...ledger.state.vms.values()].filter(({ group }) => group === undefined);
    for (let at = 0; at < records.length; at += SAMPLES_AT_A_TIME) {
      if (at > 0) await clock.sleep(0);
      for (const record of records.slice(at, at + SAMPLES_AT_A_TIME)) {
        const { domain } = joinVm(record, hosts.get(record.host));
        const before = this.#samples.get(record.uuid);
        const sample = domain && nextSample(before, domain);
        if (sample === undefined) this.#samples.delete(record.uuid);
        else if (sample !== before) this.#samples.set(record.uuid, sample);
      }
    }
    if (this.#samples.size <= records.length) return;
    const uuids = new Set(records.map(({ uuid }) => uuid));
    for (const uuid of this.#samples.keys()) if (!uuids.has(uuid)) this.#samples.delete(uuid);
  }

  #changeFor(
    decisions: readonly Decision[],
    decided: Memory,
    decideMs: number,
    state: LedgerState,
    policies: ReadonlyMap<string, Policy>,
  ): Change {
    const { clock, ids, owner, templateOf } = this.#parts;
    const at = clock.wall();
    const putVms: VmRecord[] = [];
    const events: NewEvent[] = [];
    const kept: LoggedDecision[] = [];
    let memory = decided;
    let { nextVmId } = state;
    const lastHost = decisions.flatMap(({ actions }) => actions).findLast((action) => action.kind === 'launch')?.host;
    for (const decision of decisions) {
      this.evaluations.set(decision.group, { decision, at });
      const policy = policies.get(decision.group);
      if (policy === undefined) continue;
      const [before, after] = [state.memory[decision.group]?.durable, memory[decision.group]?.durable];
      events.push(...this.#refreshEvents(decision, before?.refresh, after?.refresh));
      const { group } = decision;
      // A refresh that turns back begins anew.
      if (before?.breaker.openedAtMs !== undefined && after?.breaker.openedAtMs === undefined)
        events.push({ type: 'breaker.closed', group });
      const acts = decision.actions.length > 0 || decision.desired !== decision.desiredBefore;
      if (!acts && !this.#newShape(decision)) continue;
      const id = ids.uuid();
      kept.push({ ...decision, id, at });
      if (!acts) continue;
      if (decision.desired !== decision.desiredBefore) {
        const change = {
          what: 'desired',
          from: decision.desiredBefore,
          to: decision.desired,
          by: moverOf(decision),
        } as const;
        events.push({ type: 'group.changed', group: decision.group, change });
      }
      events.push({ type: 'decision.made', group: decision.group, decision: summaryOf(decision, id, decideMs, clock) });
      const previous = memory[decision.group]?.durable.refresh?.from;
      const context = {
        operation: id,
        nowMs: clock.nowMs(),
        nextVmId,
        owner,
        templateOf: (host: string) => templateOf(policy, host),
        ...(previous && { previous }),
      };
      const intents = intentsOf(decision, policy, context, state.vms, () => ids.uuid());
      putVms.push(...intents.putVms);
      events.push(...intents.events);
      nextVmId = intents.nextVmId;
      memory = withReplaced(memory, decision, state.vms);
    }
    return {
      memory,
      putVms,
      events,
      decisions: kept,
      ...(nextVmId !== state.nextVmId && { nextVmId }),
      ...(lastHost !== undefined && { lastHost }),
    };
  }

  /** Against what was told last: people may have moved it since. */
  #refreshEvents(
    decision: Decision,
    before: RefreshMemory | undefined,
    after: RefreshMemory | undefined,
  ): readonly NewEvent[] {
    const { group } = decision;
    const told = this.#toldRefresh.has(group) ? this.#toldRefresh.get(group) : before;
    this.#toldRefresh.set(group, after);
    return refreshEvents(decision, told, after);
  }

  /**
   * An evaluation that does nothing is kept only when its explanation differs in kind from the last kept one:
   * "cooling down" after "fires" is worth a row, the same answer each second is not.
   */
  #newShape(decision: Decision): boolean {
    const shape = JSON.stringify([
      decision.counts,
      decision.verdicts.map((verdict) => [verdict.rule, verdict.verdict]),
      decision.limits.map((limit) => limit.limit),
    ]);
    const isNew = this.#keptShape.get(decision.group) !== shape;
    this.#keptShape.set(decision.group, shape);
    return isNew;
  }
}

/** VMs of a refresh's new template that are taken away because they are unhealthy count against it, as failed launches do. */
function withReplaced(memory: Memory, { group, actions }: Decision, vms: LedgerState['vms']): Memory {
  const own = memory[group];
  if (own === undefined) return memory;
  let { durable } = own;
  for (const action of actions) {
    if (action.kind !== 'drain' || action.because !== 'unhealthy') continue;
    const record = vms.get(action.vmId);
    if (record !== undefined) durable = noteRefreshFailure(durable, record);
  }
  return durable === own.durable ? memory : { ...memory, [group]: { ...own, durable } };
}

function nextSample(before: CpuSample | undefined, domain: DomainObservation): CpuSample | undefined {
  const { cpuTimeNs, readAtMs, state, vcpus } = domain;
  if (state === 'running' && before?.readAtMs === readAtMs) return before;
  const reading = { readAtMs, vcpus, running: state === 'running', ...(cpuTimeNs !== undefined && { cpuTimeNs }) };
  return sampleCpu(before, reading, 0);
}

/** False for a host whose very first answer is still awaited. */
function isKnown(view: HostView): boolean {
  return view.last !== undefined || view.reason !== undefined;
}

function moverOf(decision: Decision): 'policy' | 'user' | 'limits' {
  if (decision.cause === 'user') return 'user';
  return decision.cause === 'rule' ? 'policy' : 'limits';
}

function summaryOf(decision: Decision, id: string, decideMs: number, clock: Clock): DecisionSummary {
  const { desiredBefore, desired, cause, rule, cpuPercent, actions, text } = decision;
  const crossedAtMs = decision.verdicts.find((verdict) => verdict.rule === rule)?.crossedAtMs;
  return {
    id,
    desiredBefore,
    desired,
    cause,
    decideMs,
    actions,
    text,
    ...(rule !== undefined && { rule }),
    ...(cpuPercent !== undefined && { cpuPercent }),
    ...(crossedAtMs !== undefined && { crossedAt: clock.wallOf(crossedAtMs) }),
  };
}
