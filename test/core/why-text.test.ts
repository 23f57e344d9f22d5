// The paragraph that answers "why": it names everything the record holds.

import { describe, expect, it } from 'vitest';
import { decide, decideCandidate } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { Snapshot } from '../../src/core/model.ts';
import type { Policy } from '../../src/core/policy.ts';
import { whyText } from '../../src/core/why-text.ts';
import { inRule, measured, memoryOf, NOW_MS, outRule, policyOf, snapshotOf, viewOf } from './builders.ts';

const CROSSED = { hot: { crossedAtMs: NOW_MS - 100_000 }, idle: { crossedAtMs: NOW_MS - 100_000 } };

function decideFor(
  percents: readonly number[],
  over: Partial<Policy> = {},
  snapshot: Partial<Snapshot> = {},
): Decision {
  const vms = percents.map((_, index) => viewOf(index + 1));
  const cpu = measured(Object.fromEntries(percents.map((percent, index) => [index + 1, percent])));
  const memory = memoryOf({ desired: percents.length, transient: { cpu, rules: CROSSED } });
  const [decision] = decide(snapshotOf({ vms, ...snapshot }), [policyOf(over)], { web: memory }, NOW_MS).decisions;
  if (decision === undefined) throw new Error('no decision');
  return decision;
}

describe('whyText', () => {
  it('tells of a scale-out: sizes, values, rules, hosts, what is done', () => {
    const text = whyText(decideFor([91]));
    expect(text).toMatchInlineSnapshot(
      `"Group web has 1 VM in service; 1 exists in all. It wants 2 VMs because of rule hot, where it wanted 1 before: 1 → 2 (Rule hot: CPU 91 %, above 75 % for 1 min 40 s: add 1 VM). CPU 91 % on average: web-1 91 %. Rule hot (cpu 91 %, threshold 75 %): it fires. Rule idle (cpu 91 %, threshold 20 %): CPU 91 %, not below 20 %; it asks for nothing. Looked at for VMs: h1 taken (takes 1 VM (had 1 VM; free 31 of 32 vCPUs, 16256 of 16384 MiB, 100 of 100 GiB)). To be done: boot a VM on host h1."`,
    );
  });

  it('tells of a scale-in: who goes and who stays', () => {
    expect(whyText(decideFor([9, 2, 7]))).toMatchInlineSnapshot(
      `"Group web has 3 VMs in service; 3 exist in all. It wants 2 VMs because of rule idle, where it wanted 3 before: 3 → 2 (Rule idle: CPU 6 %, below 20 % for 1 min 40 s: remove 1 VM). CPU 6 % on average: web-1 9 %, web-2 2 %, web-3 7 %. Rule hot (cpu 6 %, threshold 75 %): CPU 6 %, not above 75 %; it asks for nothing. Rule idle (cpu 6 %, threshold 20 %): it fires. Looked at for removal: web-2 goes (idlest: 2 % CPU); web-3 stays (7 % CPU); web-1 stays (9 % CPU). To be done: drain VM 2."`,
    );
  });

  it('tells what holds a rule back', () => {
    expect(whyText(decideFor([91, 92, 93, 94]))).toMatchInlineSnapshot(
      `"Group web has 4 VMs in service; 4 exist in all. It wants 4 VMs, as before: 4 → 5 (Rule hot: CPU 92.5 %, above 75 % for 1 min 40 s: add 1 VM), then 5 → 4 (The policy allows at most 4 VMs). CPU 92.5 % on average: web-1 91 %, web-2 92 %, web-3 93 %, web-4 94 %. Rule hot (cpu 92.5 %, threshold 75 %): it fires. Rule idle (cpu 92.5 %, threshold 20 %): CPU 92.5 %, not below 20 %; it asks for nothing. Nothing is to be done."`,
    );
    const held = decideFor([15, 15], { rules: [outRule({ threshold: 10, forMs: 3_600_000 }), inRule()] });
    expect(whyText(held)).toContain('it is held back so that the size does not flap.');
    const calm = decideFor([15, 15, 15, 15], { rules: [inRule(), inRule({ name: 'calm', threshold: 10 })] });
    expect(whyText(calm)).toContain('Nothing is removed before rule calm agrees.');
  });

  it('tells when nothing is known, and when the policy only observes', () => {
    const { decision } = decideCandidate(snapshotOf(), policyOf({ mode: 'observe' }), memoryOf(), NOW_MS);
    const text = whyText(decision);
    expect(text).toContain('No VM has a fresh CPU value.');
    expect(text).toContain('The policy only observes: nothing is done.');
  });

  it('counts what would be too long', () => {
    const text = whyText(
      decideFor(
        Array.from({ length: 30 }, () => 50),
        { max: 40 },
      ),
    );
    expect(text).toContain('and 20 more');
    expect(text.length).toBeLessThan(1500);
  });
});
