// The demo of a virtual cluster as a user runs it, in its short form: two users, four nodes on two hosts, MPI on one, two and four of them,
// a snapshot of all and back, a larger disk, a live migration. Not here: each of these alone.

import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterResult } from '../../demo/cluster/cluster-story.ts';
import { processesOf } from '../support/processes-of.ts';

const run = promisify(execFile);
const DEMO = join(import.meta.dirname, '../../demo/main.ts');
const LIMIT_MS = 300_000;

describe('npm run demo -- --cluster --fast', () => {
  let temporary: string;
  let out: string;
  let transcript: string;
  let result: ClusterResult;

  beforeAll(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'vct-'));
    await chmod(temporary, 0o755); // guests of root run under another account
    out = join(temporary, 'out');
    const env = { ...process.env, TMPDIR: temporary };
    await run(process.execPath, [DEMO, '--cluster', '--fast', '--out', out], { timeout: LIMIT_MS, env });
    transcript = await readFile(join(out, 'cluster.txt'), 'utf8');
    result = JSON.parse(await readFile(join(out, 'cluster.json'), 'utf8'));
  }, LIMIT_MS);

  afterAll(() => rm(temporary, { recursive: true, force: true }));

  it('computes pi on one, two and four nodes', () => {
    expect(result.pi).toBeCloseTo(Math.PI, 9);
    expect(result.runs.map(({ nodes }) => nodes)).toEqual([1, 2, 4]);
    for (const rank of [0, 1, 2, 3]) expect(transcript).toContain(`[${rank}] rank ${rank} of 4 on node${rank + 1}`);
  });

  it('leaves what people typed and saw, without their passwords, and a plot', async () => {
    expect(transcript).toContain('ann$ virtscale cluster snapshot lab clean\n');
    expect(transcript).toContain('ann$ virtscale vms migrate lab-node4 --to east\n');
    expect(transcript).not.toContain('password of');
    for (const name of ['cluster-speed-up.svg', 'cluster-speed-up.png']) {
      expect((await stat(join(out, name))).size).toBeGreaterThan(5000);
    }
  });

  it('leaves nothing running', async () => {
    expect(await processesOf(temporary)).toEqual([]);
  });
});
