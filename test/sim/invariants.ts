// What must hold at every moment, whatever goes wrong. Looks at the simulated hosts, the commits and the calls, never inside the engine.
// Not here: what must hold once the faults have ended (convergence.ts).

import type { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import type { DecisionSummary } from '../../src/core/decision.ts';
import type { LoggedEvent } from '../../src/core/events.ts';
import type { DurableMemory } from '../../src/core/memory.ts';
import type { HostObservation, VmRecord } from '../../src/core/model.ts';
import type { Policy } from '../../src/core/policy.ts';
import type { StoreChanges } from '../../src/ports/store.ts';
import { ToldLives } from './told.ts';
import type { Trace } from './trace.ts';

export interface InvariantsOptions {
  readonly hosts: readonly MemoryHost[];
  readonly policies: readonly Policy[];
  readonly now: () => number;
  readonly trace: Trace;
  /** A picture older than this is stale. */
  readonly staleAfterMs: number;
}

/** What is decided is told a commit's time later. */
const TOLD_LATER_MS = 100;
/** A policy that was just replaced may still be the one a decision under way was made by. */
const POLICY_CHANGE_MS = 5000;

interface InForce {
  policy: Policy;
  before: Policy;
  changedAtMs: number;
}

export class Invariants {
  readonly #options: InvariantsOptions;
  readonly #policies = new Map<string, InForce>();
  /** The store's records and memories, kept from its commits. */
  readonly records = new Map<number, VmRecord>();
  readonly memory = new Map<string, DurableMemory>();
  /** By host: when the last poll that succeeded began; absent when the last one failed. */
  readonly #pictureAtMs = new Map<string, number>();
  readonly #uuidOfId = new Map<number, string>();
  /** What each host has. */
  readonly #memoryMiB = new Map<string, number>();
  /** By uuid: when its draining was told, and how long that shall take. */
  readonly #draining = new Map<string, { readonly sinceMs: number; readonly graceMs: number }>();
  readonly #lastScaleMs = new Map<string, { readonly out?: number; readonly in?: number }>();
  readonly #counts = new Map<string, number>();
  readonly #told = new ToldLives();
  #lastSeq = 0;
  #wasDatabaseLost = false;
  /** That this database has given. */
  #highestId = 0;
  /** Engine time minus simulated time, in this life of the daemon. */
  #offsetMs = 0;

  constructor(options: InvariantsOptions) {
    this.#options = options;
    for (const policy of options.policies) {
      this.#policies.set(policy.group, { policy, before: policy, changedAtMs: Number.NEGATIVE_INFINITY });
    }
  }

  policyChanged(policy: Policy): void {
    const known = this.#policies.get(policy.group);
    this.#policies.set(policy.group, {
      policy,
      before: known?.policy ?? policy,
      changedAtMs: this.#options.now(),
    });
  }

  get wasDatabaseLost(): boolean {
    return this.#wasDatabaseLost;
  }

  /** A name that a lost database gave, of a VM that was gone but for its disk: until it is given again, nobody knows whose it is. */
  isForgotten(disk: string): boolean {
    return this.#wasDatabaseLost && Number(disk.split('-').at(-1)) > this.#highestId;
  }

  policyOf(group: string): Policy | undefined {
    return this.#policies.get(group)?.policy;
  }

  inService(group: string): number {
    let count = 0;
    for (const vm of this.records.values()) if (vm.group === group && vm.phase === 'in-service') count += 1;
    return count;
  }

  /** The database is gone, and with it every promise that only it could keep. */
  databaseLost(): void {
    this.#wasDatabaseLost = true;
    this.#highestId = 0;
    this.records.clear();
    this.memory.clear();
    this.#uuidOfId.clear();
    this.#lastScaleMs.clear();
    this.#draining.clear();
    this.#told.forget();
    this.#lastSeq = 0;
  }

  /** A daemon that was just started has seen nothing. When the wall clock was set meanwhile, old times tell nothing any more. */
  daemonStarted(offsetMs: number): void {
    this.#pictureAtMs.clear();
    if (offsetMs === this.#offsetMs) return;
    this.#offsetMs = offsetMs;
    this.memory.clear();
    this.#lastScaleMs.clear();
    this.#draining.clear();
  }

  observed(host: string, seen: HostObservation): void {
    this.#memoryMiB.set(host, seen.capacity.memoryMiB);
    this.#pictureAtMs.set(host, seen.startedAtMs);
  }

  notObserved(host: string): void {
    this.#pictureAtMs.delete(host);
  }

  /** Once per commit that really happened. */
  committed(changes: StoreChanges, logged: readonly LoggedEvent[]): void {
    const before = new Map(this.records);
    for (const record of changes.putVms ?? []) this.#recordPut(record);
    for (const id of changes.deleteVms ?? []) this.records.delete(id);
    // A decision that turns a refresh back begins anew with its failures: its launches are judged by what it leaves.
    for (const [group, memory] of Object.entries(changes.putMemory ?? {})) this.memory.set(group, memory);
    for (const event of logged) this.#eventTold(event, before);
    const differs = this.#told.differs(this.records.values());
    if (differs !== undefined) this.#violation(differs);
    this.everySecond();
  }

  /** Counts whatever exists: no group grows beyond its max. */
  everySecond(): void {
    for (const group of this.#policies.keys()) {
      const count = this.#existing(group).size;
      const before = this.#counts.get(group) ?? 0;
      const max = this.#bound(group, 'max') + this.#surge(group);
      if (count > max && count > before)
        this.#violation(`group ${group} grew to ${count} VMs, max and surge are ${max}`);
      this.#counts.set(group, count);
    }
    for (const host of this.#options.hosts) {
      for (const violation of host.violations.splice(0)) this.#violation(violation);
    }
  }

  /** Before each call that takes something away. */
  takesAway(call: string, host: string, of: { readonly uuid: string } | { readonly name: string }): void {
    const { now, staleAfterMs } = this.#options;
    const pictureAtMs = this.#pictureAtMs.get(host);
    const subject = 'uuid' in of ? of.uuid : of.name;
    const record = [...this.records.values()].find(
      (vm) => vm.host === host && ('uuid' in of ? vm.uuid === of.uuid : vm.name === of.name),
    );
    // Its owner asked for this very call.
    if (record?.group === undefined && record?.power === 'stopped') return;
    if (pictureAtMs === undefined || now() - pictureAtMs > staleAfterMs) {
      this.#violation(`${call} ${subject} on ${host}, whose picture is stale`);
    }
    if (record === undefined) {
      if (call !== 'deleteDisk') this.#violation(`${call} ${subject} on ${host}: there is no record of it`);
      return;
    }
    // What turns out not to be possible as a fork is taken away, and booted instead.
    if (record.phase === 'launching' && record.way === 'fork' && call !== 'shutdown') return;
    // It is on its way to standby.
    if (record.phase === 'launching' && record.standby === 'stopped' && call === 'shutdown') return;
    if (record.phase !== 'removing') this.#violation(`${call} of ${record.name}, which is ${record.phase}`);
    if (record.kind === 'existing' && call !== 'shutdown') this.#violation(`${call} of the listed ${record.name}`);
    this.#graceIsOver(call, record);
  }

  /** Clients have as long as they were told, except where a balancer knows that none is left. */
  #graceIsOver(call: string, record: VmRecord): void {
    const draining = this.#draining.get(record.uuid);
    const { group } = record;
    const inForce = group === undefined ? undefined : this.#policies.get(group);
    const isBalanced = (inForce?.policy.balancer ?? inForce?.before.balancer) !== undefined;
    // A VM without a group is asked to go at once: the grace is the time it may take for that.
    if (draining === undefined || group === undefined || isBalanced) return;
    if (this.#domainOf(record)?.running !== true) return;
    if (this.#options.now() - draining.sinceMs < draining.graceMs - TOLD_LATER_MS) {
      this.#violation(`${call} of ${record.name} before its ${draining.graceMs} ms of grace were over`);
    }
  }

  #recordPut(record: VmRecord): void {
    const known = this.#uuidOfId.get(record.id);
    if (known !== undefined && known !== record.uuid) this.#violation(`the VM id ${record.id} was given twice`);
    this.#uuidOfId.set(record.id, record.uuid);
    for (const other of this.records.values()) {
      if (other.id === record.id) continue;
      if (other.uuid === record.uuid) this.#violation(`two records of the domain ${record.uuid}`);
      // A name asked for once is made once, on whichever host.
      const same = other.name === record.name && (other.host === record.host || record.group === undefined);
      if (same) this.#violation(`two records named ${record.name}`);
    }
    const isNew = !this.records.has(record.id);
    this.records.set(record.id, record);
    this.#highestId = Math.max(this.#highestId, record.id);
    if (isNew && record.phase === 'launching' && record.step === 'intended') this.#notOverbooked(record.host);
  }

  /** Whoever asked: no host is promised more memory than it has. */
  #notOverbooked(host: string): void {
    const there = [...this.records.values()].filter((vm) => vm.host === host);
    const promised = there.reduce((sum, vm) => sum + (vm.flavor?.memoryMiB ?? 0), 0);
    const has = this.#memoryMiB.get(host) ?? 0;
    if (promised > has) this.#violation(`host ${host} has ${has} MiB and was promised ${promised} MiB`);
  }

  #eventTold(event: LoggedEvent, before: ReadonlyMap<number, VmRecord>): void {
    const { trace } = this.#options;
    trace.count(`event ${event.type}`);
    const { seq, at: _at, ...rest } = event;
    trace.line(`event ${seq} ${JSON.stringify(rest)}`);
    if (seq !== this.#lastSeq + 1) this.#violation(`event ${seq} came after ${this.#lastSeq}`);
    this.#lastSeq = seq;
    const wrong = this.#told.heard(event);
    if (wrong !== undefined) this.#violation(wrong);
    if (event.type === 'vm.launching' && event.group !== undefined) this.#launching(event.group);
    if (event.type === 'vm.draining') {
      this.#draining.set(event.vm.uuid, { sinceMs: this.#options.now(), graceMs: event.graceMs });
      // One that is not well serves nobody: it is no loss.
      if (!event.reason.startsWith('unhealthy'))
        this.#takenOut(event.vm.host, event.vm.name, event.reason, before.get(event.vm.id));
    }
    if (event.type === 'vm.lost') this.#lost(event.vm.host, event.vm.name, event.vm.uuid);
    if (event.type === 'decision.made') this.#cooledDown(event.group, event.decision);
  }

  #launching(group: string): void {
    const breaker = this.memory.get(group)?.breaker;
    if (breaker?.retryAtMs === undefined) return;
    if (this.#options.now() + this.#offsetMs < breaker.retryAtMs)
      this.#violation(`a launch in ${group} although its breaker is open`);
    const launching = [...this.records.values()].filter((vm) => vm.group === group && vm.phase === 'launching').length;
    if (launching > 1) this.#violation(`${launching} launches in ${group} at once while its breaker tries again`);
  }

  /** Somebody who serves is taken out of service by our decision: enough others must serve. */
  #takenOut(host: string, name: string, reason: string, before: VmRecord | undefined): void {
    this.#options.trace.count('taken out of service');
    const group = before?.group;
    // Who owns a VM may have it drained whatever its host says.
    if (group === undefined) return;
    this.#pictureIsFresh(`draining of ${name}`, host);
    const left = this.inService(group);
    const unavailable = reason.startsWith('refresh')
      ? (this.#policies.get(group)?.policy.refresh?.unavailable ?? 0)
      : 0;
    const min = this.#bound(group, 'min') - unavailable;
    if (left < min) this.#violation(`draining ${name} leaves ${left} of ${group} in service, min is ${min}`);
  }

  #lost(host: string, name: string, uuid: string): void {
    this.#pictureIsFresh(`the loss of ${name}`, host);
    const domain = this.#domains().find((candidate) => candidate.uuid === uuid);
    if (domain?.running === true) this.#options.trace.count('lost although it runs again');
  }

  #pictureIsFresh(what: string, host: string): void {
    const { now, staleAfterMs } = this.#options;
    const pictureAtMs = this.#pictureAtMs.get(host);
    if (pictureAtMs === undefined || now() - pictureAtMs > staleAfterMs + TOLD_LATER_MS) {
      this.#violation(`${what} was told on a stale picture of ${host}`);
    }
  }

  /** A rule keeps its cooldown, across restarts too: out after the last out, in after the last of either. */
  #cooledDown(group: string, decision: DecisionSummary): void {
    const { trace, now } = this.#options;
    const { cause, desired, desiredBefore, rule: ruleName } = decision;
    trace.count(`decision ${cause}${ruleName === undefined ? '' : ` ${ruleName}`}`);
    if (cause !== 'rule' || ruleName === undefined || desired === desiredBefore) return;
    const rule = this.#policies.get(group)?.policy.rules.find((candidate) => candidate.name === ruleName);
    if (rule === undefined || !('cooldownMs' in rule)) return;
    const direction = desired > desiredBefore ? 'out' : 'in';
    const cooldownMs = typeof rule.cooldownMs === 'number' ? rule.cooldownMs : rule.cooldownMs[direction];
    const last = this.#lastScaleMs.get(group) ?? {};
    const lastOutMs = last.out ?? Number.NEGATIVE_INFINITY;
    const sinceMs = direction === 'out' ? lastOutMs : Math.max(lastOutMs, last.in ?? Number.NEGATIVE_INFINITY);
    if (now() - sinceMs < cooldownMs - TOLD_LATER_MS) {
      this.#violation(`rule ${ruleName} of ${group} fired ${now() - sinceMs} ms after the last scaling`);
    }
    this.#lastScaleMs.set(group, { ...last, [direction]: now() });
  }

  /** Uuids of what a group has: every record, every domain made for it, every listed domain that runs. */
  #existing(group: string): Set<string> {
    const uuids = new Set<string>();
    for (const vm of this.records.values()) if (vm.group === group) uuids.add(vm.uuid);
    const source = this.#policies.get(group)?.policy.source;
    const listed = source?.kind === 'domains' ? source.domains.map((domain) => domain.name) : [];
    for (const domain of this.#domains()) {
      const runsListed = domain.metadata === undefined && domain.running && listed.includes(domain.name);
      if (domain.metadata?.group === group || runsListed) uuids.add(domain.uuid);
    }
    return uuids;
  }

  #domains() {
    const nowMs = this.#options.now();
    return this.#options.hosts.flatMap((host) => host.domains(nowMs));
  }

  #domainOf(record: VmRecord) {
    return this.#domains().find((domain) => domain.uuid === record.uuid);
  }

  /** The looser of the present policy's limit and that of the policy before it, for as long as that may still matter. */
  #bound(group: string, limit: 'min' | 'max'): number {
    const inForce = this.#policies.get(group);
    if (inForce === undefined) return limit === 'max' ? Number.POSITIVE_INFINITY : 0;
    const { policy, before, changedAtMs } = inForce;
    if (this.#options.now() - changedAtMs > POLICY_CHANGE_MS) return policy[limit];
    return limit === 'max' ? Math.max(policy.max, before.max) : Math.min(policy[limit], before[limit]);
  }

  #surge(group: string): number {
    const inForce = this.#policies.get(group);
    return Math.max(inForce?.policy.refresh?.surge ?? 0, inForce?.before.refresh?.surge ?? 0);
  }

  #violation(text: string): void {
    this.#options.trace.violation(text);
  }
}
