import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lintPolicy } from '../../src/core/lint-policy.ts';
import type { Policy } from '../../src/core/policy.ts';
import { inRule, outRule, policyOf } from './builders.ts';

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
    ['a threshold out of range', { rules: [outRule({ thresholdPercent: 175 })] }, 'from 0 to 100, not 175'],
    ['NaN', { rules: [outRule({ thresholdPercent: Number.NaN })] }, 'from 0 to 100'],
    ['above 100', { rules: [outRule({ thresholdPercent: 100 })] }, 'could never fire'],
    ['below 0', { rules: [inRule({ thresholdPercent: 0 })] }, 'could never fire'],
    ['two rules of one name', { rules: [outRule(), outRule()] }, 'another rule named hot'],
    ['in at out', { rules: [outRule(), inRule({ thresholdPercent: 75 })] }, 'must be less than the 75 %'],
    [
      'the lowest scale-out rule counts',
      { rules: [outRule(), outRule({ name: 'warm', thresholdPercent: 15 }), inRule()] },
      'rule warm',
    ],
  ])('refuses %s', (_name, over, text) => {
    expect(errors(over)).toEqual([expect.stringContaining(text)]);
  });

  it('refuses thresholds between which a constant load goes to and fro', () => {
    // Two VMs at 40 % are one at 80 %.
    const flapping = { rules: [outRule(), inRule({ thresholdPercent: 40 })] };
    expect(errors(flapping)).toEqual([expect.stringContaining('2 VMs at 40 % are 80 % on the 1 VM left')]);
    expect(errors(flapping)).toEqual([expect.stringContaining('use a threshold below 37.5 %')]);
    expect(errors({ ...flapping, min: 2 })).toEqual([]);
    expect(errors({ ...flapping, max: 1 })).toEqual([]);
    expect(errors({ rules: [outRule(), inRule({ by: 3 })] })).toEqual([expect.stringContaining('or remove fewer')]);
  });

  it('warns of what is allowed and hardly meant', () => {
    expect(warnings({ rules: [outRule({ forMs: 500 })] })).toEqual([{ rule: 0, field: 'for' }]);
    expect(warnings({ rules: [outRule({ cooldownMs: 1000 })] })).toEqual([{ rule: 0, field: 'cooldown' }]);
    expect(warnings({ min: 0 })).toEqual([{ field: 'min' }]);
    expect(warnings({ rules: [outRule({ by: 4 })] })).toEqual([{ rule: 0, field: 'by' }]);
  });

  it('proves what it promises: no accepted pair of rules can flap at a constant load', () => {
    const percent = fc.integer({ min: 1, max: 99 });
    const size = fc.integer({ min: 0, max: 12 });
    fc.assert(
      fc.property(percent, percent, size, size, fc.integer({ min: 1, max: 4 }), (above, below, min, max, by) => {
        const rules = [outRule({ thresholdPercent: above }), inRule({ thresholdPercent: below, by })];
        const accepted = errors({ min, max, rules }).length === 0;
        let flaps = below >= above || min > max || max < 1;
        for (let n = Math.max(min, 1) + by; n <= max; n += 1) flaps ||= (below * n) / (n - by) >= above;
        expect(accepted).toBe(!flaps);
      }),
    );
  });
});
