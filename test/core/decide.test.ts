import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { GroupMemory } from '../../src/core/memory.ts';
import type { PlacementRules, Snapshot, VmView } from '../../src/core/model.ts';
import { BUILT_IN } from '../../src/core/placement/registry.ts';
import type { Policy } from '../../src/core/policy.ts';
import {
  domainOf,
  hostOf,
  inRule,
  listPolicyOf,
  measured,
  memoryOf,
  NOW_MS,
  outRule,
  policyOf,
  snapshotOf,
  uuidOf,
  viewOf,
} from './builders.ts';

const LONG_AGO_MS = NOW_MS - 100_000;
/** All rules have crossed long ago; whether they still do is for the CPU to say. */
const LONG_AGO = { crossedAtMs: LONG_AGO_MS };
const CROSSED = { hot: LONG_AGO, idle: LONG_AGO };

function turn(
  vms: readonly VmView[],
  memory: GroupMemory = memoryOf(),
  policy: Policy = policyOf(),
  over: Partial<Snapshot> = {},
): { readonly decision: Decision; readonly memory: GroupMemory } {
  const result = decide(snapshotOf({ vms, ...over }), [policy], { [policy.group]: memory }, NOW_MS);
  const [decision] = result.decisions;
  const after = result.memory[policy.group];
  if (decision === undefined || after === undefined) throw new Error('no decision');
  return { decision, memory: after };
}

/** VMs in service with this CPU, and a memory in which `desired` is their number. */
function busy(...percents: readonly number[]): { readonly vms: readonly VmView[]; readonly memory: GroupMemory } {
  const vms = percents.map((_, index) => viewOf(index + 1));
  const cpu = measured(Object.fromEntries(percents.map((percent, index) => [index + 1, percent])));
  return { vms, memory: memoryOf({ desired: vms.length, transient: { cpu, rules: CROSSED } }) };
}

describe('desired size', () => {
  it('is the minimum for a new group, and that many are launched', () => {
    const { decision, memory } = turn([]);
    expect(decision).toMatchObject({ desiredBefore: 0, desired: 1, cause: 'limits' });
    expect(decision.actions).toEqual([{ kind: 'launch', group: 'web', host: 'h1' }]);
    expect(decision.limits).toEqual([{ limit: 'min', from: 0, to: 1, text: 'The policy wants at least 1 VM.' }]);
    expect(decision.text).toBe('The policy wants at least 1 VM. Desired goes from 0 to 1. Launching 1 VM on host h1.');
    expect(memory.durable.desired).toBe(1);
    expect(memory.durable).not.toHaveProperty('lastOutAtMs');
  });

  it('is what there is, for a group found running', () => {
    const { decision } = turn([viewOf(1), viewOf(2)]);
    expect(decision).toMatchObject({ desiredBefore: 2, desired: 2, cause: 'none', actions: [] });
  });

  it('follows a policy whose limits moved', () => {
    const { vms, memory } = busy(50, 40, 30);
    const shrunk = turn(vms, memory, policyOf({ max: 2 }));
    expect(shrunk.decision).toMatchObject({ desiredBefore: 3, desired: 2, cause: 'limits' });
    expect(shrunk.decision.actions).toEqual([
      { kind: 'drain', group: 'web', vmId: 3, reason: 'the policy allows at most 2 VMs', because: 'size' },
    ]);
    expect(shrunk.memory.durable).not.toHaveProperty('lastInAtMs');
    expect(turn(vms, memory, policyOf({ min: 5, max: 9 })).decision).toMatchObject({ desired: 5, cause: 'limits' });
  });

  it('stays when a VM is lost: another is launched', () => {
    const { decision } = turn([viewOf(1)], memoryOf({ desired: 2 }));
    expect(decision).toMatchObject({ desired: 2, cause: 'replace' });
    expect(decision.actions).toHaveLength(1);
    expect(decision.text).toBe('1 VM missing of 2 desired. Launching 1 VM on host h1.');
  });

  it('names the user who moved it, once', () => {
    const { decision, memory } = turn([viewOf(1)], memoryOf({ desired: 2, desiredBy: 'user' }));
    expect(decision).toMatchObject({ desired: 2, cause: 'user' });
    expect(decision.text).toContain('A user asked for 2 VMs.');
    expect(memory.durable).not.toHaveProperty('desiredBy');
  });
});

describe('rules', () => {
  it('add a VM when the group is hot, and remember when', () => {
    const { vms, memory } = busy(91);
    const { decision, memory: after } = turn(vms, memory);
    expect(decision).toMatchObject({ desiredBefore: 1, desired: 2, cause: 'rule', rule: 'hot', cpuPercent: 91 });
    expect(decision.actions).toEqual([{ kind: 'launch', group: 'web', host: 'h1' }]);
    expect(decision.cpuByVm).toEqual({ 'web-1': 91 });
    expect(decision.text).toBe(
      'Rule hot: CPU 91 %, above 75 % for 1 min 40 s: add 1 VM. Desired goes from 1 to 2. Launching 1 VM on host h1.',
    );
    expect(after.durable).toMatchObject({ desired: 2, lastOutAtMs: NOW_MS });
    expect(after.durable).not.toHaveProperty('lastInAtMs');
  });

  it('remove the idlest when the group is idle', () => {
    const { vms, memory } = busy(9, 2, 7);
    const { decision, memory: after } = turn(vms, memory);
    expect(decision).toMatchObject({ desired: 2, cause: 'rule', rule: 'idle' });
    expect(decision.actions).toEqual([
      {
        kind: 'drain',
        group: 'web',
        vmId: 2,
        reason: 'rule idle: CPU 6 %, below 20 % for 1 min 40 s: remove 1 VM.',
        because: 'size',
      },
    ]);
    expect(decision.victims.map(({ name, chosen }) => [name, chosen])).toEqual([
      ['web-2', true],
      ['web-3', false],
      ['web-1', false],
    ]);
    expect(after.durable.lastInAtMs).toBe(NOW_MS);
    expect(after.durable).not.toHaveProperty('lastOutAtMs');
  });

  it('stop at the maximum', () => {
    const { vms, memory } = busy(91, 92, 93, 94);
    const { decision, memory: after } = turn(vms, memory);
    expect(decision).toMatchObject({ desired: 4, cause: 'none', actions: [] });
    expect(decision.limits).toEqual([{ limit: 'max', from: 5, to: 4, text: 'The policy allows at most 4 VMs.' }]);
    expect(decision.verdicts[0]).toMatchObject({ verdict: 'fires', recommends: 1 });
    expect(after.durable).not.toHaveProperty('lastOutAtMs');
  });

  it('stop at the minimum', () => {
    const { vms, memory } = busy(1);
    const { decision } = turn(vms, memory);
    expect(decision).toMatchObject({ desired: 1, cause: 'none', actions: [] });
    expect(decision.limits).toEqual([{ limit: 'min', from: 0, to: 1, text: 'The policy wants at least 1 VM.' }]);
  });

  it('leave the last VM alone even with min 0', () => {
    const { vms, memory } = busy(1);
    expect(turn(vms, memory, policyOf({ min: 0 })).decision).toMatchObject({ desired: 1, actions: [] });
    const many = inRule({ by: { vms: 3 } });
    const three = busy(1, 1, 1);
    expect(turn(three.vms, three.memory, policyOf({ min: 0, rules: [many] })).decision.desired).toBe(1);
  });

  it('go out if any fires, by the largest step', () => {
    const rules = [outRule(), outRule({ name: 'blaze', threshold: 90, by: { vms: 2 } }), inRule()];
    const memoryFor = (memory: GroupMemory) => ({
      ...memory,
      transient: { ...memory.transient, rules: { ...CROSSED, blaze: LONG_AGO } },
    });
    const hot = busy(80);
    expect(turn(hot.vms, memoryFor(hot.memory), policyOf({ rules })).decision).toMatchObject({
      desired: 2,
      rule: 'hot',
    });
    const blazing = busy(95);
    expect(turn(blazing.vms, memoryFor(blazing.memory), policyOf({ rules })).decision).toMatchObject({
      desired: 3,
      rule: 'blaze',
    });
  });

  it('go in only if all agree, by the smallest step', () => {
    const rules = [inRule({ by: { vms: 2 } }), inRule({ name: 'calm', threshold: 10, by: { vms: 1 } })];
    const remembered = { idle: LONG_AGO, calm: LONG_AGO };
    const at = (percent: number) => {
      const { vms, memory } = busy(percent, percent, percent, percent);
      return turn(vms, { ...memory, transient: { ...memory.transient, rules: remembered } }, policyOf({ rules }))
        .decision;
    };
    expect(at(5)).toMatchObject({ desired: 3, rule: 'calm' });
    expect(at(15)).toMatchObject({ desired: 4, cause: 'none' });
    expect(at(15).text).toContain('Nothing is removed before rule calm agrees.');
  });

  it('remove nothing while one that adds has crossed its threshold', () => {
    // Such a policy is refused when it is read; decide holds all the same.
    const rules = [outRule({ threshold: 10, forMs: 3_600_000 }), inRule()];
    const { vms, memory } = busy(15, 15);
    const { decision } = turn(vms, memory, policyOf({ rules }));
    expect(decision.verdicts.map(({ verdict }) => verdict)).toEqual(['counting', 'would-flap']);
    const one = busy(15);
    const alone = turn(one.vms, one.memory, policyOf({ rules })).decision;
    expect(alone).toMatchObject({ desired: 1, cause: 'none', limits: [] });
    expect(alone.text).toContain('Nothing is removed while rule hot is beyond its threshold.');
  });

  it('remember since when, by name, and forget rules and VMs that are no more', () => {
    const { vms, memory } = busy(91);
    const stale = {
      ...memory,
      transient: {
        cpu: { ...memory.transient.cpu, gone: { readAtMs: 1, cpuTimeNs: 1, vcpus: 1 } },
        rules: { ...CROSSED, former: LONG_AGO },
      },
    };
    const { memory: after } = turn(vms, stale);
    expect(after.transient.rules).toEqual({ hot: LONG_AGO });
    expect(Object.keys(after.transient.cpu)).toEqual([uuidOf(1)]);
  });

  it('do not mistake what every object has for a memory', () => {
    const { vms, memory } = busy(91);
    const { decision } = turn(vms, memory, policyOf({ rules: [outRule({ name: 'constructor' })] }));
    expect(decision.verdicts[0]).toMatchObject({ verdict: 'counting' });
  });
});

describe('CPU from the counters', () => {
  const S = 1_000_000_000;
  const at = (readAtMs: number, cpuTimeNs: number, over: Partial<VmView['record']> = {}) =>
    viewOf(1, { record: over, domain: { readAtMs, cpuTimeNs } });

  it('is measured over two turns', () => {
    const first = turn([at(NOW_MS - 1000, 5 * S)]);
    expect(first.decision).not.toHaveProperty('cpuPercent');
    expect(first.decision.verdicts.map(({ verdict }) => verdict)).toEqual(['no-data', 'no-data']);
    const second = turn([at(NOW_MS, 5.4 * S)], first.memory);
    expect(second.decision.cpuPercent).toBeCloseTo(40, 6);
  });

  it('of booting counts neither for the group nor afterwards', () => {
    const booting = turn([at(NOW_MS - 2000, 0, { phase: 'launching' })]);
    const ready = { phaseAtMs: NOW_MS - 500 };
    const launching = turn([at(NOW_MS - 1000, S, { phase: 'launching' })], booting.memory);
    expect(launching.decision.cpuByVm).toEqual({ 'web-1': 100 });
    expect(launching.decision).not.toHaveProperty('cpuPercent');
    const served = turn([at(NOW_MS, 2 * S, ready)], launching.memory);
    expect(served.decision).not.toHaveProperty('cpuPercent');
  });

  it('is forgotten with the domain, but not because a host is silent', () => {
    const known = memoryOf({ desired: 1, transient: { cpu: measured({ 1: 90 }) } });
    const gone = turn([viewOf(1, { domain: null })], known);
    expect(gone.decision.cpuByVm).toEqual({});
    expect(gone.memory.transient.cpu).toEqual({});
    expect(turn([viewOf(1, { domain: null, fresh: false })], known).decision.cpuByVm).toEqual({ 'web-1': 90 });
    expect(turn([viewOf(1, { domain: { state: 'stopped' } })], known).decision.cpuByVm).toEqual({});
    expect(turn([viewOf(1, { domain: { state: 'unknown' } })], known).decision.cpuByVm).toEqual({ 'web-1': 90 });
  });

  it('goes stale', () => {
    const old = (ageMs: number) => memoryOf({ desired: 1, transient: { cpu: measured({ 1: 90 }, NOW_MS - ageMs) } });
    const seen = [viewOf(1, { domain: { readAtMs: NOW_MS - 9000 } })];
    expect(turn(seen, old(5000)).decision.cpuPercent).toBe(90);
    expect(turn(seen, old(5001)).decision).not.toHaveProperty('cpuPercent');
    expect(turn(seen, old(9000), policyOf(), { staleAfterMs: 9000 }).decision.cpuPercent).toBe(90);
  });

  it('survives being stored', () => {
    const { memory } = turn([at(NOW_MS, 5 * S)]);
    expect(JSON.parse(JSON.stringify(memory))).toEqual(memory);
  });
});

describe('launching', () => {
  it('counts everything that exists against the maximum', () => {
    const leaving = [3, 4].map((id) => viewOf(id, { record: { phase: 'removing' } }));
    const { decision } = turn([viewOf(1), ...leaving], memoryOf({ desired: 4 }));
    expect(decision.actions).toHaveLength(1);
    expect(decision.limits).toEqual([
      {
        limit: 'exists',
        from: 4,
        to: 2,
        text: '3 VMs exist, 2 of them on their way out; the policy allows 4.',
      },
    ]);
    expect(decision.counts).toEqual({
      desired: 4,
      inService: 1,
      launching: 0,
      standby: 0,
      draining: 0,
      removing: 2,
      existing: 3,
    });
  });

  it('stops while the breaker is open, and says so', () => {
    const breaker = {
      failures: 3,
      openedAtMs: NOW_MS - 1,
      retryAtMs: NOW_MS + 12_000,
      lastReason: 'not ready within 60 s',
    };
    const { decision } = turn([viewOf(1)], memoryOf({ desired: 3, breaker }));
    expect(decision.actions).toEqual([]);
    expect(decision.limits).toEqual([
      {
        limit: 'breaker',
        from: 3,
        to: 1,
        text: '3 launches failed in a row (the last: not ready within 60 s); the next is tried in 12 s.',
      },
    ]);
    expect(decision.text).toBe(decision.limits[0]?.text);
    const half = { ...breaker, retryAtMs: NOW_MS };
    expect(turn([viewOf(1)], memoryOf({ desired: 3, breaker: half })).decision.actions).toHaveLength(1);
    const trying = viewOf(2, { record: { phase: 'launching' } });
    expect(turn([viewOf(1), trying], memoryOf({ desired: 3, breaker: half })).decision.actions).toEqual([]);
  });

  it('says when no host has room', () => {
    const { decision } = turn([], memoryOf({ desired: 2 }), policyOf(), {
      hosts: [hostOf('h1', { memoryFreeMiB: 200 }), hostOf('h2', { state: 'stale' })],
    });
    expect(decision.actions).toEqual([{ kind: 'launch', group: 'web', host: 'h1' }]);
    expect(decision.limits).toEqual([
      { limit: 'no-host', from: 2, to: 1, text: 'No host can take more (asked for 2 VMs in all).' },
    ]);
    expect(decision.hosts).toHaveLength(2);
  });

  it('shares hosts out among groups', () => {
    const policies = ['a', 'b', 'c'].map((group) => policyOf({ group }));
    const hosts = [hostOf('h1', { memoryFreeMiB: 130 }), hostOf('h2', { memoryFreeMiB: 140 })];
    const { decisions } = decide(snapshotOf({ hosts }), policies, {}, NOW_MS);
    expect(decisions.map(({ actions }) => actions.map((action) => ('host' in action ? action.host : '')))).toEqual([
      ['h1'],
      ['h2'],
      [],
    ]);
  });

  const hostsOf = (decision: Decision) =>
    decision.actions.map((action) => (action.kind === 'launch' ? action.host : action.kind));

  it('follows the placement of the policy, else that of the configuration', () => {
    const hosts = ['h1', 'h2', 'h3'].map((name, index) =>
      hostOf(name, { traits: { index, labels: { zone: index < 2 ? 'a' : 'b' } } }),
    );
    const three = memoryOf({ desired: 3 });
    const under = (placement: PlacementRules | undefined, over: Partial<Snapshot> = {}) =>
      hostsOf(turn([], three, policyOf(placement ? { placement } : {}), { hosts, ...over }).decision);
    expect(under(undefined)).toEqual(['h1', 'h2', 'h3']);
    expect(under(undefined, { placement: 'first-fit' })).toEqual(['h1', 'h1', 'h1']);
    expect(under({ algorithm: 'round-robin' }, { placement: 'first-fit', lastHost: 'h2' })).toEqual(['h3', 'h1', 'h2']);
    expect(under({ labels: { zone: 'a' } }, { placement: 'round-robin', lastHost: 'h1' })).toEqual(['h2', 'h1', 'h2']);
    expect(under({ host: 'h3' })).toEqual(['h3', 'h3', 'h3']);
    expect(under({ apart: true, labels: { zone: 'a' } })).toEqual(['h1', 'h2']);
  });

  it('leaves VMs without a group alone, but counts them on their hosts', () => {
    const alone = viewOf(7, { record: { operation: 'op-7' } });
    const { group: _none, ...record } = alone.record;
    const { decision } = turn([{ ...alone, record }], memoryOf(), policyOf(), { hosts: [hostOf('h1'), hostOf('h2')] });
    expect(decision.counts.existing).toBe(0);
    expect(hostsOf(decision)).toEqual(['h2']);
    expect(decision.hosts.at(-1)?.text).toContain('fits (1 VM; ');
  });

  it('goes on with least-loaded when the algorithm fails, and says so', () => {
    const broken = new Map([...BUILT_IN, ['./mine.mjs', { choose: () => ({ host: 'nowhere' }) }]]);
    const policy = policyOf({ placement: { algorithm: './mine.mjs' } });
    const [decision] = decide(snapshotOf(), [policy], {}, NOW_MS, broken).decisions;
    const why = 'placement algorithm ./mine.mjs named nowhere, which is none of the hosts it was given';
    expect(decision?.text).toContain(`Launching 1 VM on host h1. Placed by least-loaded: ${why}.`);
    expect(decision?.hosts[0]).toEqual({
      name: 'least-loaded',
      chosen: false,
      text: `${why}; least-loaded is used instead`,
    });
    const [unknown] = decide(snapshotOf(), [policy], {}, NOW_MS).decisions;
    expect(unknown?.text).toContain('there is no placement algorithm ./mine.mjs');
  });

  it('tells at most fifty hosts: the chosen, the nearest refusals, and how many more', () => {
    const small = Array.from({ length: 200 }, (_, i) =>
      hostOf(`small-${i}`, { memoryFreeMiB: 1, traits: { index: i } }),
    );
    const down = Array.from({ length: 100 }, (_, i) =>
      hostOf(`down-${i}`, { state: 'down', traits: { index: 200 + i } }),
    );
    const large = [hostOf('large', { traits: { index: 300 } }), hostOf('spare', { traits: { index: 301 } })];
    const { decision } = turn([], memoryOf(), policyOf(), { hosts: [...small, ...down, ...large] });
    expect(decision.hosts).toHaveLength(51);
    expect(decision.hosts.slice(0, 3).map(({ name, chosen }) => [name, chosen])).toEqual([
      ['large', true],
      ['spare', false],
      ['small-0', false],
    ]);
    expect(decision.hosts.at(-1)).toEqual({
      name: 'and 252 more',
      chosen: false,
      text: 'too little memory really free (152), not up or cordoned (100)',
    });
  });

  it('starts listed domains in their order, each for one group only', () => {
    const stopped = (id: number, name: string) => domainOf(id, { name, state: 'stopped' });
    const hosts = [hostOf('h1', { domains: [stopped(1, 'vm2'), stopped(2, 'vm1')] })];
    const listed = [{ name: 'vm1', address: '10.0.0.1' }, { name: 'vm2' }];
    const policies = [listPolicyOf(listed, { group: 'a' }), listPolicyOf(listed, { group: 'b', min: 2 })];
    const { decisions } = decide(snapshotOf({ hosts }), policies, {}, NOW_MS);
    expect(decisions.map(({ actions }) => actions)).toEqual([
      [{ kind: 'start', group: 'a', host: 'h1', domain: 'vm1', uuid: uuidOf(2), address: '10.0.0.1' }],
      [{ kind: 'start', group: 'b', host: 'h1', domain: 'vm2', uuid: uuidOf(1) }],
    ]);
    expect(decisions[1]?.limits.map(({ limit, from, to }) => [limit, from, to])).toEqual([
      ['min', 0, 2],
      ['no-domain', 2, 1],
    ]);
  });
});

describe('a picture that is not whole', () => {
  const hosts = [hostOf('h1'), hostOf('h2', { state: 'stale' })];
  const away = (id: number) => viewOf(id, { record: { host: 'h2' }, fresh: false });

  it('a VM on a silent host stays counted, so none is launched in its place', () => {
    const { decision } = turn([viewOf(1), away(2)], memoryOf({ desired: 2 }), policyOf(), { hosts });
    expect(decision).toMatchObject({ desired: 2, actions: [], counts: { inService: 2 } });
  });

  it('nothing is scaled in while a host is silent', () => {
    const { memory } = busy(1, 1, 1);
    const { decision, memory: after } = turn([viewOf(1), viewOf(2), away(3)], memory, policyOf(), { hosts });
    expect(decision).toMatchObject({ desired: 3, actions: [] });
    expect(decision.verdicts[1]).toMatchObject({ verdict: 'no-data' });
    expect(after.transient.rules).toEqual({});
  });

  it('a silent host that has no VM of the group does not matter', () => {
    const { vms, memory } = busy(1, 1);
    expect(turn(vms, memory, policyOf(), { hosts }).decision.desired).toBe(1);
  });

  it('a host that is no longer configured is silent', () => {
    const { memory } = busy(1, 1);
    const { decision } = turn([viewOf(1), viewOf(2, { record: { host: 'h9' } })], memory);
    expect(decision.verdicts[1]).toMatchObject({ verdict: 'no-data' });
  });

  it('it may be scaled out', () => {
    const { memory } = busy(100, 100, 100, 100, 100);
    const vms = [1, 2, 3, 4].map((id) => viewOf(id));
    const { decision } = turn([...vms, away(5)], memory, policyOf({ max: 9 }), { hosts });
    expect(decision).toMatchObject({ desired: 6, rule: 'hot' });
  });

  it('too many VMs stay until it is known what they do', () => {
    const { decision } = turn([away(1), away(2)], memoryOf({ desired: 1 }), policyOf(), { hosts });
    expect(decision.actions).toEqual([]);
    expect(decision.limits[0]).toMatchObject({ limit: 'stale', from: 1, to: 2 });
  });
});

describe('a paused group', () => {
  it('is judged and left as it is', () => {
    const { vms, memory } = busy(95);
    const paused = { ...memory, durable: { ...memory.durable, paused: true } };
    const { decision, memory: after } = turn(vms, paused);
    expect(decision).toMatchObject({ desired: 1, cause: 'none', actions: [] });
    expect(decision.verdicts[0]).toMatchObject({ verdict: 'fires' });
    expect(decision.limits).toEqual([
      { limit: 'paused', from: 2, to: 1, text: 'Rule hot is not followed: the group is paused.' },
    ]);
    expect(after.durable).not.toHaveProperty('lastOutAtMs');
  });

  it('neither replaces nor removes', () => {
    const few = turn([viewOf(1)], memoryOf({ desired: 3, paused: true })).decision;
    expect(few.limits).toEqual([
      { limit: 'paused', from: 3, to: 1, text: 'The group is paused: it has 1 VM and is left so.' },
    ]);
    const many = turn([viewOf(1), viewOf(2)], memoryOf({ desired: 1, paused: true })).decision;
    expect([...few.actions, ...many.actions]).toEqual([]);
  });
});

describe('an evaluation that does nothing', () => {
  it('says why', () => {
    const { vms, memory } = busy(50, 60);
    const { decision } = turn(vms, memory);
    expect(decision.text).toBe('2 of 2 VMs in service. hot: CPU 55 %, not above 75 %. idle: CPU 55 %, not below 20 %.');
  });
});

describe('groups without a policy', () => {
  it('keep their memory as it is', () => {
    const other = memoryOf({ desired: 7, transient: { cpu: measured({ 9: 50 }) } });
    const result = decide(snapshotOf(), [policyOf()], { other }, NOW_MS);
    expect(result.memory['other']).toBe(other);
    expect(result.decisions.map(({ group }) => group)).toEqual(['web']);
  });
});
