// What the pattern of each group's load lets expect, for forecast rules: observes the load, keeps it, asks the forecast.
// Not here: learning and forecasting (core/forecast).

import type { Decision } from '../core/decision.ts';
import { Forecaster } from '../core/forecast.ts';
import { type LoadHistory, loadFromText, loadText, NO_HISTORY, observeLoad } from '../core/load-history.ts';
import { metricKey, metricText } from '../core/metric.ts';
import type { ForecastView, GroupView } from '../core/model.ts';
import type { ForecastRule, Policy } from '../core/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';

export interface ForecastsOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  /** Those that only observe among them. */
  readonly policies: () => readonly Policy[];
  readonly outside: (policy: Policy) => GroupView['outside'];
}

export class Forecasts {
  readonly #options: ForecastsOptions;
  /** By group and metric: rules of several policies may learn from the same. */
  readonly #histories = new Map<string, LoadHistory>();
  /** A policy's rules, while it is in force. */
  readonly #forecasters = new WeakMap<ForecastRule, Forecaster>();

  constructor(options: ForecastsOptions) {
    this.#options = options;
    for (const [key, text] of Object.entries(options.ledger.loads)) this.#histories.set(key, loadFromText(text));
  }

  /** Takes in the load of a turn; what five minutes have brought together is kept. */
  note(decisions: readonly Decision[]): void {
    const nowMs = this.#options.clock.nowMs();
    const changed = new Map<string, string>();
    const seen = new Set<string>();
    for (const policy of this.#options.policies()) {
      const decision = decisions.find(({ group }) => group === policy.group);
      for (const rule of forecastRules(policy)) {
        const key = historyKey(policy, rule);
        const demand = decision === undefined || seen.has(key) ? undefined : this.#demand(policy, rule, decision);
        seen.add(key);
        if (demand === undefined) continue;
        const before = this.#histories.get(key) ?? NO_HISTORY;
        const after = observeLoad(before, nowMs, demand);
        this.#histories.set(key, after);
        if (after.buckets !== before.buckets) changed.set(key, loadText(after));
      }
    }
    if (changed.size > 0) void this.#keep(Object.fromEntries(changed));
  }

  view(policy: Policy): readonly ForecastView[] {
    const nowMs = this.#options.clock.nowMs();
    return forecastRules(policy).map((rule) => {
      const forecaster = this.#forecasters.get(rule) ?? new Forecaster(rule);
      this.#forecasters.set(rule, forecaster);
      return forecaster.view(this.#histories.get(historyKey(policy, rule)) ?? NO_HISTORY, nowMs);
    });
  }

  /** In the metric's unit, summed over the VMs in service; undefined while it is not known. */
  #demand(policy: Policy, { metric }: ForecastRule, { counts, cpuPercent, verdicts }: Decision): number | undefined {
    if (metric.source.kind !== 'vm') {
      const told = this.#options.outside(policy)?.[metricKey(metric)];
      return told !== undefined && 'value' in told && told.problem === undefined ? told.value : undefined;
    }
    const measured =
      metric.source.name === 'cpu'
        ? cpuPercent
        : verdicts.find((one) => one.type !== 'forecast' && one.metric === metricText(metric))?.value;
    return measured === undefined ? undefined : measured * counts.inService;
  }

  async #keep(putLoads: Readonly<Record<string, string>>): Promise<void> {
    const { ledger, log } = this.#options;
    // A bucket that is not kept is missing after a restart, no more.
    await ledger
      .change(() => ({ putLoads }))
      .catch((error: unknown) => {
        log.debug({ err: error }, 'the load of the last minutes could not be kept');
      });
  }
}

function forecastRules({ rules }: Policy): readonly ForecastRule[] {
  return rules.filter((rule) => rule.type === 'forecast');
}

function historyKey({ group }: Policy, { metric }: ForecastRule): string {
  return `${group}|${metricKey(metric)}`;
}
