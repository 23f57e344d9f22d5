// An engine for the edges: pictures as the tests set them, commands that change them, over a real event log in memory.
// Not here: hosts, VMs, images and operations (fake-fabric), the pictures themselves (pictures).

import type { LoggedDecision } from '../../src/core/decision.ts';
import type { CommandResult, DomainStatus, EngineView, GroupStatus } from '../../src/engine/view.ts';
import type { KeptAnswer } from '../../src/ports/store.ts';
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

  #change(name: string, memory: Partial<GroupStatus['memory']>): CommandResult<GroupStatus> {
    const group = this.group(name);
    if (group === undefined) return { ok: false, refused: 'not-found', reason: `there is no group ${name}` };
    const value = { ...group, memory: { ...group.memory, ...memory } };
    this.#groups.set(name, value);
    return { ok: true, value };
  }
}
