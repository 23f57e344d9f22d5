// The public shape of a decision and its trail: what the API answers to "why", and what the command line is told.
// Not here: groups (group-schemas), how a decision becomes this (decision-representation).

import { z } from '@hono/zod-openapi';
import type { AppliedLimit, Decision, RuleVerdict, SizeStep } from '../core/decision.ts';
import { count, percent, time } from './schemas.ts';

const RULE_TYPES = [
  'threshold',
  'step',
  'target',
  'schedule',
  'forecast',
] as const satisfies readonly RuleVerdict['type'][];
const DIRECTIONS = ['out', 'in', 'both', 'floor'] as const satisfies readonly RuleVerdict['direction'][];
const VERDICTS = [
  'fires',
  'quiet',
  'counting',
  'cooling-down',
  'no-data',
  'would-flap',
  'warming',
  'suspended',
  'idle',
] as const satisfies readonly RuleVerdict['verdict'][];
const STEPS = [
  'bounds',
  'schedule',
  'rules',
  'stabilised',
  'rate',
  'floor',
  'last-vm',
  'limits',
  'paused',
] as const satisfies readonly SizeStep['step'][];
const LIMITS = [
  'min',
  'max',
  'exists',
  'breaker',
  'paused',
  'suspended',
  'stabilised',
  'rate',
  'floor',
  'no-host',
  'stale',
  'no-domain',
  'protected',
  'budget',
] as const satisfies readonly AppliedLimit['limit'][];
const CAUSES = [
  'rule',
  'limits',
  'replace',
  'user',
  'refresh',
  'standby',
  'none',
] as const satisfies readonly Decision['cause'][];
const ACTIONS = [
  'launch',
  'wake',
  'return',
  'start',
  'drain',
  'discard',
] as const satisfies readonly Decision['actions'][number]['kind'][];

export const unitSchema = z
  .enum(['%', 'MB/s', ''])
  .openapi({ description: 'Of the metric’s values; empty: none known' });

const verdictSchema = z
  .object({
    rule: z.string(),
    type: z.enum(RULE_TYPES),
    direction: z.enum(DIRECTIONS).openapi({
      description: 'Where it would move the size. `both`: a target. `floor`: it only holds it up',
    }),
    verdict: z.enum(VERDICTS).openapi({
      description:
        '`fires`: wants another size now. The others say what holds it back; `idle`: a schedule or forecast that does not hold now',
    }),
    metric: z.string().openapi({ description: 'Empty for a schedule' }),
    unit: unitSchema,
    value: z.number().optional().openapi({ description: 'What it compared. Absent: there was no data' }),
    threshold: z.number().optional().openapi({ description: 'What it compared with: threshold, bound or target' }),
    measured: count.optional().openapi({ description: 'VMs in service with data …' }),
    expected: count.optional().openapi({ description: '… of those that should have some' }),
    crossedAt: time.optional(),
    recommends: z.int().openapi({ description: 'VMs: positive adds, negative removes' }),
    text: z.string(),
  })
  .openapi('Verdict');

const choices = z.array(z.object({ name: z.string(), chosen: z.boolean(), text: z.string() }));

export const decisionSchema = z
  .object({
    id: z.string().optional().openapi({ description: 'Absent on an evaluation that was not worth keeping' }),
    at: time,
    group: z.string(),
    desiredBefore: count,
    desired: count,
    cause: z.enum(CAUSES).openapi({
      description:
        'Who moved `desired`. `replace`, `refresh`, `standby`: nobody did; VMs are made up for, remade, or kept ready',
    }),
    rule: z.string().optional(),
    counts: z.object({
      desired: count,
      inService: count,
      launching: count,
      standby: count.openapi({ description: 'Waiting, or on their way to waiting' }),
      draining: count,
      removing: count,
      existing: count.openapi({ description: 'All that count against max, failed and unknown ones too' }),
    }),
    cpuPercent: percent.optional().openapi({ description: 'Mean CPU of the ready VMs with data' }),
    cpuPercentByVm: z.record(z.string(), percent),
    verdicts: z.array(verdictSchema),
    steps: z
      .array(z.object({ step: z.enum(STEPS), from: z.int(), to: z.int(), text: z.string() }))
      .openapi({ description: 'How `desired` came from `desiredBefore`: each begins where the one before ended' }),
    limits: z.array(z.object({ limit: z.enum(LIMITS), from: z.int(), to: z.int(), text: z.string() })),
    refresh: z
      .object({ done: count, total: count, text: z.string() })
      .optional()
      .openapi({ description: 'How far a rolling refresh has come. Absent: none is under way' }),
    observed: z
      .literal(true)
      .optional()
      .openapi({ description: 'The policy only observes: `text` says what it would have done' }),
    hosts: choices.openapi({ description: 'Looked at for a launch' }),
    victims: choices.openapi({ description: 'Looked at for a removal' }),
    actions: z.array(
      z.looseObject({ kind: z.enum(ACTIONS), group: z.string() }).openapi('Action', {
        description:
          '`launch`: host, way?, standby?. `wake`: vmId, way. `return`, `drain`, `discard`: vmId, reason. `start`: host, domain, uuid, address?',
      }),
    ),
    text: z.string().openapi({ description: 'The whole in one sentence' }),
  })
  .openapi('Decision');

export const decisionsSchema = z
  .object({
    decisions: z.array(decisionSchema),
    nextBefore: z.string().optional().openapi({ description: 'Give it as `before` for the next, older page' }),
  })
  .openapi('Decisions');

export const whySchema = z
  .object({
    at: time.openapi({ description: 'Of the evaluation' }),
    text: z.string().openapi({ description: 'One paragraph for people' }),
    decision: decisionSchema,
  })
  .openapi('Why');

export type PublicDecision = z.infer<typeof decisionSchema>;
export type PublicWhy = z.infer<typeof whySchema>;
