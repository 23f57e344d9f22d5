// What holds for every picture, policy and memory, however odd; and for groups that live through many turns of bad luck.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Action, Decision } from '../../src/core/decision.ts';
import type { CpuSample, GroupMemory, Memory, Suspendable } from '../../src/core/memory.ts';
import type {
  DomainState,
  HostView,
  Image,
  Leaving,
  PlacementRules,
  Snapshot,
  StandbyKind,
  VmPhase,
  VmView,
} from '../../src/core/model.ts';
import { PLACEMENT_NAMES } from '../../src/core/placement/registry.ts';
import type { HealthCheck, Policy, ThresholdRule } from '../../src/core/policy.ts';
import { whyText } from '../../src/core/why-text.ts';
import {
  domainOf,
  hostOf,
  IMAGE,
  inRule,
  listPolicyOf,
  memoryOf,
  NOW_MS,
  outRule,
  policyOf,
  READY,
  uuidOf,
  viewOf,
} from './builders.ts';

const HOSTS = ['h1', 'h2', 'h3'];
const OLD_IMAGE: Image = { ...IMAGE, path: '/images/old.qcow2' };
const past = fc.integer({ min: 0, max: 400_000 }).map((ago) => NOW_MS - ago);

const anyRule: fc.Arbitrary<ThresholdRule> = fc
  .record({
    out: fc.boolean(),
    threshold: fc.integer({ min: 0, max: 100 }),
    forMs: fc.constantFrom(0, 3000, 60_000),
    by: fc.integer({ min: 1, max: 3 }).map((vms) => ({ vms })),
    cooldownMs: fc.constantFrom(0, 20_000, 120_000),
  })
  .map(({ out, ...rest }) => (out ? outRule(rest) : inRule(rest)));

const anyRules = fc
  .array(anyRule, { maxLength: 4 })
  .map((rules) => rules.map((rule, index) => ({ ...rule, name: `${rule.name}-${index}` })));

const anyPlacement: fc.Arbitrary<PlacementRules | undefined> = fc.option(
  fc.record({ algorithm: fc.constantFrom(...PLACEMENT_NAMES), apart: fc.boolean() }),
  { nil: undefined },
);

const HEALTH: HealthCheck = {
  check: READY,
  intervalMs: 5000,
  timeoutMs: 1000,
  failures: 3,
  graceMs: 0,
  budget: { vms: 1 },
};

const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    min: fc.nat(3),
    extra: fc.nat(8),
    rules: anyRules,
    listed: fc.boolean(),
    placement: anyPlacement,
    capacity: fc.record({ fork: fc.boolean(), paused: fc.nat(2), saved: fc.nat(1), stopped: fc.nat(2) }),
    order: fc.constantFrom('idlest', 'oldest', 'newest', 'fullest-host'),
    health: fc.boolean(),
    refresh: fc.option(fc.record({ surge: fc.integer({ min: 1, max: 2 }), unavailable: fc.nat(1) }), {
      nil: undefined,
    }),
  })
  .map(({ min, extra, rules, listed, placement, capacity, order, health, refresh }) => {
    const sizes: Partial<Policy> = {
      min,
      max: Math.max(1, min + extra),
      rules,
      capacity,
      removal: { kind: order },
      ...(placement && { placement }),
      ...(health && { health: HEALTH }),
      ...(refresh && { refresh: { ...refresh, checkpoints: [], pauseMs: 0, failures: 2, onFailure: 'rollback' } }),
    };
    return listed
      ? listPolicyOf(
          ['vm1', 'vm2', 'vm3'].map((name) => ({ name })),
          sizes,
        )
      : policyOf(sizes);
  });

const anyVm = fc.record({
  phase: fc.constantFrom<VmPhase>(
    'launching',
    'in-service',
    'in-service',
    'in-service',
    'draining',
    'removing',
    'standby',
  ),
  /** What it waits as, in standby; half of those that launch are to wait. */
  standby: fc.constantFrom<StandbyKind>('paused', 'saved', 'stopped'),
  toWait: fc.boolean(),
  leaving: fc.constantFrom<Leaving>('size', 'size', 'asked', 'unhealthy', 'refresh'),
  isProtected: fc.constantFrom(true, false, false, false, false),
  isOutdated: fc.constantFrom(true, false, false),
  isUnhealthy: fc.constantFrom(true, false, false, false),
  host: fc.constantFrom(...HOSTS),
  state: fc.constantFrom<DomainState | 'absent'>('running', 'running', 'running', 'stopped', 'unknown', 'absent'),
  fresh: fc.boolean(),
  group: fc.constantFrom('web', 'web', 'web', 'other'),
  percent: fc.option(fc.integer({ min: 0, max: 100 }), { nil: undefined }),
  percentAgeMs: fc.constantFrom(0, 900, 4000, 9000),
});

interface World {
  readonly snapshot: Snapshot;
  readonly policy: Policy;
  readonly memory: Memory;
}

/** A VM of a group that is well: so that rules get to fire, too. */
const calmVm: typeof anyVm = fc
  .record({
    percent: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined, freq: 12 }),
    host: fc.constantFrom(...HOSTS),
  })
  .map(({ percent, host }) => ({
    percent,
    host,
    phase: 'in-service',
    state: 'running',
    fresh: true,
    group: 'web',
    percentAgeMs: 900,
    standby: 'paused',
    toWait: false,
    leaving: 'size',
    isProtected: false,
    isOutdated: false,
    isUnhealthy: false,
  }));

const anyHostState = fc.constantFrom<HostView['state']>('up', 'up', 'up', 'stale', 'down');

const rawWorld = (calm: boolean) =>
  fc.record({
    policy: anyPolicy,
    vms: fc.array(calm ? calmVm : anyVm, { maxLength: 10 }),
    hostStates: fc.tuple(...HOSTS.map(() => (calm ? fc.constant<HostView['state']>('up') : anyHostState))),
    memoryFreeMiB: fc.constantFrom(0, 200, 8000),
    desired: fc.option(fc.nat(12), { nil: undefined }),
    paused: fc.constantFrom(true, false, false),
    suspended: fc.constantFrom<readonly Suspendable[]>([], [], [], ['launch'], ['remove'], ['health']),
    forkHosts: fc.subarray(HOSTS),
    failures: fc.nat(5),
    retryAgoMs: fc.integer({ min: -60_000, max: 60_000 }),
    lastOutAtMs: fc.option(past, { nil: undefined }),
    lastInAtMs: fc.option(past, { nil: undefined }),
    crossed: fc.array(past, { minLength: 4, maxLength: 4 }),
  });

const anyWorld: fc.Arbitrary<World> = fc.oneof(rawWorld(false), rawWorld(true)).map((raw) => {
  const vms = raw.vms.map(({ phase, host, state, fresh, group, ...rest }, index): VmView => {
    const up = raw.hostStates[HOSTS.indexOf(host)] === 'up';
    const waits = phase === 'standby' || (phase === 'launching' && rest.toWait);
    const record = {
      phase,
      host,
      group,
      name: `${group}-${index + 1}`,
      isProtected: rest.isProtected,
      ...(waits && { standby: rest.standby }),
      ...((phase === 'draining' || phase === 'removing') && { leaving: rest.leaving }),
      ...(rest.isOutdated && { image: OLD_IMAGE }),
    };
    const view = viewOf(index + 1, { record, fresh: fresh && up, domain: state === 'absent' ? null : { state } });
    return rest.isUnhealthy && phase === 'in-service' ? { ...view, unhealthy: 'it does not answer' } : view;
  });
  const cpu: [string, CpuSample][] = raw.vms.flatMap(({ percent, percentAgeMs }, index) => {
    const sample = { readAtMs: NOW_MS, cpuTimeNs: 0, vcpus: 1 };
    const value = percent === undefined ? {} : { percent, percentAtMs: NOW_MS - percentAgeMs };
    return [[uuidOf(index + 1), { ...sample, ...value }]];
  });
  const strays = ['vm1', 'vm2', 'vm3'].map((name, index) => domainOf(100 + index, { name, state: 'stopped' }));
  const open = raw.failures >= 3 ? { openedAtMs: NOW_MS - 1, retryAtMs: NOW_MS - raw.retryAgoMs } : {};
  const group: GroupMemory = memoryOf({
    paused: raw.paused,
    suspended: raw.suspended,
    breaker: { failures: raw.failures, ...open },
    ...(raw.desired !== undefined && { desired: raw.desired }),
    ...(raw.lastOutAtMs !== undefined && { lastOutAtMs: raw.lastOutAtMs }),
    ...(raw.lastInAtMs !== undefined && { lastInAtMs: raw.lastInAtMs }),
    transient: {
      cpu: Object.fromEntries(cpu),
      rules: Object.fromEntries(
        raw.policy.rules.map(({ name }, index) => [name, { crossedAtMs: raw.crossed[index] ?? NOW_MS }]),
      ),
    },
  });
  const hosts = HOSTS.map((name, index) => {
    const state = raw.hostStates[index] ?? 'up';
    const domains = index === 0 ? strays : [];
    return hostOf(name, { state, memoryFreeMiB: raw.memoryFreeMiB, domains, traits: { index } });
  });
  const groups = { web: { forkHosts: raw.forkHosts } };
  return { snapshot: { atMs: NOW_MS, hosts, vms, groups }, policy: raw.policy, memory: { web: group } };
});

function decideIn({ snapshot, policy, memory }: World): { readonly decision: Decision; readonly memory: Memory } {
  const result = decide(snapshot, [policy], memory, NOW_MS);
  const [decision] = result.decisions;
  if (decision === undefined) throw new Error('no decision');
  return { decision, memory: result.memory };
}

function members({ snapshot }: World): readonly VmView[] {
  return snapshot.vms.filter(({ record }) => record.group === 'web');
}

function active(world: World): readonly VmView[] {
  return members(world).filter(({ record }) => {
    return record.phase === 'in-service' || (record.phase === 'launching' && record.standby === undefined);
  });
}

/** Checks a property of every decision in every world. */
function always(check: (world: World, decision: Decision, memory: Memory) => void): void {
  fc.assert(
    fc.property(anyWorld, (world) => {
      const { decision, memory } = decideIn(world);
      check(world, decision, memory);
    }),
    { numRuns: 1000 },
  );
}

/** VMs that come to be. */
const launches = ({ actions }: Decision) => actions.filter(({ kind }) => kind === 'launch' || kind === 'start');
/** VMs more in service. */
const additions = ({ actions }: Decision) =>
  actions.filter((action) => !('vmId' in action) || action.kind === 'wake' || action.kind === 'return').filter(serves);
const serves = (action: Action) => action.kind !== 'launch' || action.standby === undefined;
const drains = ({ actions }: Decision, because?: Leaving) =>
  actions.flatMap((action) => {
    return action.kind === 'drain' && (because === undefined || action.because === because) ? [action.vmId] : [];
  });
/** VMs fewer than there were. */
const goes = ({ actions }: Decision) =>
  actions.flatMap((action) => (action.kind === 'drain' || action.kind === 'discard' ? [action.vmId] : []));
const surgeOf = ({ policy }: World) => policy.refresh?.surge ?? 0;
const isHealthy = ({ record, unhealthy }: VmView) => record.phase === 'in-service' && unhealthy === undefined;

describe('every decision', () => {
  it('keeps desired within the policy and what exists within the maximum', () => {
    always((world, decision) => {
      const { min, max } = world.policy;
      expect(decision.desired).toBeGreaterThanOrEqual(min);
      expect(decision.desired).toBeLessThanOrEqual(max);
      if (launches(decision).length > 0) {
        const beyond = decision.refresh === undefined ? 0 : surgeOf(world);
        expect(members(world).length + launches(decision).length).toBeLessThanOrEqual(max + beyond);
      }
    });
  });

  it('keeps VMs apart that are to be apart', () => {
    always((world, decision) => {
      const { placement, source } = world.policy;
      if (placement?.apart !== true || source.kind !== 'template') return;
      const launched = decision.actions.flatMap((action) => (action.kind === 'launch' ? [action.host] : []));
      const taken = members(world).map(({ record }) => record.host);
      expect(new Set(launched).size).toBe(launched.length);
      expect(launched.filter((host) => taken.includes(host))).toEqual([]);
    });
  });

  it('never takes the group below its minimum, nor below what is desired', () => {
    always((world, decision) => {
      const left = active(world).length - drains(decision, 'unhealthy').length;
      if (drains(decision, 'size').length > 0) {
        expect(left - drains(decision, 'size').length).toBeGreaterThanOrEqual(decision.desired);
      }
      if (drains(decision, 'refresh').length > 0) {
        const gone = new Set(drains(decision));
        const serving = active(world).filter((view) => isHealthy(view) && !gone.has(view.record.id)).length;
        const sound = active(world).some(
          (view) => isHealthy(view) && drains(decision, 'refresh').includes(view.record.id),
        );
        const least = decision.desired - (world.policy.refresh?.unavailable ?? 0);
        if (sound) expect(serving).toBeGreaterThanOrEqual(least);
      }
    });
  });

  it('launches or drains, never both, and never more than are missing or too many', () => {
    always((world, decision) => {
      const need = decision.desired - active(world).length + drains(decision, 'unhealthy').length;
      const surge = decision.refresh === undefined ? 0 : surgeOf(world);
      expect(additions(decision).length).toBeLessThanOrEqual(Math.max(0, need + surge));
      expect(drains(decision, 'size').length).toBeLessThanOrEqual(Math.max(0, -need));
      if (drains(decision, 'size').length > 0) expect([...additions(decision), ...launches(decision)]).toEqual([]);
      const waiting = launches(decision).filter((action) => !serves(action));
      expect(waiting.length).toBeLessThanOrEqual(1);
      if (waiting.length > 0) expect(additions(decision)).toEqual([]);
    });
  });

  it('acts on hosts that are up alone, and drains only what a fresh picture shows, once', () => {
    always((world, decision) => {
      const up = new Set(world.snapshot.hosts.filter(({ state }) => state === 'up').map(({ name }) => name));
      const targets = decision.actions.map((action) => {
        if (!('vmId' in action)) return action.host;
        const view = members(world).find(({ record }) => record.id === action.vmId);
        expect(view?.fresh).toBe(true);
        return view?.record.host ?? 'none';
      });
      const ids = decision.actions.flatMap((action) => ('vmId' in action ? [action.vmId] : []));
      expect(new Set(ids).size).toBe(ids.length);
      expect(targets.filter((host) => !up.has(host))).toEqual([]);
      const started = decision.actions.flatMap((action) => (action.kind === 'start' ? [action.uuid] : []));
      expect(new Set(started).size).toBe(started.length);
    });
  });

  it('never scales in by a rule while any VM in service is unmeasured and could be busy, or a host is silent', () => {
    always((world, decision) => {
      if (decision.cause !== 'rule' || decision.desired >= decision.desiredBefore) return;
      const firing = decision.verdicts.find(({ rule }) => rule === decision.rule);
      const serving = members(world).filter(({ record }) => record.phase === 'in-service');
      const percents = serving.map(({ record }) => decision.cpuByVm[record.name] ?? 100);
      const worst = percents.reduce((sum, percent) => sum + percent, 0) / percents.length;
      expect(worst).toBeLessThan(firing?.threshold ?? 0);
      const hosts = new Map(world.snapshot.hosts.map(({ name, state }) => [name, state]));
      expect(members(world).filter(({ record }) => hosts.get(record.host) !== 'up')).toEqual([]);
    });
  });

  it('launches nothing while the breaker is open', () => {
    always((world, decision, memory) => {
      const { retryAtMs } = world.memory['web']?.durable.breaker ?? {};
      if (retryAtMs === undefined) return;
      const allowed = retryAtMs > NOW_MS ? 0 : 1;
      const tries = decision.actions.filter(({ kind }) => kind === 'launch' || kind === 'start' || kind === 'wake');
      if (memory['web']?.durable.breaker.retryAtMs !== undefined) expect(tries.length).toBeLessThanOrEqual(allowed);
    });
  });

  it('leaves a paused group alone', () => {
    always((world, decision) => {
      if (world.memory['web']?.durable.paused !== true) return;
      expect(decision.actions).toEqual([]);
      expect(decision.cause).not.toBe('rule');
    });
  });

  it('explains itself: in words, with a verdict per rule, and a limit wherever it falls short', () => {
    always((world, decision) => {
      expect(decision.text.length).toBeGreaterThan(10);
      expect(decision.text).not.toMatch(/undefined|NaN|Infinity| {2}/);
      expect(decision.verdicts.map(({ rule }) => rule)).toEqual(world.policy.rules.map(({ name }) => name));
      for (const { text } of [...decision.verdicts, ...decision.limits, ...decision.hosts, ...decision.victims]) {
        expect(text).toMatch(/^\S.*\S$/);
        expect(text).not.toMatch(/undefined|NaN|Infinity/);
      }
      const reached = active(world).length + additions(decision).length - drains(decision).length;
      if (reached !== decision.desired && decision.refresh === undefined) {
        expect(decision.limits.length).toBeGreaterThan(0);
      }
      expect(whyText(decision)).not.toMatch(/undefined|NaN|Infinity| {2}/);
    });
  });

  it('recomputes from its steps: each begins where the one before ended', () => {
    always((_world, decision) => {
      let size = decision.desiredBefore;
      for (const { from, to } of decision.steps) {
        expect(from).toBe(size);
        size = to;
      }
      expect(size).toBe(decision.desired);
    });
  });

  it('never touches a protected VM, and takes nothing back but what goes because of the size', () => {
    always((world, decision) => {
      const going = new Set(goes(decision));
      expect(members(world).filter(({ record }) => record.isProtected && going.has(record.id))).toEqual([]);
      const back = decision.actions.flatMap((action) => (action.kind === 'return' ? [action.vmId] : []));
      const returned = members(world).filter(({ record }) => back.includes(record.id));
      expect(returned.filter(({ record }) => record.leaving !== 'size' || record.phase !== 'draining')).toEqual([]);
    });
  });

  it('does nothing of what is suspended', () => {
    always((world, decision) => {
      const suspended = world.memory['web']?.durable.suspended ?? [];
      const kinds = decision.actions.map(({ kind }) => kind);
      if (suspended.includes('launch'))
        expect(kinds.filter((kind) => ['launch', 'start', 'wake'].includes(kind))).toEqual([]);
      if (suspended.includes('remove')) expect(goes(decision)).toEqual([]);
      if (suspended.includes('health')) expect(drains(decision, 'unhealthy')).toEqual([]);
    });
  });

  it('moves the cooldowns only when a rule moved desired', () => {
    always((world, decision, memory) => {
      const [before, after] = [world.memory['web']?.durable, memory['web']?.durable];
      const byRule = decision.cause === 'rule';
      if (!byRule) {
        expect([after?.lastOutAtMs, after?.lastInAtMs]).toEqual([before?.lastOutAtMs, before?.lastInAtMs]);
      } else expect([after?.lastOutAtMs, after?.lastInAtMs]).toContain(NOW_MS);
    });
  });

  it('is the same for the same input, whatever order the hosts and VMs come in, and however memory was stored', () => {
    always((world, decision, memory) => {
      const stored = JSON.parse(JSON.stringify(world)) as World;
      expect(decideIn(stored)).toEqual({ decision, memory });
      const { hosts, vms } = world.snapshot;
      const turned = decideIn({
        ...world,
        snapshot: { ...world.snapshot, hosts: hosts.toReversed(), vms: vms.toReversed() },
      });
      expect(turned.decision.actions).toEqual(decision.actions);
      expect(turned.decision.desired).toBe(decision.desired);
    });
  });

  it('changes nothing of what it was given', () => {
    always((world) => {
      const before = JSON.stringify(world);
      decideIn(world);
      expect(JSON.stringify(world)).toBe(before);
    });
  });

  it('remembers only VMs and rules that there are', () => {
    always((world, _decision, memory) => {
      const uuids = new Set(members(world).map(({ record }) => record.uuid));
      const names = new Set(world.policy.rules.map(({ name }) => name));
      const { cpu = {}, rules = {} } = memory['web']?.transient ?? {};
      expect(Object.keys(cpu).filter((uuid) => !uuids.has(uuid))).toEqual([]);
      expect(Object.keys(rules).filter((name) => !names.has(name))).toEqual([]);
    });
  });
});
