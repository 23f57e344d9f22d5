// What holds for every picture, policy and memory, however odd; and for groups that live through many turns of bad luck.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { CpuSample, GroupMemory, Memory } from '../../src/core/memory.ts';
import type { DomainState, HostView, PlacementRules, Snapshot, VmPhase, VmView } from '../../src/core/model.ts';
import { PLACEMENT_NAMES } from '../../src/core/placement/registry.ts';
import type { Policy, ThresholdRule } from '../../src/core/policy.ts';
import {
  domainOf,
  hostOf,
  inRule,
  listPolicyOf,
  memoryOf,
  NOW_MS,
  outRule,
  policyOf,
  uuidOf,
  viewOf,
} from './builders.ts';

const HOSTS = ['h1', 'h2', 'h3'];
const past = fc.integer({ min: 0, max: 400_000 }).map((ago) => NOW_MS - ago);

const anyRule: fc.Arbitrary<ThresholdRule> = fc
  .record({
    out: fc.boolean(),
    thresholdPercent: fc.integer({ min: 0, max: 100 }),
    forMs: fc.constantFrom(0, 3000, 60_000),
    by: fc.integer({ min: 1, max: 3 }),
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

const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({ min: fc.nat(3), extra: fc.nat(8), rules: anyRules, listed: fc.boolean(), placement: anyPlacement })
  .map(({ min, extra, rules, listed, placement }) => {
    const sizes = { min, max: Math.max(1, min + extra), rules, ...(placement && { placement }) };
    return listed
      ? listPolicyOf(
          ['vm1', 'vm2', 'vm3'].map((name) => ({ name })),
          sizes,
        )
      : policyOf(sizes);
  });

const anyVm = fc.record({
  phase: fc.constantFrom<VmPhase>('launching', 'in-service', 'in-service', 'in-service', 'draining', 'removing'),
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
  }));

const anyHostState = fc.constantFrom<HostView['state']>('up', 'up', 'up', 'stale', 'down');

const rawWorld = (calm: boolean) =>
  fc.record({
    policy: anyPolicy,
    vms: fc.array(calm ? calmVm : anyVm, { maxLength: 10 }),
    hostStates: fc.tuple(...HOSTS.map(() => (calm ? fc.constant<HostView['state']>('up') : anyHostState))),
    memoryFreeMiB: fc.constantFrom(0, 200, 8000),
    desired: fc.option(fc.nat(12), { nil: undefined }),
    paused: fc.boolean(),
    failures: fc.nat(5),
    retryAgoMs: fc.integer({ min: -60_000, max: 60_000 }),
    lastOutAtMs: fc.option(past, { nil: undefined }),
    lastInAtMs: fc.option(past, { nil: undefined }),
    crossed: fc.array(past, { minLength: 4, maxLength: 4 }),
  });

const anyWorld: fc.Arbitrary<World> = fc.oneof(rawWorld(false), rawWorld(true)).map((raw) => {
  const vms = raw.vms.map(({ phase, host, state, fresh, group }, index): VmView => {
    const up = raw.hostStates[HOSTS.indexOf(host)] === 'up';
    const record = { phase, host, group, name: `${group}-${index + 1}` };
    return viewOf(index + 1, { record, fresh: fresh && up, domain: state === 'absent' ? null : { state } });
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
    breaker: { failures: raw.failures, ...open },
    ...(raw.desired !== undefined && { desired: raw.desired }),
    ...(raw.lastOutAtMs !== undefined && { lastOutAtMs: raw.lastOutAtMs }),
    ...(raw.lastInAtMs !== undefined && { lastInAtMs: raw.lastInAtMs }),
    transient: {
      cpu: Object.fromEntries(cpu),
      crossedAtMs: Object.fromEntries(raw.policy.rules.map(({ name }, index) => [name, raw.crossed[index] ?? NOW_MS])),
    },
  });
  const hosts = HOSTS.map((name, index) => {
    const state = raw.hostStates[index] ?? 'up';
    const domains = index === 0 ? strays : [];
    return hostOf(name, { state, memoryFreeMiB: raw.memoryFreeMiB, domains, traits: { index } });
  });
  return { snapshot: { atMs: NOW_MS, hosts, vms }, policy: raw.policy, memory: { web: group } };
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
  return members(world).filter(({ record }) => record.phase === 'launching' || record.phase === 'in-service');
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

const launches = (decision: Decision) => decision.actions.filter(({ kind }) => kind !== 'drain');
const drains = (decision: Decision) =>
  decision.actions.flatMap((action) => (action.kind === 'drain' ? [action.vmId] : []));

describe('every decision', () => {
  it('keeps desired within the policy and what exists within the maximum', () => {
    always((world, decision) => {
      const { min, max } = world.policy;
      expect(decision.desired).toBeGreaterThanOrEqual(min);
      expect(decision.desired).toBeLessThanOrEqual(max);
      if (launches(decision).length > 0) {
        expect(members(world).length + launches(decision).length).toBeLessThanOrEqual(max);
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
      if (drains(decision).length === 0) return;
      expect(active(world).length - drains(decision).length).toBeGreaterThanOrEqual(decision.desired);
    });
  });

  it('launches or drains, never both, and never more than are missing or too many', () => {
    always((world, decision) => {
      const need = decision.desired - active(world).length;
      expect(launches(decision).length).toBeLessThanOrEqual(Math.max(0, need));
      expect(drains(decision).length).toBeLessThanOrEqual(Math.max(0, -need));
    });
  });

  it('acts on hosts that are up alone, and drains only what a fresh picture shows, once', () => {
    always((world, decision) => {
      const up = new Set(world.snapshot.hosts.filter(({ state }) => state === 'up').map(({ name }) => name));
      const targets = decision.actions.map((action) => {
        if (action.kind !== 'drain') return action.host;
        const view = active(world).find(({ record }) => record.id === action.vmId);
        expect(view?.fresh).toBe(true);
        return view?.record.host ?? 'none';
      });
      expect(targets.filter((host) => !up.has(host))).toEqual([]);
      expect(new Set(drains(decision)).size).toBe(drains(decision).length);
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
      expect(worst).toBeLessThan(firing?.thresholdPercent ?? 0);
      const hosts = new Map(world.snapshot.hosts.map(({ name, state }) => [name, state]));
      expect(members(world).filter(({ record }) => hosts.get(record.host) !== 'up')).toEqual([]);
    });
  });

  it('launches nothing while the breaker is open', () => {
    always((world, decision) => {
      const { retryAtMs } = world.memory['web']?.durable.breaker ?? {};
      if (retryAtMs === undefined) return;
      const allowed = retryAtMs > NOW_MS ? 0 : 1;
      expect(launches(decision).length).toBeLessThanOrEqual(allowed);
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
      const reached = active(world).length + launches(decision).length - drains(decision).length;
      if (reached !== decision.desired) expect(decision.limits.length).toBeGreaterThan(0);
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
      const { cpu = {}, crossedAtMs = {} } = memory['web']?.transient ?? {};
      expect(Object.keys(cpu).filter((uuid) => !uuids.has(uuid))).toEqual([]);
      expect(Object.keys(crossedAtMs).filter((name) => !names.has(name))).toEqual([]);
    });
  });
});
