// The form of what a policy measures: the keys metric, aggregate, over and scope of a rule. Not here: measuring (core/readings).

import { z } from 'zod';
import type { Metric, MetricSource, VmMetricName } from '../core/metric.ts';
import { didYouMean } from './did-you-mean.ts';
import { durationBetween, isBlock, linesUpTo, name, oneOf, reading, refuse, shown, strict, within } from './schemas.ts';

const VM_METRICS = ['cpu', 'memory', 'network', 'disk', 'steal'] as const satisfies readonly VmMetricName[];
const QUERY_MAX = 4000;
const WRITE = `${VM_METRICS.join(', ')}, { posted: NAME } or { query: PROMQL }`;

const outside = strict({ posted: name.optional(), query: linesUpTo(QUERY_MAX).optional() }).transform(
  ({ posted, query }, context): MetricSource => {
    if (posted !== undefined && query === undefined) return { kind: 'posted', name: posted };
    if (query !== undefined && posted === undefined) return { kind: 'query', query };
    refuse(context, [], `must be either { posted: NAME } or { query: PROMQL }; it is ${posted ? 'both' : 'neither'}`);
    return z.NEVER;
  },
);

const source = z.unknown().transform((value, context): MetricSource => {
  if (isBlock(value)) return within(outside, value, context);
  const found = VM_METRICS.find((word) => word === value);
  if (found !== undefined) return { kind: 'vm', name: found };
  const hint = typeof value === 'string' ? didYouMean(value, VM_METRICS) : '';
  refuse(context, [], value === undefined ? 'is missing' : `must be ${WRITE}, not ${shown(value)}${hint}`);
  return z.NEVER;
});

const aggregate = reading<Metric['aggregate']>((value) => {
  if (value === 'mean' || value === 'max') return { ok: true, value };
  const match = typeof value === 'string' ? /^p(\d{1,2}(?:\.\d{1,2})?)$/.exec(value) : null;
  const percentile = Number(match?.[1]);
  if (match !== null && percentile > 0) return { ok: true, value: { percentile } };
  return { ok: false, reason: `must be mean, max or a percentile such as p95, not ${shown(value)}` };
});

/** The keys of a rule that say what it measures. */
export const metricKeys = {
  metric: source,
  aggregate: aggregate.optional(),
  over: durationBetween('0s', '24h').optional(),
  scope: oneOf(['mean', 'total']).optional(),
};

type RawMetric = z.output<z.ZodObject<typeof metricKeys>>;

/** One metric of those keys; what they say against each other is refused. */
export function metricOf(raw: RawMetric, context: z.core.$RefinementCtx): Metric {
  const { metric } = raw;
  if (metric.kind === 'vm' && raw.scope === 'total') {
    refuse(context, ['scope'], `${metric.name} is measured on each VM: its scope is mean; leave this out`);
  }
  if (metric.kind === 'query' && raw.aggregate !== undefined) {
    refuse(context, ['aggregate'], 'a query answers with one number: aggregate within the query, and leave this out');
  }
  return {
    source: metric,
    aggregate: raw.aggregate ?? 'mean',
    overMs: raw.over ?? 0,
    scope: raw.scope ?? (metric.kind === 'vm' ? 'mean' : 'total'),
  };
}
