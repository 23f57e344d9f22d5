import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lintPolicy } from '../../src/core/lint-policy.ts';
import { CPU, type Metric } from '../../src/core/metric.ts';
import type { HealthCheck, Policy, Refresh, ScaleRule } from '../../src/core/policy.ts';
import { inRule, outRule, policyOf, targetRule } from './builders.ts';

const HEALTH: HealthCheck = {
  check: { tcp: { port: 80 } },
  intervalMs: 5000,
  timeoutMs: 1000,
  failures: 3,
  graceMs: 0,
  budget: { vms: 1 },
};
const REFRESH: Refresh = { surge: 1, unavailable: 0, checkpoints: [], pauseMs: 0, failures: 3, onFailure: 'stop' };

function errors(over: Partial<Policy>): readonly string[] {
  return lintPolicy(policyOf(over)).flatMap(({ severity, place, reason }) =>
    severity === 'error' ? [`${JSON.stringify(place)} ${reason}`] : [],
  );
}

function warnings(over: Partial<Policy>): readonly unknown[] {
  return lintPolicy(policyOf(over)).flatMap(({ severity, place }) => (severity === 'warning' ? [place] : []));
}

describe('lintPolicy', () => {
  it('finds nothing wrong with an ordinary policy', () => {
    expect(lintPolicy(policyOf())).toEqual([]);
  });

  it.each<[string, Partial<Policy>, string]>([
    ['min above max', { min: 5, max: 4 }, 'min (5) is above max (4)'],
    ['max 0', { min: 0, max: 0, rules: [] }, 'max must be at least 1'],
    ['a threshold out of range', { rules: [outRule({ threshold: 175 })] }, 'from 0 to 100, not 175'],
    ['NaN', { rules: [outRule({ threshold: Number.NaN })] }, 'from 0 to 100'],
    ['above 100', { rules: [outRule({ threshold: 100 })] }, 'could never fire'],
    ['below 0', { rules: [inRule({ threshold: 0 })] }, 'could never fire'],
    ['two rules of one name', { rules: [outRule(), outRule()] }, 'another rule named hot'],
    ['in at out', { rules: [outRule(), inRule({ threshold: 75 })] }, 'must be less than the 75 %'],
    [
      'the lowest scale-out rule counts',
      { rules: [outRule(), outRule({ name: 'warm', threshold: 15 }), inRule()] },
      'rule warm',
    ],
  ])('refuses %s', (_name, over, text) => {
    expect(errors(over)).toEqual([expect.stringContaining(text)]);
  });

  it('refuses thresholds between which a constant load goes to and fro', () => {
    // Two VMs at 40 % are one at 80 %.
    const flapping = { rules: [outRule(), inRule({ threshold: 40 })] };
    expect(errors(flapping)).toEqual([expect.stringContaining('2 VMs at 40 % are 80 % on the 1 VM left')]);
    expect(errors(flapping)).toEqual([expect.stringContaining('use a threshold below 37.5 %')]);
    expect(errors({ ...flapping, min: 2 })).toEqual([]);
    expect(errors({ ...flapping, max: 1 })).toEqual([]);
    expect(errors({ rules: [outRule(), inRule({ by: { vms: 3 } })] })).toEqual([
      expect.stringContaining('or remove fewer'),
    ]);
  });

  it('warns of what is allowed and hardly meant', () => {
    expect(warnings({ rules: [outRule({ forMs: 500 })] })).toEqual([{ rule: 0, field: 'for' }]);
    expect(warnings({ rules: [outRule({ cooldownMs: 1000 })] })).toEqual([{ rule: 0, field: 'cooldown' }]);
    expect(warnings({ min: 0 })).toEqual([{ field: 'min' }]);
    expect(warnings({ rules: [outRule({ by: { vms: 4 } })] })).toEqual([{ rule: 0, field: 'add' }]);
  });

  it('proves what it promises: no accepted pair of rules can flap at a constant load', () => {
    const percent = fc.integer({ min: 1, max: 99 });
    const size = fc.integer({ min: 0, max: 12 });
    fc.assert(
      fc.property(percent, percent, size, size, fc.integer({ min: 1, max: 4 }), (above, below, min, max, by) => {
        const rules = [outRule({ threshold: above }), inRule({ threshold: below, by: { vms: by } })];
        const accepted = errors({ min, max, rules }).length === 0;
        let flaps = below >= above || min > max || max < 1;
        for (let n = Math.max(min, 1) + by; n <= max; n += 1) flaps ||= (below * n) / (n - by) >= above;
        expect(accepted).toBe(!flaps);
      }),
    );
  });
});

describe('lintPolicy on other rules', () => {
  const bands = (direction: 'out' | 'in', ...steps: readonly (readonly [bound: number, by: number])[]): ScaleRule => {
    const { threshold: _threshold, by: _by, ...rest } = direction === 'out' ? outRule() : inRule();
    return { ...rest, type: 'step', bands: steps.map(([bound, by]) => ({ bound, by: { vms: by } })) };
  };
  const office: ScaleRule = { name: 'office', type: 'schedule', cron: '0 8 * * *', timezone: 'UTC', forMs: 1000 };
  const ahead: ScaleRule = { name: 'ahead', type: 'forecast', metric: CPU, target: 60, leadMs: 600_000 };
  const rule = (...rules: readonly ScaleRule[]) => ({ rules, max: 10 });

  it.each<[string, Partial<Policy>]>([
    ['target', rule(targetRule())],
    ['target and an out rule above it', rule(targetRule(), outRule())],
    ['target and an in rule: a target must agree', rule(targetRule(), inRule({ threshold: 45 }))],
    ['steps', rule(bands('out', [70, 1], [90, 3]), bands('in', [20, 1], [5, 2]))],
    ['a schedule', rule({ ...office, min: 4 })],
    ['a forecast', rule(targetRule(), ahead)],
  ])('accepts %s', (_name, over) => {
    expect(lintPolicy(policyOf(over))).toEqual([]);
  });

  it.each<[string, Partial<Policy>, string, string]>([
    ['target 0', rule(targetRule({ target: 0 })), 'target', 'must be positive'],
    ['a target that cannot be exceeded', rule(targetRule({ target: 95 })), 'tolerance', 'which never happens'],
    ['a tolerance without a dead zone', rule(targetRule({ tolerance: { up: 0, down: 0 } })), 'tolerance', 'must flap'],
    ['a target above an out rule', rule(targetRule({ target: 60 }), outRule({ threshold: 50 })), 'target', 'must flap'],
    ['steps that fall', rule(bands('out', [70, 1], [60, 2])), 'steps[1].above', 'must rise'],
    ['a farther step that adds less', rule(bands('out', [70, 3], [80, 2])), 'steps[1].add', 'the farther, the more'],
    ['a step that flaps', rule(outRule(), bands('in', [30, 1], [25, 6])), 'steps[1].below', 'must flap'],
    ['a share that flaps', rule(outRule(), inRule({ threshold: 40, by: { percent: 50 } })), 'below', 'must flap'],
    ['an empty change', rule(outRule({ by: { percent: 0 } })), 'add', 'positive percentage'],
    ['a schedule of nothing', rule(office), 'cron', 'changes nothing'],
    ['a schedule with min above max', rule({ ...office, min: 5, max: 4 }), 'min', 'is above its max'],
    ['a schedule above the policy', rule({ ...office, min: 50 }), 'min', "above the policy's max"],
    ['a desired out of bounds', rule({ ...office, desired: 50 }), 'desired', 'is not between'],
    ['a forecast of the past', rule({ ...ahead, leadMs: 0 }), 'lead', 'must look ahead'],
    [
      'a rate that allows nothing',
      { pace: { out: { stabiliseMs: 0, rate: { windowMs: 1000, vms: 0 } }, in: { stabiliseMs: 0 } } },
      'limits.out',
      'allows nothing',
    ],
    [
      'health checks that overtake each other',
      { health: { ...HEALTH, timeoutMs: 9000 } },
      'health.timeout',
      'overtake',
    ],
    ['a health budget of nothing', { health: { ...HEALTH, budget: { percent: 0 } } }, 'health.budget', 'nothing would'],
    [
      'a refresh that cannot',
      { refresh: { ...REFRESH, surge: 0, unavailable: 0 } },
      'refresh',
      'nothing can be replaced',
    ],
    ['checkpoints that fall', { refresh: { ...REFRESH, checkpoints: [0.5, 0.2] } }, 'refresh.checkpoints', 'must rise'],
    ['a launch that always fails', { launchDeadlineMs: 2000 }, 'launch.deadline', 'every launch would fail'],
  ])('refuses %s', (_name, over, field, text) => {
    expect(errors(over)).toContainEqual(
      expect.stringMatching(new RegExp(`"${field.replace(/[[\].]/g, '.')}".*${text}`)),
    );
  });

  it.each<[string, Partial<Policy>, unknown]>([
    ['a window of one reading', rule(targetRule({ metric: { ...CPU, overMs: 500 } })), { rule: 0, field: 'over' }],
    ['a narrow dead zone', rule(targetRule({ tolerance: { up: 0.01, down: 0 } })), { rule: 0, field: 'tolerance' }],
    [
      'a cooldown shorter than the boot',
      rule(targetRule({ cooldownMs: { out: 1000, in: 0 } })),
      { rule: 0, field: 'cooldown.out' },
    ],
    ['a forecast too late', rule({ ...ahead, leadMs: 2000 }), { rule: 0, field: 'lead' }],
    ['more standbys than room', { capacity: { fork: false, paused: 9, saved: 0, stopped: 0 } }, { field: 'capacity' }],
  ])('warns of %s', (_name, over, place) => {
    expect(warnings(over)).toEqual([place]);
  });

  it('asks for no number of the group when one is there to come back from zero by', () => {
    const jobs: Metric = { source: { kind: 'posted', name: 'jobs' }, aggregate: 'mean', overMs: 0, scope: 'total' };
    expect(warnings({ min: 0, ...rule(targetRule({ metric: jobs })) })).toEqual([]);
    expect(warnings({ min: 0, ...rule(targetRule()) })).toEqual([{ field: 'min' }]);
  });
});
