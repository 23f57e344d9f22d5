// What a group has around its VMs, each with a loop of its own: balancers, health checks, templates to fork from, numbers from outside,
// schedules, learned patterns, candidates. Not here: deciding (turn), the VMs (worker).

import type { GroupName, GroupView, HostName } from '../core/model.ts';
import { POLICY_DEFAULTS, type Policy } from '../core/policy.ts';
import { wantedStats } from '../core/readings.ts';
import type { Conduct } from '../core/steps.ts';
import type { Balancer } from '../ports/balancer.ts';
import type { Calendar } from '../ports/calendar.ts';
import type { Clock } from '../ports/clock.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { Prober } from '../ports/prober.ts';
import type { QuerySource } from '../ports/query-source.ts';
import { Balancing } from './balancing.ts';
import { Candidates } from './candidates.ts';
import { Forecasts } from './forecasts.ts';
import { Health } from './health.ts';
import type { HostWatch } from './host-watch.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import { Outside } from './outside.ts';
import { Schedules } from './schedules.ts';
import { Templates } from './templates.ts';
import type { LoadedPolicy, Telemetry } from './view.ts';

export interface SurroundingsOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly prober: Prober;
  readonly images: Pick<ImageStore, 'read'>;
  readonly hosts: ReadonlyMap<HostName, HostWatch>;
  readonly balancers: ReadonlyMap<string, Balancer>;
  readonly calendar: Calendar;
  readonly queries?: QuerySource;
  /** Those in force. */
  readonly policies: ReadonlyMap<GroupName, LoadedPolicy>;
  /** A turn should begin at once. */
  readonly wake: () => void;
}

/** VMs without a policy (any more) are still launched, drained and removed properly. */
const DEFAULT_CONDUCT: Conduct = POLICY_DEFAULTS;

export class Surroundings {
  readonly balancing: Balancing;
  readonly candidates: Candidates;
  readonly forecasts: Forecasts;
  readonly health: Health;
  readonly outside: Outside;
  readonly templates: Templates;
  readonly #schedules: Schedules;
  readonly #options: SurroundingsOptions;

  constructor(options: SurroundingsOptions) {
    const { balancers, calendar, clock, hosts, images, ledger, log, prober, queries, telemetry } = options;
    this.#options = options;
    const policyOf = (group: GroupName): Policy | undefined => options.policies.get(group)?.policy;
    const inForce = () => Array.from(options.policies.values(), ({ policy }) => policy);
    this.candidates = new Candidates(telemetry, (policy) => this.groupView(policy));
    this.balancing = new Balancing({ balancers, balancerOf: (group) => policyOf(group)?.balancer, ledger, clock, log });
    const checkOf = (group: GroupName) => policyOf(group)?.health;
    this.health = new Health({ ledger, clock, prober, hosts, checkOf, onUnhealthy: options.wake });
    this.templates = new Templates({ ledger, clock, log, prober, images, hosts, policies: inForce });
    const policies = () => [...inForce(), ...this.candidates.policies];
    this.outside = new Outside({ clock, policies, ...(queries && { queries }) });
    this.#schedules = new Schedules(calendar, clock);
    this.forecasts = new Forecasts({ ledger, clock, log, policies, outside: (policy) => this.outside.view(policy) });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { balancing, health, outside, templates } = this;
    await Promise.all([balancing.run(signal), health.run(signal), outside.run(signal), templates.run(signal)]);
    await balancing.close();
  }

  conductOf(group: GroupName | undefined): Conduct {
    return (group === undefined ? undefined : this.#options.policies.get(group)?.policy) ?? DEFAULT_CONDUCT;
  }

  groupView(policy: Policy): GroupView {
    const outside = this.outside.view(policy);
    const schedules = this.#schedules.active(policy);
    const forecasts = this.forecasts.view(policy);
    const forkHosts = policy.capacity.fork ? this.templates.hostsOf(policy) : [];
    return {
      ...(outside && { outside }),
      ...(schedules.length > 0 && { schedules }),
      ...(forecasts.length > 0 && { forecasts }),
      ...(forkHosts.length > 0 && { forkHosts }),
    };
  }

  /** Groups whose rules measure more than CPU. */
  wantsStats(group: GroupName): boolean {
    const { policies } = this.#options;
    const policy = policies.get(group)?.policy;
    if (policy !== undefined && wantedStats(policy.rules).size > 0) return true;
    return this.candidates.policies.some((one) => one.group === group && wantedStats(one.rules).size > 0);
  }
}
