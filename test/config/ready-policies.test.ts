// The policies that are shipped: right, without a warning, and the ones in the folder itself go together.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import { problemText } from '../../src/config/file-problem.ts';
import { type PolicyCatalog, parsePolicy } from '../../src/config/policy-file.ts';
import { IMAGE } from '../core/builders.ts';

const FOLDER = fileURLToPath(new URL('../../policies', import.meta.url));
const FILES = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.yaml'));
/** What a new installation has. */
const BARE: PolicyCatalog = {
  images: [IMAGE],
  flavors: DEFAULT_FLAVORS,
  balancers: [],
  prometheus: false,
  hosts: ['local'],
};
const RICH: PolicyCatalog = { ...BARE, balancers: ['front'], prometheus: true };

function parsed(file: string, catalog: PolicyCatalog) {
  return parsePolicy(readFileSync(join(FOLDER, file), 'utf8'), file, catalog);
}

const isNarrow = (file: string, path: string) => file === 'target.yaml' && path.endsWith('.tolerance');

describe('policies/', () => {
  it.each(FILES)('%s is right, says when to use it and what it is worth, and has nothing to be warned of', (file) => {
    const result = parsed(file, RICH);
    // target.yaml follows the load more closely than the lint advises: its figures say what for.
    const told = result.ok ? result.warnings.filter(({ path }) => !isNarrow(file, path)) : result.problems;
    expect(told.map(problemText)).toEqual([]);
    expect(readFileSync(join(FOLDER, file), 'utf8')).toMatch(/^# \S[\s\S]*\n# .*backtest/i);
  });

  it('works as it is on a new installation, with one policy that acts', () => {
    const live = FILES.filter((file) => !file.includes('/')).map((file) => parsed(file, BARE));
    expect(live.filter(({ ok }) => !ok)).toEqual([]);
    const policies = live.flatMap((result) => (result.ok ? [result.policy] : []));
    expect(policies.filter(({ mode }) => mode === 'act').map(({ group }) => group)).toEqual(['web']);
    const claims = policies.map(({ candidate, group }) => `${group} ${candidate}`);
    expect(new Set(claims).size).toBe(claims.length);
  });
});
