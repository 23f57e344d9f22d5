// What one simulated run is made of, drawn from its seed: hosts, groups, load, and how likely each fault is.
// Not here: making the faults happen (faults.ts). Each run draws its own mix, so that some runs are calm and some are storms.

import { CPU } from '../../src/core/metric.ts';
import { type Hook, type ListedDomain, POLICY_DEFAULTS, type Policy } from '../../src/core/policy.ts';
import { SeededRandom } from '../support/seeded-ids.ts';

export const FAULTS = [
  'host-unreachable',
  'host-hang',
  'call-fails',
  'pool-full',
  'image-bad',
  'never-ready',
  'unready',
  'ignores-shutdown',
  'cpu-absent',
  'cpu-reset',
  'domain-dies',
  'stranger-removes',
  'stranger-defines',
  'store-full',
  'daemon-killed-at-call',
  'daemon-killed-at-time',
  'daemon-restarted',
  'user-command',
  'fabric-request',
  'policy-changed',
  'template-changed',
  'balancer-fails',
  'wall-step',
] as const;

export type FaultName = (typeof FAULTS)[number];

export interface SimHost {
  readonly name: string;
  readonly network: 'forward' | 'lease';
  readonly latencyMs: number;
  readonly bootMs: number;
  readonly guestShutdownMs: number;
}

export interface SimOptions {
  readonly seed: number;
  readonly hosts: readonly [SimHost, ...SimHost[]];
  readonly policies: readonly Policy[];
  /** Listed domains that exist from the beginning, by host. */
  readonly listed: readonly { readonly host: string; readonly name: string; readonly uuid: string }[];
  /** Demand of each group over time, in VMs' worth of CPU: the value of period i holds from i × `demandStepMs` on. */
  readonly demand: Readonly<Record<string, readonly number[]>>;
  readonly demandStepMs: number;
  readonly pollMs: number;
  /** Chance per virtual second that the fault begins. */
  readonly rates: Readonly<Record<FaultName, number>>;
  /** How long faults go on. */
  readonly safetyMs: number;
  /** When the daemon is killed and its database is lost altogether; absent in most runs. */
  readonly databaseLostAtMs?: number;
}

/** Most runs are short, for many seeds find more than long runs do; a tenth shows what takes its time. */
const SHORT_RUNS_S = [60, 150] as const;
const LONG_RUNS_S = [300, 600] as const;

export function drawOptions(seed: number): SimOptions {
  const random = new SeededRandom(seed);
  const hosts = drawHosts(random);
  const [shortestS, longestS] = random.chance(0.1) ? LONG_RUNS_S : SHORT_RUNS_S;
  const safetyMs = random.int(shortestS, longestS) * 1000;
  const web = drawPolicy(random, 'web', { kind: 'template', template: TEMPLATE });
  const policies = [web];
  const listed: SimOptions['listed'][number][] = [];
  if (random.chance(0.3)) {
    const domains: ListedDomain[] = [];
    for (let n = 1; n <= 3; n += 1) {
      const name = `vm${n}`;
      listed.push({ host: random.pick(hosts).name, name, uuid: `11111111-0000-4000-8000-00000000000${n}` });
      domains.push({ name });
    }
    const policy = drawPolicy(random, 'lab', { kind: 'domains', domains, ready: READY });
    policies.push({ ...policy, min: Math.min(policy.min, 1), max: Math.min(policy.max, 3) });
  }
  if (random.chance(0.2)) policies.push(drawPolicy(random, 'api', { kind: 'template', template: TEMPLATE }));
  const demandStepMs = random.int(8, 40) * 1000;
  const periods = Math.ceil(safetyMs / demandStepMs) + 1;
  const demand = Object.fromEntries(
    policies.map((policy) => [
      policy.group,
      Array.from({ length: periods }, () => (random.chance(0.3) ? 0.05 : random.next() * (policy.max + 1))),
    ]),
  );
  const options: SimOptions = {
    seed,
    hosts,
    policies,
    listed,
    demand,
    demandStepMs,
    pollMs: 1000,
    rates: drawRates(random),
    safetyMs,
  };
  return random.chance(0.2) ? { ...options, databaseLostAtMs: random.int(30, 100) * 1000 } : options;
}

function drawHosts(random: SeededRandom): [SimHost, ...SimHost[]] {
  const host = (n: number): SimHost => ({
    name: `h${n}`,
    network: random.chance(0.7) ? 'forward' : 'lease',
    latencyMs: random.pick([1, 2, 5, 50, 300]),
    bootMs: random.int(500, 6000),
    guestShutdownMs: random.int(100, 3000),
  });
  const hosts: [SimHost, ...SimHost[]] = [host(1)];
  for (let n = 2; n <= random.int(1, 3); n += 1) hosts.push(host(n));
  return hosts;
}

const READY = { http: { port: 80, path: '/' } };
const TEMPLATE = {
  image: { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' },
  flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
  ready: READY,
} as const;

function drawPolicy(random: SeededRandom, group: string, source: Policy['source']): Policy {
  const min = random.int(0, 2);
  const max = Math.max(1, min + random.int(0, 4));
  const isMade = source.kind === 'template';
  return {
    ...POLICY_DEFAULTS,
    group,
    min,
    max,
    source,
    rules: random.chance(0.35) ? drawTarget(random) : drawThresholds(random),
    pace: {
      out: random.chance(0.3)
        ? { rate: { windowMs: random.int(5, 30) * 1000, vms: random.int(1, 3) }, stabiliseMs: 0 }
        : NO_PACE,
      in: random.chance(0.3) ? { stabiliseMs: random.int(5, 60) * 1000 } : NO_PACE,
    },
    warmupMs: random.chance(0.2) ? random.int(1, 10) * 1000 : 0,
    capacity: {
      fork: isMade && random.chance(0.5),
      paused: isMade && random.chance(0.3) ? 1 : 0,
      saved: isMade && random.chance(0.2) ? 1 : 0,
      stopped: isMade && random.chance(0.2) ? 1 : 0,
    },
    removal: { kind: random.pick(['idlest', 'idlest', 'oldest', 'newest', 'fullest-host']) },
    hooks: {
      ...(random.chance(0.15) && { launch: drawHook(random) }),
      ...(random.chance(0.15) && { remove: drawHook(random) }),
    },
    ...(random.chance(0.3) && { balancer: 'front' }),
    ...(random.chance(0.3) && { health: drawHealth(random) }),
    ...(isMade && random.chance(0.5) && { refresh: drawRefresh(random) }),
    launchDeadlineMs: random.int(10, 40) * 1000,
    drainGraceMs: random.int(0, 5) * 1000,
    shutdownDeadlineMs: random.int(2, 10) * 1000,
  };
}

const NO_PACE = { stabiliseMs: 0 } as const;

function drawThresholds(random: SeededRandom): Policy['rules'] {
  const common = { type: 'threshold', metric: CPU } as const;
  return [
    {
      ...common,
      name: 'hot',
      direction: 'out',
      threshold: 75,
      forMs: random.int(2, 5) * 1000,
      by: { vms: random.int(1, 2) },
      cooldownMs: random.int(5, 20) * 1000,
    },
    {
      ...common,
      name: 'idle',
      direction: 'in',
      threshold: 20,
      forMs: random.int(3, 15) * 1000,
      by: { vms: random.int(1, 2) },
      cooldownMs: random.int(5, 30) * 1000,
    },
  ];
}

function drawTarget(random: SeededRandom): Policy['rules'] {
  return [
    {
      name: 'keep',
      type: 'target',
      metric: CPU,
      target: random.int(50, 70),
      tolerance: { up: 0.1, down: 0.1 },
      forMs: random.int(0, 3) * 1000,
      cooldownMs: { out: random.int(0, 5) * 1000, in: random.int(0, 30) * 1000 },
    },
  ];
}

function drawHook(random: SeededRandom): Hook {
  const onTimeout = random.pick(['continue', 'abandon'] as const);
  return { url: 'http://127.0.0.1:1/', deadlineMs: random.int(1, 10) * 1000, onTimeout };
}

function drawHealth(random: SeededRandom): NonNullable<Policy['health']> {
  const graceMs = random.int(0, 10) * 1000;
  return { check: READY, intervalMs: 2000, timeoutMs: 500, failures: random.int(2, 4), graceMs, budget: { vms: 1 } };
}

function drawRefresh(random: SeededRandom): NonNullable<Policy['refresh']> {
  const surge = random.int(0, 2);
  return {
    surge,
    unavailable: surge === 0 ? 1 : random.int(0, 1),
    checkpoints: random.chance(0.3) ? [0.5] : [],
    pauseMs: 10_000,
    failures: 3,
    onFailure: random.pick(['rollback', 'stop']),
  };
}

/** Half of the faults take part in a run, each with a rate of its own; the runs go from calm to a storm. */
/** People ask more often than things break; where the daemon dies is only drawn, and many of these places it never comes to. */
const OFTEN: Partial<Record<FaultName, number>> = { 'fabric-request': 5, 'daemon-killed-at-call': 5 };

function drawRates(random: SeededRandom): SimOptions['rates'] {
  const storm = random.pick([0, 0.3, 0.3, 1, 1, 1, 2]);
  const rates = {} as Record<FaultName, number>;
  for (const fault of FAULTS) {
    const takesPart = random.chance(0.5);
    const perSecond = 0.002 + random.next() * 0.02;
    const often = OFTEN[fault] ?? 1;
    rates[fault] = takesPart ? often * storm * perSecond : 0;
  }
  return rates;
}
