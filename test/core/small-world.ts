// A group that lives: decisions are carried out on plain records, a second per turn, without engine and hypervisor.
// Not here: faults of hosts in all their forms (test/sim has the real engine), expectations.

import { recordLaunchFailure, recordLaunchSuccess } from '../../src/core/breaker.ts';
import { decide } from '../../src/core/decide.ts';
import type { Action, Decision } from '../../src/core/decision.ts';
import { type DurableMemory, EMPTY_GROUP_MEMORY, type GroupMemory } from '../../src/core/memory.ts';
import type { GroupView, Snapshot, VmRecord, VmView } from '../../src/core/model.ts';
import type { Policy } from '../../src/core/policy.ts';
import { noteRefreshFailure } from '../../src/core/refresh.ts';
import { domainOf, hostOf, NOW_MS, recordOf, uuidOf } from './builders.ts';

const LAUNCH_MS = 2000;
const DRAIN_MS = 3000;
const REMOVE_MS = 1000;

export class SmallWorld {
  nowMs = NOW_MS;
  policy: Policy;
  records: VmRecord[] = [];
  memory: GroupMemory = EMPTY_GROUP_MEMORY;
  group: GroupView = {};
  /** Names of all hosts, and of those that do not answer. */
  hosts: readonly string[] = ['h1', 'h2', 'h3'];
  readonly silent = new Set<string>();
  /** Ids of VMs that fail their health check. */
  readonly sick = new Set<number>();
  /** Launches that never succeed. */
  fails: (record: VmRecord) => boolean = () => false;
  #nextId = 1;

  constructor(policy: Policy, durable: Partial<DurableMemory> = {}) {
    this.policy = policy;
    this.memory = { ...EMPTY_GROUP_MEMORY, durable: { ...EMPTY_GROUP_MEMORY.durable, ...durable } };
  }

  get durable(): DurableMemory {
    return this.memory.durable;
  }

  set durable(durable: DurableMemory) {
    this.memory = { ...this.memory, durable };
  }

  serving(): readonly VmRecord[] {
    return this.records.filter(({ phase }) => phase === 'in-service');
  }

  waiting(): readonly VmRecord[] {
    return this.records.filter(({ phase }) => phase === 'standby');
  }

  change(id: number, over: Partial<VmRecord>): void {
    this.records = this.records.map((record) => (record.id === id ? { ...record, ...over } : record));
  }

  snapshot(): Snapshot {
    const hosts = this.hosts.map((name, index) =>
      hostOf(name, { state: this.silent.has(name) ? 'stale' : 'up', traits: { index }, atMs: this.nowMs }),
    );
    return {
      atMs: this.nowMs,
      hosts,
      vms: this.records.map((record) => this.#view(record)),
      groups: { web: this.group },
    };
  }

  /** A second goes by, then a turn. */
  turn(): Decision {
    this.nowMs += 1000;
    this.#live();
    const before = { web: this.memory };
    const { decisions, memory } = decide(this.snapshot(), [this.policy], before, this.nowMs);
    const [decision] = decisions;
    if (decision === undefined) throw new Error('no decision');
    this.memory = memory['web'] ?? this.memory;
    for (const action of decision.actions) this.#carryOut(action);
    return decision;
  }

  /** So many turns at the most, until `done`; gives the decisions. */
  turns(max: number, done: (decision: Decision) => boolean = () => false): readonly Decision[] {
    const decisions: Decision[] = [];
    while (decisions.length < max) {
      const decision = this.turn();
      decisions.push(decision);
      if (done(decision)) break;
    }
    return decisions;
  }

  #view(record: VmRecord): VmView {
    const fresh = !this.silent.has(record.host) && record.changedAtMs < this.nowMs;
    const state = record.phase === 'standby' && record.standby !== 'paused' ? 'stopped' : 'running';
    const domain = domainOf(record.id, { name: record.name, state, readAtMs: this.nowMs });
    const isSick = this.sick.has(record.id) && record.phase === 'in-service';
    return { record, domain, fresh, ...(isSick && { unhealthy: 'it does not answer' }) };
  }

  /** What time alone brings: launches end, grace and removals are over. Nothing moves on silent hosts. */
  #live(): void {
    this.records = this.records.flatMap((record) => {
      if (this.silent.has(record.host)) return [record];
      const ageMs = this.nowMs - record.phaseAtMs;
      switch (record.phase) {
        case 'launching':
          return ageMs < LAUNCH_MS ? [record] : [this.#launched(record)];
        case 'draining':
          return [ageMs < DRAIN_MS ? record : this.#moved(record, 'removing')];
        case 'removing':
          return ageMs < REMOVE_MS ? [record] : [];
        default:
          return [record];
      }
    });
  }

  #launched(record: VmRecord): VmRecord {
    const { breaker } = this.durable;
    if (this.fails(record)) {
      const durable = noteRefreshFailure(this.durable, record);
      this.durable = { ...durable, breaker: recordLaunchFailure(breaker, this.nowMs, 'not ready') };
      return this.#moved(record, 'removing');
    }
    this.durable = { ...this.durable, breaker: recordLaunchSuccess(breaker) };
    if (record.standby !== undefined) return this.#moved(record, 'standby', { step: 'parked' });
    return this.#moved(record, 'in-service', { servedSinceMs: this.nowMs });
  }

  #moved(record: VmRecord, phase: VmRecord['phase'], over: Partial<VmRecord> = {}): VmRecord {
    const { reason: _reason, ...kept } = record;
    return { ...kept, phase, phaseAtMs: this.nowMs, changedAtMs: this.nowMs - 1, ...over };
  }

  #carryOut(action: Action): void {
    if (action.kind === 'launch') this.#launch(action);
    if (action.kind === 'launch' || action.kind === 'start') return;
    this.records = this.records.map((record) => (record.id === action.vmId ? this.#after(action, record) : record));
  }

  #after(action: Exclude<Action, { kind: 'launch' | 'start' }>, record: VmRecord): VmRecord {
    switch (action.kind) {
      case 'wake': {
        const { standby: _standby, ...woken } = record;
        return this.#moved(woken, 'launching', { way: action.way });
      }
      case 'return': {
        const { leaving: _leaving, ...back } = record;
        return this.#moved(back, 'in-service');
      }
      case 'discard':
        return this.#moved(record, 'removing');
      case 'drain': {
        const phase = action.atOnce || record.phase !== 'in-service' ? 'removing' : 'draining';
        return this.#moved(record, phase, { leaving: action.because, deadlineAtMs: this.nowMs + DRAIN_MS });
      }
    }
  }

  #launch({ host, standby, template, way }: Extract<Action, { kind: 'launch' }>): void {
    const { source } = this.policy;
    if (source.kind !== 'template') throw new Error('a launch without a template');
    const from = template === 'previous' ? this.durable.refresh?.from : source.template;
    if (from === undefined) throw new Error('a launch from a template that nobody knows');
    const id = this.#nextId++;
    const { flavor, image, ready } = from;
    const made = { host, flavor, image, ready, uuid: uuidOf(id), ...(way && { way }), ...(standby && { standby }) };
    this.records.push(
      recordOf(id, { ...made, phase: 'launching', phaseAtMs: this.nowMs, changedAtMs: this.nowMs - 1 }),
    );
  }
}
