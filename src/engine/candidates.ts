// Policies that only observe, beside the one in force: each decides every turn with a memory of its own, and nothing is done.
// Not here: how a candidate sees the load (core/decide).

import { decideCandidate } from '../core/decide.ts';
import type { Decision } from '../core/decision.ts';
import { EMPTY_GROUP_MEMORY, type GroupMemory } from '../core/memory.ts';
import type { GroupName, GroupView, Snapshot } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';
import type { CandidateStatus, LoadedPolicy, Telemetry } from './view.ts';

/** Each costs as much as a policy in force. */
const CANDIDATES_MAX = 200;

interface Candidate {
  readonly loaded: LoadedPolicy;
  memory: GroupMemory;
  lastDecision?: Decision;
}

export class Candidates {
  readonly #telemetry: Pick<Telemetry, 'observed'>;
  readonly #groupView: (policy: Policy) => GroupView;
  /** By group and name. A restart begins anew: what they would have done is only of interest while somebody compares. */
  readonly #candidates = new Map<GroupName, Map<string, Candidate>>();

  /** `groupView`: what is known for this very policy; a rule of the same name in the policy in force may be another. */
  constructor(telemetry: Pick<Telemetry, 'observed'>, groupView: (policy: Policy) => GroupView) {
    this.#telemetry = telemetry;
    this.#groupView = groupView;
  }

  get policies(): readonly Policy[] {
    return [...this.#candidates.values()].flatMap((named) => Array.from(named.values(), ({ loaded }) => loaded.policy));
  }

  set(loaded: LoadedPolicy): void {
    const { candidate = '', group } = loaded.policy;
    const named = this.#candidates.get(group) ?? new Map<string, Candidate>();
    const memory = named.get(candidate)?.memory ?? EMPTY_GROUP_MEMORY;
    if (this.policies.length < CANDIDATES_MAX || named.has(candidate)) named.set(candidate, { loaded, memory });
    this.#candidates.set(group, named);
  }

  remove(group: GroupName, name: string): LoadedPolicy | undefined {
    const named = this.#candidates.get(group);
    const removed = named?.get(name)?.loaded;
    named?.delete(name);
    if (named?.size === 0) this.#candidates.delete(group);
    return removed;
  }

  decide(snapshot: Snapshot, nowMs: number): void {
    for (const [group, named] of this.#candidates) {
      for (const [name, candidate] of named) {
        const { policy } = candidate.loaded;
        const seen = { ...snapshot, groups: { ...snapshot.groups, [group]: this.#groupView(policy) } };
        const { decision, memory } = decideCandidate(seen, policy, candidate.memory, nowMs);
        candidate.memory = memory;
        candidate.lastDecision = decision;
        this.#telemetry.observed(group, name, decision);
      }
    }
  }

  statusOf(group: GroupName): readonly CandidateStatus[] {
    return Array.from(this.#candidates.get(group) ?? [], ([name, { lastDecision, loaded }]) => ({
      name,
      file: loaded.file,
      policy: loaded.policy,
      ...(lastDecision && { desired: lastDecision.desired, lastDecision }),
    }));
  }
}
