// Policies survive being written to a file; files that have been damaged are refused in good order.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import { type PolicyCatalog, parsePolicy } from '../../src/config/policy-file.ts';
import { lintPolicy } from '../../src/core/lint-policy.ts';
import type { Metric } from '../../src/core/metric.ts';
import type { Policy, ScaleRule } from '../../src/core/policy.ts';
import { IMAGE } from '../core/builders.ts';
import { anyPolicy, fileOf } from './any-policy.ts';
import { type Style, yamlOf } from './yaml-writer.ts';

const CATALOG: PolicyCatalog = { images: [IMAGE], flavors: DEFAULT_FLAVORS };
const style = fc.constantFrom<Style>('block', 'flow', 'mixed');

/** The same without what the lint may say no to: rules that remove, percentages beyond 100, checks that overtake each other. */
function calm(policy: Policy): Policy {
  const { health, max, min } = policy;
  return {
    ...policy,
    rules: policy.rules.flatMap((rule) => calmRule(rule, min, max)),
    ...(health && { health: { ...health, timeoutMs: Math.min(health.timeoutMs, health.intervalMs) } }),
  };
}

function calmRule(rule: ScaleRule, min: number, max: number): readonly ScaleRule[] {
  if (rule.type === 'schedule') {
    const { max: _max, min: _min, ...rest } = rule;
    return [{ ...rest, desired: Math.min(Math.max(rule.desired ?? min, min), max) }];
  }
  const metric: Metric = { ...rule.metric, source: { kind: 'posted', name: 'jobs' }, scope: 'total' };
  if (rule.type === 'target') return [{ ...rule, metric, tolerance: { up: 0.1, down: 0.1 } }];
  return rule.type === 'forecast' || (rule.type === 'threshold' && rule.direction === 'out')
    ? [{ ...rule, metric }]
    : [];
}

describe('a policy that is written and read', () => {
  it('is the same, or is refused for reasons of the lint alone', () => {
    let good = 0;
    fc.assert(
      fc.property(anyPolicy, style, (policy, how) => {
        const text = yamlOf(fileOf(policy), how);
        const result = parsePolicy(text, 'web.yaml', CATALOG);
        if (result.ok) {
          good += 1;
          expect(result.policy).toEqual(policy);
          return;
        }
        const errors = lintPolicy(policy).filter(({ severity }) => severity === 'error');
        const reasons = errors.map(({ reason }) => reason);
        expect(reasons, `${result.problems[0]?.path} of ${text}`).toEqual(
          expect.arrayContaining(result.problems.map(({ reason }) => reason).slice(0, 20)),
        );
      }),
      { numRuns: 200 },
    );
    expect(good).toBeGreaterThan(5);
  });

  it('is the same where rules cannot contradict each other', () => {
    fc.assert(
      fc.property(anyPolicy.map(calm), style, (policy, how) => {
        expect(parsePolicy(yamlOf(fileOf(policy), how), 'web.yaml', CATALOG)).toMatchObject({ ok: true, policy });
      }),
      { numRuns: 150 },
    );
  });
});

describe('a file that has been damaged', () => {
  it('is read or refused with places inside of it, and never throws', () => {
    const cut = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.integer({ min: 0, max: 30 }),
      put: fc.oneof(
        fc.constantFrom(
          '',
          '\n',
          ' ',
          '{',
          '}',
          '[',
          ']',
          ': ',
          '- ',
          '%',
          '-',
          '"',
          "'",
          '#',
          '0',
          'null',
          '~',
          '|',
          '.inf',
          '1e999',
        ),
        fc.string({ maxLength: 5 }),
      ),
    });
    fc.assert(
      fc.property(anyPolicy, style, fc.array(cut, { minLength: 1, maxLength: 4 }), (policy, how, cuts) => {
        const text = cuts.reduce(
          (whole, { at, length, put }) => {
            const from = Math.floor(at * whole.length);
            return whole.slice(0, from) + put + whole.slice(from + length);
          },
          yamlOf(fileOf(policy), how),
        );
        const result = parsePolicy(text, 'web.yaml', CATALOG);
        if (result.ok) return;
        expect(result.problems.length).toBeGreaterThan(0);
        const lines = text.split('\n').length;
        for (const { column, line, reason } of result.problems) {
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(lines);
          expect(column).toBeGreaterThanOrEqual(1);
          expect(reason).not.toMatch(/undefined|\[object|NaN/);
        }
      }),
      { numRuns: 250 },
    );
  });
});
