// What Prometheus scrapes: virtscale's own registry, filled by the engine's telemetry, the event log and, at the moment of a
// scrape, the engine's pictures. A scrape never asks a hypervisor. Not here: the libvirt_* names (libvirt-metrics).

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Decision } from '../core/decision.ts';
import type { LoggedEvent } from '../core/events.ts';
import type { GroupName, HostName } from '../core/model.ts';
import { ENDED_STATES } from '../core/operation.ts';
import type { EngineView, Telemetry } from '../engine/view.ts';
import type { SubscriberTelemetry } from './event-stream.ts';
import { EVENT_TYPES } from './event-text.ts';
import { addGroupGauges } from './group-metrics.ts';
import { addLibvirtMetrics } from './libvirt-metrics.ts';
import { addOperationGauges } from './operation-metrics.ts';
import { addPolicyGauges } from './policy-metrics.ts';

const POLL_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const DECIDE_BUCKETS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05];
const STEP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** From a paused standby that is woken to a cold boot of a slow guest. */
const LAUNCH_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 20, 30, 60, 120, 300,
];

export interface MetricsOptions {
  readonly version: string;
}

export class Metrics implements Telemetry, SubscriberTelemetry {
  readonly registry = new Registry();
  readonly #pollDuration: Histogram<'host'>;
  readonly #pollFailures: Counter<'host'>;
  readonly #turnDuration: Histogram;
  readonly #decisionDuration: Histogram;
  readonly #decisions: Counter<'group' | 'cause'>;
  readonly #actions: Counter<'group' | 'step' | 'outcome'>;
  readonly #actionDuration: Histogram<'step'>;
  readonly #launchDuration: Histogram<'group' | 'way'>;
  readonly #fallbacks: Counter<'group' | 'from' | 'to'>;
  readonly #launchFailures: Counter<'group'>;
  readonly #scalings: Counter<'group' | 'direction'>;
  readonly #candidateActions: Counter<'group' | 'candidate' | 'direction'>;
  readonly #unhealthy: Counter<'group'>;
  readonly #replacements: Counter<'group'>;
  readonly #hooks: Counter<'group' | 'hook' | 'outcome'>;
  readonly #failedBalancers = new Set<string>();
  readonly #operationsEnded: Counter<'kind' | 'state'>;
  readonly #events: Counter<'type'>;
  readonly #subscribers: Gauge;
  readonly #dropped: Counter<'code'>;

  constructor({ version }: MetricsOptions) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const histogram = <L extends string>(
      name: string,
      help: string,
      buckets: number[],
      labelNames: L[],
    ): Histogram<L> => new Histogram({ name, help, buckets, labelNames, registers });
    const counter = <L extends string>(name: string, help: string, labelNames: L[]): Counter<L> =>
      new Counter({ name, help, labelNames, registers });

    this.#pollDuration = histogram(
      'virtscale_poll_duration_seconds',
      'Reading all domains of a host once',
      POLL_BUCKETS,
      ['host'],
    );
    this.#pollFailures = counter('virtscale_poll_failures_total', 'Polls that failed', ['host']);
    this.#turnDuration = histogram('virtscale_turn_duration_seconds', 'One turn over all groups', POLL_BUCKETS, []);
    this.#decisionDuration = histogram(
      'virtscale_decision_duration_seconds',
      'Deciding for one group',
      DECIDE_BUCKETS,
      [],
    );
    this.#decisions = counter('virtscale_decisions_total', 'Evaluations, by what moved the desired size', [
      'group',
      'cause',
    ]);
    this.#actions = counter('virtscale_actions_total', 'Steps of actions carried out', ['group', 'step', 'outcome']);
    this.#actionDuration = histogram('virtscale_action_duration_seconds', 'One step of an action', STEP_BUCKETS, [
      'step',
    ]);
    this.#launchDuration = histogram(
      'virtscale_launch_duration_seconds',
      'From the decision to the first answer of a new VM',
      LAUNCH_BUCKETS,
      ['group', 'way'],
    );
    this.#fallbacks = counter(
      'virtscale_launch_fallbacks_total',
      'Launches whose way was not possible, so that the next one was tried',
      ['group', 'from', 'to'],
    );
    this.#scalings = counter('virtscale_group_actions_total', 'Decisions that changed the desired size', [
      'group',
      'direction',
    ]);
    this.#candidateActions = counter(
      'virtscale_candidate_actions_total',
      'Decisions of a policy that only observes that would have changed the desired size',
      ['group', 'candidate', 'direction'],
    );
    this.#unhealthy = counter('virtscale_vm_unhealthy_total', 'VMs whose health check failed too often', ['group']);
    this.#replacements = counter('virtscale_health_replacements_total', 'VMs replaced because they were unhealthy', [
      'group',
    ]);
    this.#hooks = counter('virtscale_hooks_ended_total', 'Hooks that were asked, by how it ended', [
      'group',
      'hook',
      'outcome',
    ]);
    this.#launchFailures = counter('virtscale_launch_failures_total', 'Launches that did not end in a ready VM', [
      'group',
    ]);
    this.#operationsEnded = counter('virtscale_operations_ended_total', 'Operations that ended, by how', [
      'kind',
      'state',
    ]);
    this.#events = counter('virtscale_events_total', 'Events logged', ['type']);
    this.#subscribers = new Gauge({
      name: 'virtscale_event_subscribers',
      help: 'WebSocket subscribers connected',
      registers,
    });
    this.#dropped = counter(
      'virtscale_event_subscribers_dropped_total',
      'Subscribers closed by virtscale, by close code',
      ['code'],
    );
    const build = new Gauge({
      name: 'virtscale_build_info',
      help: 'Always 1',
      labelNames: ['version', 'node'],
      registers,
    });

    build.set({ version, node: process.versions.node }, 1);
    this.#subscribers.set(0);
    for (const type of EVENT_TYPES) this.#events.inc({ type }, 0);
    for (const code of ['4008', '4009', '4010', '1011']) this.#dropped.inc({ code }, 0);
  }

  /** Adds what is read from the engine. Once, when the engine is there. Returns the way to stop following its log. */
  observe(engine: EngineView): () => void {
    addGroupGauges(this.registry, engine);
    addPolicyGauges(this.registry, engine, this.#failedBalancers);
    addOperationGauges(this.registry, engine);
    addLibvirtMetrics(this.registry, engine);
    return engine.log.subscribe((event) => this.#happened(event));
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  polled(host: HostName, seconds: number, outcome: 'ok' | 'failed'): void {
    this.#pollDuration.observe({ host }, seconds);
    this.#pollFailures.inc({ host }, outcome === 'failed' ? 1 : 0);
  }

  decided(group: GroupName, seconds: number, decision: Decision): void {
    this.#decisionDuration.observe(seconds);
    this.#decisions.inc({ group, cause: decision.cause });
    const direction = directionOf(decision);
    if (direction !== undefined) this.#scalings.inc({ group, direction });
    const replaced = decision.actions.filter((action) => action.kind === 'drain' && action.because === 'unhealthy');
    if (replaced.length > 0) this.#replacements.inc({ group }, replaced.length);
  }

  observed(group: GroupName, candidate: string, decision: Decision): void {
    const direction = directionOf(decision);
    if (direction !== undefined) this.#candidateActions.inc({ group, candidate, direction });
  }

  stepped(group: GroupName, step: string, seconds: number, outcome: 'ok' | 'retry' | 'failed'): void {
    this.#actions.inc({ group, step, outcome });
    this.#actionDuration.observe({ step }, seconds);
  }

  turnEnded(seconds: number): void {
    this.#turnDuration.observe(seconds);
  }

  subscribers(count: number): void {
    this.#subscribers.set(count);
  }

  subscriberDropped(code: number): void {
    this.#dropped.inc({ code: String(code) });
  }

  #happened(event: LoggedEvent): void {
    this.#events.inc({ type: event.type });
    // VMs without a group are counted under the empty name.
    const group = ('group' in event ? event.group : undefined) ?? '';
    switch (event.type) {
      case 'vm.launched':
        this.#launchDuration.observe({ group, way: event.way ?? 'cold' }, event.launchMs / 1000);
        break;
      case 'vm.failed':
        this.#launchFailures.inc({ group });
        break;
      case 'vm.fallback':
        this.#fallbacks.inc({ group, from: event.from, to: event.to });
        break;
      case 'vm.unhealthy':
        this.#unhealthy.inc({ group });
        break;
      case 'hook.ended':
        this.#hooks.inc({ group, hook: event.hook, outcome: event.outcome });
        break;
      case 'balancer.failed':
        this.#failedBalancers.add(event.balancer);
        break;
      case 'balancer.recovered':
        this.#failedBalancers.delete(event.balancer);
        break;
      case 'policy.loaded':
        this.#policyLoaded(event.group, event.candidate);
        break;
      case 'operation.changed':
        if (ENDED_STATES.has(event.operation.state)) {
          const { kind, state } = event.operation;
          this.#operationsEnded.inc({ kind, state });
        }
    }
  }

  /** So that a first one is seen as an increase. */
  #policyLoaded(group: GroupName, candidate: string | undefined): void {
    for (const direction of DIRECTIONS) {
      if (candidate === undefined) this.#scalings.inc({ group, direction }, 0);
      else this.#candidateActions.inc({ group, candidate, direction }, 0);
    }
    if (candidate !== undefined) return;
    for (const one of [this.#launchFailures, this.#unhealthy, this.#replacements]) one.inc({ group }, 0);
  }
}

const DIRECTIONS = ['out', 'in'] as const;

function directionOf({ desiredBefore, desired }: Decision): (typeof DIRECTIONS)[number] | undefined {
  if (desired === desiredBefore) return undefined;
  return desired > desiredBefore ? 'out' : 'in';
}
