// What a rule may measure, and what a measurement of a group says. Not here: measuring (readings), comparing (strategies/).

/** Measured by virtscale on every VM. Percent: cpu (of its vCPUs), memory (of what the guest has, as its balloon tells), steal (of its vCPUs'
 * time, what they wanted to run and waited for the host: `vcpu.delay`). MB/s (10^6 bytes): network (both ways), disk (both ways). */
export type VmMetricName = 'cpu' | 'memory' | 'network' | 'disk' | 'steal';

export type MetricSource =
  | { readonly kind: 'vm'; readonly name: VmMetricName }
  /** The answer of the configured Prometheus to this query: one number for the group. */
  | { readonly kind: 'query'; readonly query: string }
  /** The number last posted under this name, for the group or for its VMs. */
  | { readonly kind: 'posted'; readonly name: string };

export interface Metric {
  readonly source: MetricSource;
  /** Over the ready VMs that have a value. Without meaning for one number of the group. */
  readonly aggregate: 'mean' | 'max' | { readonly percentile: number };
  /** The mean over so long: of the load, as the VMs of now would share it. 0: the latest value. */
  readonly overMs: number;
  /**
   * `mean`: each VM's (utilisation, latency): more VMs lower it. `total`: the whole group's (queue length, requests per second), which
   * more VMs share and do not change; a target is then per VM.
   */
  readonly scope: 'mean' | 'total';
}

/** The group's value of one metric now. Each number is absent when there is no data for it. */
export interface MetricReading {
  /** Over the VMs with fresh data. */
  readonly value?: number;
  /** What scale-out is judged by: VMs without data count as idle. */
  readonly low?: number;
  /** What scale-in is judged by: VMs without data count as fully busy; absent where nobody knows what that would be. */
  readonly high?: number;
  /** VMs in service (past their warm-up) that should have a value, and those that have. 1 of 1 for a number of the whole group. */
  readonly expected: number;
  readonly measured: number;
  /** It is one number of the whole group, not made of its VMs': it is there without any VM, too. */
  readonly ofGroup?: true;
  /** Since when it has been what it is: the beginning of the interval measured last. */
  readonly sinceMs?: number;
  /** Why there is no data, in words for people. */
  readonly problem?: string;
}

/** The metric of most policies. */
export const CPU: Metric = { source: { kind: 'vm', name: 'cpu' }, aggregate: 'mean', overMs: 0, scope: 'mean' };

/** Percentages cannot be above 100: a VM that says nothing may be taken for that. */
export function isPercent({ source }: Metric): boolean {
  return source.kind === 'vm' && source.name !== 'network' && source.name !== 'disk';
}

/** Names a metric within a group, for memories, records and messages. */
export function metricKey(metric: Metric): string {
  const known = KEYS.get(metric);
  if (known !== undefined) return known;
  const { source, aggregate, overMs, scope } = metric;
  const what =
    source.kind === 'vm' ? source.name : `${source.kind}:${source.kind === 'query' ? source.query : source.name}`;
  const how = typeof aggregate === 'string' ? aggregate : `p${aggregate.percentile}`;
  const key = `${what}|${how}|${overMs}|${scope}`;
  KEYS.set(metric, key);
  return key;
}

/** A backtest asks a million times. */
const KEYS = new WeakMap<Metric, string>();

/** As people say it: `cpu`, `posted jobs`, `query sum(rate(x[1m]))`. */
export function metricText({ source }: Metric): string {
  if (source.kind === 'vm') return source.name;
  return `${source.kind} ${source.kind === 'query' ? source.query : source.name}`;
}

/** `%`, `MB/s`, or nothing. */
export function metricUnit({ source }: Metric): '%' | 'MB/s' | '' {
  if (source.kind !== 'vm') return '';
  return source.name === 'network' || source.name === 'disk' ? 'MB/s' : '%';
}
