// What is wrong with the parts of a policy that do not size the group: pace, standbys, health, refresh, hooks, deadlines.
// Not here: rules (lint-rule).

import { vmsOf } from '../change.ts';
import type { LintContext, LintedPolicy, Tell } from '../lint-policy.ts';
import type { HealthCheck, PaceLimit, Refresh } from '../policy.ts';
import { durationText, vmsText } from '../wording.ts';

export function lintWork(policy: LintedPolicy, context: LintContext, tell: Tell): void {
  const { pace, capacity, health, refresh, hooks, launchDeadlineMs, max, min } = policy;
  if (pace !== undefined) {
    lintPace(pace.out, 'out', context, tell);
    lintPace(pace.in, 'in', context, tell);
    if (pace.in.stabiliseMs > 0 && pace.in.stabiliseMs < context.pollMs)
      tellShort('limits.in.stabilise', pace.in.stabiliseMs, context, tell);
    if (pace.out.stabiliseMs > 0 && pace.out.stabiliseMs < context.pollMs)
      tellShort('limits.out.stabilise', pace.out.stabiliseMs, context, tell);
  }
  if (capacity !== undefined) {
    const kept = capacity.paused + capacity.saved + capacity.stopped;
    if (kept > 0 && max <= min) {
      tell('warning', 'capacity', `min and max are both ${max}: the group never grows, so no standby is kept`);
    } else if (kept > max - min) {
      tell(
        'warning',
        'capacity',
        `${vmsText(kept)} in standby are more than lie between min (${min}) and max (${max}): fewer are kept`,
      );
    }
  }
  if (health !== undefined) lintHealth(health, max, tell);
  if (refresh !== undefined) lintRefresh(refresh, policy, tell);
  if (launchDeadlineMs !== undefined && launchDeadlineMs < context.bootMs) {
    const reason = `${durationText(launchDeadlineMs)} is less than a VM takes to boot (about ${durationText(context.bootMs)}): every launch would fail`;
    tell('error', 'launch.deadline', reason);
  }
  if (hooks?.launch !== undefined && launchDeadlineMs !== undefined && hooks.launch.deadlineMs > launchDeadlineMs) {
    const reason = `the hook may take ${durationText(hooks.launch.deadlineMs)}, but a launch that is not over after ${durationText(launchDeadlineMs)} has failed; use a longer launch deadline`;
    tell('warning', 'hooks.launch.deadline', reason);
  }
}

function tellShort(field: string, ms: number, { pollMs }: LintContext, tell: Tell): void {
  tell(
    'warning',
    field,
    `${durationText(ms)} is shorter than the poll interval (${durationText(pollMs)}): it holds a single recommendation`,
  );
}

function lintPace(
  { rate, stabiliseMs }: PaceLimit,
  direction: 'out' | 'in',
  { pollMs }: LintContext,
  tell: Tell,
): void {
  if (!(stabiliseMs >= 0)) tell('error', `limits.${direction}.stabilise`, 'a window cannot be negative');
  if (rate === undefined) return;
  const field = `limits.${direction}`;
  const { windowMs, vms, percent } = rate;
  if (!(windowMs > 0)) {
    tell('error', `${field}.per`, 'a limit needs a time, such as per: 60s');
    return;
  }
  if (windowMs < pollMs) {
    tell(
      'warning',
      `${field}.per`,
      `${durationText(windowMs)} is shorter than the poll interval (${durationText(pollMs)}): it limits single steps only`,
    );
  }
  const verb = direction === 'out' ? 'added' : 'removed';
  if (vms === undefined && percent === undefined) {
    tell('error', field, `says how long (per) and not how many: give vms, percent, or both`);
  } else if (!((vms ?? 0) >= 1 || (percent ?? 0) > 0)) {
    tell('error', field, `allows nothing: no VM would ever be ${verb}; suspend the group instead`);
  }
}

function lintHealth({ intervalMs, timeoutMs, failures, budget }: HealthCheck, max: number, tell: Tell): void {
  if (!(timeoutMs > 0)) tell('error', 'health.timeout', 'a timeout must be positive');
  else if (!(intervalMs >= timeoutMs)) {
    const reason = `a timeout of ${durationText(timeoutMs)} is longer than the interval of ${durationText(intervalMs)}: checks would overtake each other`;
    tell('error', 'health.timeout', reason);
  }
  if (!(failures >= 1)) tell('error', 'health.failures', 'at least one failure makes a VM unhealthy');
  else if (failures === 1) tell('warning', 'health.failures', 'a single lost packet replaces a VM; use 3');
  const size = 'vms' in budget ? budget.vms : budget.percent;
  if (!(size > 0)) tell('error', 'health.budget', 'nothing would ever be replaced; leave health out instead');
  else if (max > 1 && vmsOf(budget, max) >= max) {
    tell('warning', 'health.budget', 'all VMs may be replaced at once; use a smaller budget');
  }
}

function lintRefresh(
  { surge, unavailable, checkpoints, failures }: Refresh,
  { max, min }: LintedPolicy,
  tell: Tell,
): void {
  if (!(surge >= 0) || !(unavailable >= 0)) tell('error', 'refresh', 'surge and unavailable cannot be negative');
  else if (surge === 0 && unavailable === 0) {
    tell('error', 'refresh', 'with surge 0 and unavailable 0 nothing can be replaced; one of them must be at least 1');
  } else if (surge === 0 && unavailable >= max) {
    tell('warning', 'refresh', `with surge 0 and unavailable ${unavailable} no VM at all would serve for a while`);
  } else if (surge === 0 && unavailable > 0 && Math.max(min, 1) === max) {
    tell('warning', 'refresh', `min and max are both ${max}: without surge there are fewer than min while it lasts`);
  }
  if (!(failures >= 1)) tell('error', 'refresh', 'failures must be at least 1');
  checkpoints.forEach((share, index) => {
    if (!(share > 0 && share < 1))
      tell('error', 'refresh.checkpoints', `a checkpoint lies between 0 and 100 %, not at ${share * 100} %`);
    else if (share <= (checkpoints[index - 1] ?? 0)) tell('error', 'refresh.checkpoints', 'checkpoints must rise');
  });
}
