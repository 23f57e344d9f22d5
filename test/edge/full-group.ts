// A group with something in every field that a policy, its state and its latest evaluation can have, for what shows groups.

import type { Decision } from '../../src/core/decision.ts';
import { CPU, type Metric } from '../../src/core/metric.ts';
import type { Policy, ScaleRule } from '../../src/core/policy.ts';
import type { GroupStatus } from '../../src/engine/view.ts';
import { aDecision, aGroup, aPolicy, aVm, BACKEND, NOW_MS, SMALL } from './pictures.ts';

export const JOBS: Metric = {
  source: { kind: 'posted', name: 'jobs' },
  aggregate: 'mean',
  overMs: 60_000,
  scope: 'total',
};
const P95: Metric = {
  source: { kind: 'vm', name: 'network' },
  aggregate: { percentile: 95 },
  overMs: 0,
  scope: 'mean',
};
const LATENCY: Metric = {
  source: { kind: 'query', query: 'max(rate(http_seconds_sum[1m]))' },
  aggregate: 'max',
  overMs: 0,
  scope: 'mean',
};

const RULES: readonly ScaleRule[] = [
  {
    name: 'bands',
    type: 'step',
    metric: P95,
    direction: 'out',
    bands: [
      { bound: 60, by: { vms: 1 } },
      { bound: 90, by: { percent: 50 } },
    ],
    forMs: 3000,
    cooldownMs: 20_000,
  },
  {
    name: 'jobs',
    type: 'target',
    metric: JOBS,
    target: 10,
    tolerance: { up: 0.07, down: 0.1 },
    forMs: 0,
    cooldownMs: { out: 0, in: 60_000 },
  },
  {
    name: 'latency',
    type: 'threshold',
    metric: LATENCY,
    direction: 'in',
    threshold: 0.2,
    forMs: 60_000,
    by: { percent: 10 },
    cooldownMs: 0,
  },
  {
    name: 'office',
    type: 'schedule',
    cron: '0 8 * * 1-5',
    timezone: 'Europe/Berlin',
    forMs: 36e6,
    min: 2,
    max: 9,
    desired: 4,
  },
  { name: 'ahead', type: 'forecast', metric: CPU, target: 60, leadMs: 600_000 },
];

function policy(): Policy {
  return aPolicy({
    group: 'all',
    rules: RULES,
    pace: { out: { rate: { windowMs: 15_000, vms: 4, percent: 100 }, stabiliseMs: 0 }, in: { stabiliseMs: 300_000 } },
    warmupMs: 5000,
    capacity: { fork: true, paused: 1, saved: 2, stopped: 3 },
    removal: { kind: 'label', label: 'priority' },
    balancer: 'front',
    hooks: {
      launch: { url: 'http://u:p@127.0.0.1:9000/x?key=1', secretFile: '/k', deadlineMs: 60_000, onTimeout: 'abandon' },
      remove: { url: 'https://hooks.example/y', deadlineMs: 1000, onTimeout: 'continue' },
    },
    health: {
      check: { tcp: { port: 80 } },
      intervalMs: 5000,
      timeoutMs: 1000,
      failures: 3,
      graceMs: 30_000,
      budget: { vms: 1 },
    },
    refresh: {
      surge: 1,
      unavailable: 0,
      checkpoints: [0.25, 0.5],
      pauseMs: 300_000,
      failures: 3,
      onFailure: 'rollback',
    },
  });
}

/** With every kind of action, and a verdict without data. */
export function aFullDecision(decision: Partial<Decision> = {}): Decision {
  const group = 'all';
  const { verdicts } = aDecision();
  return aDecision({
    group,
    verdicts: [
      ...verdicts,
      {
        rule: 'jobs',
        type: 'target',
        direction: 'both',
        verdict: 'no-data',
        metric: 'posted jobs',
        unit: '',
        recommends: 0,
        text: 'nobody has posted jobs for 60 s',
      },
      {
        rule: 'office',
        type: 'schedule',
        direction: 'floor',
        verdict: 'idle',
        metric: '',
        unit: '',
        recommends: -1,
        text: 'not before Monday',
      },
    ],
    steps: [
      { step: 'rules', from: 1, to: 4, text: 'hot adds 3 VMs' },
      { step: 'rate', from: 4, to: 2, text: 'at most 1 VM in 15 s' },
    ],
    limits: [{ limit: 'exists', from: 2, to: 1, text: '4 VMs exist; the policy allows 4' }],
    refresh: { done: 1, total: 3, text: 'one of three VMs is of the new template' },
    observed: true,
    victims: [{ name: 'all-9', chosen: false, text: 'protected' }],
    actions: [
      { kind: 'launch', group, host: 'local', way: 'fork', standby: 'paused', template: 'previous' },
      { kind: 'wake', group, vmId: 9, way: 'saved' },
      { kind: 'return', group, vmId: 9, reason: 'load returned' },
      { kind: 'start', group, host: 'local', domain: 'a', uuid: 'u', address: '10.0.0.1' },
      { kind: 'drain', group, vmId: 9, reason: 'idle', because: 'unhealthy', atOnce: true },
      { kind: 'discard', group, vmId: 9, reason: 'not wanted any more' },
    ],
    ...decision,
  });
}

export function aFullGroup(group: Partial<GroupStatus> = {}): GroupStatus {
  return aGroup({
    policy: policy(),
    file: 'policies/all.yaml',
    memory: {
      desired: 2,
      paused: false,
      suspended: ['remove'],
      lastOutAtMs: NOW_MS - 10_000,
      lastInAtMs: NOW_MS - 20_000,
      breaker: { failures: 3, openedAtMs: NOW_MS - 1000, retryAtMs: NOW_MS + 1000, lastReason: 'no image' },
      refresh: {
        to: 'k2',
        startedAtMs: NOW_MS - 5000,
        state: 'paused',
        pausedAtMs: NOW_MS - 1000,
        resumeAtMs: NOW_MS + 5000,
        failures: 1,
        passed: 1,
        total: 3,
        from: { image: BACKEND, flavor: SMALL, ready: { agent: true } },
        reason: 'a third is done',
      },
    },
    lastDecision: aFullDecision(),
    vms: [
      aVm({
        id: 9,
        name: 'all-9',
        group: 'all',
        phase: 'standby',
        step: 'parked',
        way: 'saved',
        standby: 'saved',
        servedSinceMs: NOW_MS - 90_000,
        hook: { sinceMs: NOW_MS - 1000, tries: 2 },
        leaving: 'refresh',
        isProtected: true,
        labels: { priority: '3' },
        ready: { tcp: { port: 80 } },
      }),
      aVm({ id: 10, name: 'all-10', group: 'all', ready: { agent: true } }),
    ],
    candidates: [
      {
        name: 'gentler',
        file: 'policies/gentler.yaml',
        policy: aPolicy({ group: 'all', mode: 'observe', candidate: 'gentler' }),
        desired: 3,
        lastDecision: aFullDecision({ desired: 3 }),
      },
      { name: 'fresh', file: 'policies/fresh.yaml', policy: aPolicy({ group: 'all', mode: 'observe' }) },
    ],
    templates: [
      { host: 'local', state: 'ready', key: 'abc', bytes: 123_456_789 },
      { host: 'far', state: 'impossible', reason: 'the save file is compressed' },
    ],
    ...group,
  });
}
