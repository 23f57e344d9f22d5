// The form of one item of `scale:`, by its type, as a rule of the core. Not here: whether it makes sense (core/lint-policy).

import { z } from 'zod';
import type {
  Band,
  Change,
  ForecastRule,
  ScaleRule,
  ScheduleRule,
  StepRule,
  TargetRule,
  ThresholdRule,
} from '../core/policy.ts';
import { didYouMean } from './did-you-mean.ts';
import { metricKeys, metricOf } from './metric-schema.ts';
import {
  durationBetween,
  formBy,
  isBlock,
  name,
  oneOf,
  percentBetween,
  reading,
  readPercent,
  refuse,
  shown,
  strict,
  textUpTo,
  VMS_MAX,
  wholeBetween,
  within,
} from './schemas.ts';

const RULE_DEFAULTS = {
  /** Of threshold and step rules. */
  cooldownMs: 60_000,
  targetCooldownMs: { out: 0, in: 60_000 },
  tolerancePercent: 10,
  timezone: 'UTC',
  leadMs: 600_000,
} as const;

const BANDS_MAX = 20;
const BOOST_MAX = 10;
const AMOUNT_MAX = 1e15;

/** In the metric's unit, without it. */
const amount = reading((value) => {
  if (typeof value === 'number' && Math.abs(value) <= AMOUNT_MAX) return { ok: true, value };
  const percent = readPercent(value);
  const reason =
    percent === undefined
      ? `must be a number in the metric's unit (percent, MB/s), not ${shown(value)}`
      : `write the number of percent without the sign: ${percent}`;
  return { ok: false, reason };
});

/** `2` VMs, or `50%` of the group's. */
function changeUpTo(maxPercent: number) {
  return reading<Change>((value) => {
    const percent = readPercent(value);
    if (percent !== undefined) {
      if (percent >= 1 && percent <= maxPercent) return { ok: true, value: { percent } };
      return { ok: false, reason: `must be from 1% to ${maxPercent}%, not ${shown(value)}` };
    }
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      return { ok: false, reason: `must be a whole number of VMs, or a share such as 50%, not ${shown(value)}` };
    }
    if (value < 1 || value > VMS_MAX) return { ok: false, reason: `must be from 1 to ${VMS_MAX}, not ${value}` };
    return { ok: true, value: { vms: value } };
  });
}

/** How far beyond which value, and what follows: the keys of a threshold rule and of a band. */
const crossing = {
  above: amount.optional(),
  below: amount.optional(),
  add: changeUpTo(1000).optional(),
  remove: changeUpTo(100).optional(),
};
type RawCrossing = z.output<z.ZodObject<typeof crossing>>;

function crossingOf(
  { above, below, add, remove }: RawCrossing,
  context: z.core.$RefinementCtx,
): { readonly direction: 'out' | 'in'; readonly bound: number; readonly by: Change } | undefined {
  if ((above === undefined) === (below === undefined)) {
    const neither = above === undefined;
    const reason = `needs either above (to add) or below (to remove); it has ${neither ? 'neither' : 'both'}`;
    refuse(context, neither ? [] : ['below'], reason);
    return undefined;
  }
  if (above !== undefined) {
    if (remove !== undefined) refuse(context, ['remove'], 'a rule with above adds VMs: use add');
    return { direction: 'out', bound: above, by: add ?? { vms: 1 } };
  }
  if (add !== undefined) refuse(context, ['add'], 'a rule with below removes VMs: use remove');
  return { direction: 'in', bound: below ?? 0, by: remove ?? { vms: 1 } };
}

const window = durationBetween('0s', '24h');

const threshold = strict({
  name,
  type: oneOf(['threshold']),
  ...metricKeys,
  ...crossing,
  for: window,
  cooldown: window.optional(),
}).transform((raw, context): ThresholdRule => {
  const metric = metricOf(raw, context);
  const crossed = crossingOf(raw, context);
  if (crossed === undefined) return z.NEVER;
  return {
    name: raw.name,
    type: 'threshold',
    metric,
    direction: crossed.direction,
    threshold: crossed.bound,
    forMs: raw.for,
    by: crossed.by,
    cooldownMs: raw.cooldown ?? RULE_DEFAULTS.cooldownMs,
  };
});

const band = strict(crossing).transform((raw, context) => crossingOf(raw, context) ?? z.NEVER);

const step = strict({
  name,
  type: oneOf(['step']),
  ...metricKeys,
  for: window,
  cooldown: window.optional(),
  steps: z
    .array(band)
    .min(1, { error: 'must have at least one step, such as { above: 60, add: 1 }' })
    .max(BANDS_MAX, { error: `has more than ${BANDS_MAX} steps` }),
}).transform((raw, context): StepRule => {
  const metric = metricOf(raw, context);
  const direction = raw.steps[0]?.direction ?? 'out';
  for (const [index, { direction: other, bound }] of raw.steps.entries()) {
    const key = other === 'out' ? 'above' : 'below';
    const before = raw.steps[index - 1]?.bound;
    if (other !== direction) {
      refuse(
        context,
        ['steps', index, key],
        'all steps of a rule go the same way; make another rule of those that go the other',
      );
    } else if (before !== undefined && (direction === 'out' ? bound <= before : bound >= before)) {
      const order = direction === 'out' ? 'rise' : 'fall';
      refuse(context, ['steps', index, key], `bounds must ${order} from step to step: ${bound} comes after ${before}`);
    }
  }
  return {
    name: raw.name,
    type: 'step',
    metric,
    direction,
    bands: raw.steps.map(({ bound, by }): Band => ({ bound, by })),
    forMs: raw.for,
    cooldownMs: raw.cooldown ?? RULE_DEFAULTS.cooldownMs,
  };
});

/** Greater than nothing: everything is divided by it. */
const target = amount.refine((value) => value > 0, {
  error: 'must be above 0: the metric is divided by it',
  abort: true,
});

/** One value for both directions, or a block with either. */
function eachWay<T extends z.ZodType, A extends string, B extends string>(one: T, first: A, second: B) {
  const block = strict({ [first]: one.optional(), [second]: one.optional() });
  return z.unknown().transform((value, context): { readonly [K in A | B]?: z.output<T> | undefined } => {
    if (isBlock(value)) return within(block, value, context) as { readonly [K in A | B]?: z.output<T> | undefined };
    const both = within(one, value, context);
    return { [first]: both, [second]: both } as { readonly [K in A | B]: z.output<T> };
  });
}

const tolerance = eachWay(percentBetween(0, 100), 'up', 'down');
const cooldownEachWay = eachWay(window, 'out', 'in');

const targetRule = strict({
  name,
  type: oneOf(['target']),
  ...metricKeys,
  target,
  tolerance: tolerance.optional(),
  for: window.optional(),
  cooldown: cooldownEachWay.optional(),
  lead: durationBetween('0s', '5m').optional(),
  boost: amount
    .refine((value) => value >= 1 && value <= BOOST_MAX, {
      error: `must be from 1 to ${BOOST_MAX}: so many times the VMs when they are full`,
    })
    .optional(),
}).transform((raw, context): TargetRule => {
  const { tolerancePercent, targetCooldownMs } = RULE_DEFAULTS;
  return {
    name: raw.name,
    type: 'target',
    metric: metricOf(raw, context),
    target: raw.target,
    tolerance: {
      up: (raw.tolerance?.up ?? tolerancePercent) / 100,
      down: (raw.tolerance?.down ?? tolerancePercent) / 100,
    },
    forMs: raw.for ?? 0,
    cooldownMs: { out: raw.cooldown?.out ?? targetCooldownMs.out, in: raw.cooldown?.in ?? targetCooldownMs.in },
    ...(raw.lead !== undefined && raw.lead > 0 && { leadMs: raw.lead }),
    ...(raw.boost !== undefined && raw.boost > 1 && { boost: raw.boost }),
  };
});

const timezone = textUpTo(100).superRefine((text, context) => {
  if (isTimezone(text)) return;
  const hint = didYouMean(text, Intl.supportedValuesOf('timeZone'));
  refuse(context, [], `no time zone is named ${shown(text)}${hint}; write one such as Europe/Berlin or UTC`);
});

function isTimezone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    // Offsets such as +01:00 are taken by some versions of Node, and know no daylight saving.
    return /^[A-Za-z]/.test(text);
  } catch {
    return false;
  }
}

/** Whether its fields mean something, is for the calendar to say. */
const cron = textUpTo(100).refine((text) => [5, 6].includes(text.trim().split(/ +/).length), {
  error: "must have five fields (six with seconds): minute, hour, day, month, weekday, such as '0 8 * * 1-5'",
});

const vms = wholeBetween(0, VMS_MAX);

const schedule = strict({
  name,
  type: oneOf(['schedule']),
  cron,
  timezone: timezone.optional(),
  for: durationBetween('1s', '31d'),
  min: vms.optional(),
  max: vms.optional(),
  desired: vms.optional(),
}).transform((raw, context): ScheduleRule => {
  const { min, max, desired } = raw;
  if (min === undefined && max === undefined && desired === undefined) {
    refuse(context, [], 'needs at least one of min, max and desired: what holds while the schedule does');
  }
  return {
    name: raw.name,
    type: 'schedule',
    cron: raw.cron.trim(),
    timezone: raw.timezone ?? RULE_DEFAULTS.timezone,
    forMs: raw.for,
    ...(min !== undefined && { min }),
    ...(max !== undefined && { max }),
    ...(desired !== undefined && { desired }),
  };
});

const forecast = strict({
  name,
  type: oneOf(['forecast']),
  ...metricKeys,
  target,
  lead: durationBetween('1m', '24h').optional(),
}).transform(
  (raw, context): ForecastRule => ({
    name: raw.name,
    type: 'forecast',
    metric: metricOf(raw, context),
    target: raw.target,
    leadMs: raw.lead ?? RULE_DEFAULTS.leadMs,
  }),
);

/** One item of `scale:`. */
export const scaleRule: z.ZodType<ScaleRule> = formBy('type', {
  threshold,
  step,
  target: targetRule,
  schedule,
  forecast,
});
