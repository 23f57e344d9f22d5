// The form of what a policy says about its VMs besides when there shall be more: readiness, health, pace, standbys, whom to remove, hooks,
// refreshes. Not here: rules (rule-schema), whether parts fit each other (policy-file, core/lint-policy).

import { z } from 'zod';
import type { ReadyCheck } from '../core/model.ts';
import type { Capacity, Change, PaceLimit, Refresh, RemovalOrder } from '../core/policy.ts';
import { LABEL } from './placement-schema.ts';
import {
  durationBetween,
  httpUrl,
  isBlock,
  oneOf,
  percentBetween,
  port,
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

const HEALTH_DEFAULTS = {
  intervalMs: 5000,
  timeoutMs: 1000,
  failures: 3,
  graceMs: 30_000,
  budget: { vms: 1 },
} as const;

const REFRESH_DEFAULTS: Refresh = {
  surge: 1,
  unavailable: 0,
  checkpoints: [],
  pauseMs: 300_000,
  failures: 3,
  onFailure: 'rollback',
};

export const HOOK_DEADLINE_MS = 60_000;

const httpPath = textUpTo(200).refine((path) => path.startsWith('/') && !path.includes(' '), {
  error: 'must begin with / and have no spaces',
});

const yes = reading<true>((value) =>
  value === true ? { ok: true, value } : { ok: false, reason: `must be true, or left out, not ${shown(value)}` },
);

/** The three ways to ask a VM whether it serves. */
const checkKeys = {
  http: strict({ port, path: httpPath.default('/') }).optional(),
  tcp: strict({ port }).optional(),
  agent: yes.optional(),
};
type RawCheck = z.output<z.ZodObject<typeof checkKeys>>;

/** Undefined when none is given; more than one is refused. */
function checkOf({ http, tcp, agent }: RawCheck, context: z.core.$RefinementCtx): ReadyCheck | undefined {
  const given: readonly ReadyCheck[] = [
    ...(http ? [{ http }] : []),
    ...(tcp ? [{ tcp }] : []),
    ...(agent ? [{ agent }] : []),
  ];
  if (given.length > 1) refuse(context, [], 'has more than one of http, tcp and agent: keep the one that counts');
  return given[0];
}

export const ready = strict(checkKeys).transform((raw, context): ReadyCheck => {
  const check = checkOf(raw, context);
  if (check !== undefined) return check;
  refuse(context, [], 'needs one of http: { port: 80, path: / }, tcp: { port: 22 } and agent: true; it has none');
  return z.NEVER;
});

/** As a policy writes it; without a check of its own the readiness check is repeated. */
export interface RawHealth {
  readonly check?: ReadyCheck;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failures: number;
  readonly graceMs: number;
  readonly budget: Change;
}

/** `1` VM, or `10%` of the group's. */
const budget = reading<Change>((value) => {
  const percent = readPercent(value);
  if (percent !== undefined && percent >= 1 && percent <= 100) return { ok: true, value: { percent } };
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= VMS_MAX) {
    return { ok: true, value: { vms: value } };
  }
  const reason = `must be a number of VMs from 1 to ${VMS_MAX}, or a share from 1% to 100%, not ${shown(value)}`;
  return { ok: false, reason };
});

const healthBlock = strict({
  ...checkKeys,
  interval: durationBetween('1s', '1h').optional(),
  timeout: durationBetween('50ms', '1m').optional(),
  failures: wholeBetween(1, 100).optional(),
  grace: durationBetween('0s', '24h').optional(),
  budget: budget.optional(),
}).transform((raw, context): RawHealth => {
  const check = checkOf(raw, context);
  const { intervalMs, timeoutMs, failures, graceMs } = HEALTH_DEFAULTS;
  return {
    ...(check !== undefined && { check }),
    intervalMs: raw.interval ?? intervalMs,
    timeoutMs: raw.timeout ?? timeoutMs,
    failures: raw.failures ?? failures,
    graceMs: raw.grace ?? graceMs,
    budget: raw.budget ?? HEALTH_DEFAULTS.budget,
  };
});

/** `true` stands for a block that says nothing; `false` for none at all. */
function orTrue<T extends z.ZodType>(block: T) {
  return z.unknown().transform((value, context): z.output<T> | undefined => {
    if (value === false) return undefined;
    if (value === true || isBlock(value)) return within(block, value === true ? {} : value, context);
    refuse(context, [], `must be true, or a block of keys, not ${shown(value)}`);
    return z.NEVER;
  });
}

export const health = orTrue(healthBlock);

export const refresh = orTrue(
  strict({
    surge: wholeBetween(0, VMS_MAX).optional(),
    unavailable: wholeBetween(0, VMS_MAX).optional(),
    checkpoints: z.array(percentBetween(1, 99)).max(20, { error: 'has more than 20 checkpoints' }).optional(),
    pause: durationBetween('0s', '7d').optional(),
    failures: wholeBetween(1, 1000).optional(),
    onFailure: oneOf(['rollback', 'stop']).optional(),
  }).transform((raw, context): Refresh => {
    const { checkpoints = [] } = raw;
    for (const [index, share] of checkpoints.entries()) {
      const before = checkpoints[index - 1];
      if (before === undefined || share > before) continue;
      refuse(context, ['checkpoints', index], `checkpoints must rise: ${share}% comes after ${before}%`);
    }
    const surge = raw.surge ?? REFRESH_DEFAULTS.surge;
    const unavailable = raw.unavailable ?? REFRESH_DEFAULTS.unavailable;
    if (surge + unavailable === 0) {
      const key = raw.surge === undefined ? 'unavailable' : 'surge';
      refuse(
        context,
        [key],
        'surge and unavailable are both 0: no VM could ever be replaced; give one of them at least 1',
      );
    }
    return {
      surge,
      unavailable,
      checkpoints: checkpoints.map((share) => share / 100),
      pauseMs: raw.pause ?? REFRESH_DEFAULTS.pauseMs,
      failures: raw.failures ?? REFRESH_DEFAULTS.failures,
      onFailure: raw.onFailure ?? REFRESH_DEFAULTS.onFailure,
    };
  }),
);

const paceLimit = strict({
  per: durationBetween('1s', '24h').optional(),
  vms: wholeBetween(1, VMS_MAX).optional(),
  percent: wholeBetween(1, 1000).optional(),
  stabilise: durationBetween('0s', '24h').optional(),
}).transform(({ per, vms, percent, stabilise }, context): PaceLimit => {
  const stabiliseMs = stabilise ?? 0;
  if (vms === undefined && percent === undefined) {
    if (per !== undefined) refuse(context, ['per'], 'goes with vms or percent: how much may change within that time');
    return { stabiliseMs };
  }
  if (per === undefined) {
    const key = vms === undefined ? 'percent' : 'vms';
    refuse(context, [key], 'needs per, the time within which no more may change, such as per: 60s');
    return z.NEVER;
  }
  const rate = { windowMs: per, ...(vms !== undefined && { vms }), ...(percent !== undefined && { percent }) };
  return { rate, stabiliseMs };
});

export const limits = strict({ out: paceLimit.optional(), in: paceLimit.optional() });

const standbys = wholeBetween(0, VMS_MAX);

export const capacity = strict({
  fork: z.boolean().optional(),
  paused: standbys.optional(),
  saved: standbys.optional(),
  stopped: standbys.optional(),
}).transform(({ fork = false, paused = 0, saved = 0, stopped = 0 }): Capacity => ({ fork, paused, saved, stopped }));

const label = textUpTo(63).refine((text) => LABEL.test(text), {
  error: 'must be a label: a word of letters, digits, dots, dashes, underscores and slashes',
});
const removalWord = oneOf(['idlest', 'oldest', 'newest', 'fullest-host']);

export const removal = z.unknown().transform((value, context): RemovalOrder => {
  if (isBlock(value)) return { kind: 'label', label: within(strict({ label }), value, context)?.label };
  const found = removalWord.safeParse(value);
  if (found.success) return { kind: found.data };
  refuse(context, [], `${found.error.issues[0]?.message ?? 'must be an order'}; or { label: NAME }`);
  return z.NEVER;
});

/** As a policy writes it: `secretFile` is not yet absolute. */
const hook = strict({
  url: httpUrl,
  secretFile: textUpTo(1000).optional(),
  deadline: durationBetween('1s', '1h').optional(),
  onTimeout: oneOf(['continue', 'abandon']).optional(),
});
export type RawHook = z.output<typeof hook>;

export const hooks = strict({ launch: hook.optional(), remove: hook.optional() });
