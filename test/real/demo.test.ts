// The demo as a user runs it, in its short form: a real daemon, real VMs, a real client.

import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OUTPUT_FILES } from '../../demo/output-folder.ts';
import type { Summary } from '../../demo/summary.ts';
import { processesOf } from '../support/processes-of.ts';

const run = promisify(execFile);
const DEMO = join(import.meta.dirname, '../../demo/main.ts');
const LIMIT_MS = 90_000;

describe('npm run demo -- --fast', () => {
  let out: string;
  let temporary: string;
  let screen: string;
  let tookMs: number;
  let summary: Summary;

  beforeAll(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'vdt-'));
    await chmod(temporary, 0o755); // guests of root run under another account
    out = join(temporary, 'out');
    const startedMs = performance.now();
    const { stdout } = await run(process.execPath, [DEMO, '--fast', '--out', out], {
      timeout: 2 * LIMIT_MS,
      env: { ...process.env, TMPDIR: temporary },
    });
    tookMs = performance.now() - startedMs;
    screen = stdout;
    summary = JSON.parse(await readFile(join(out, 'summary.json'), 'utf8'));
  }, 2 * LIMIT_MS);

  afterAll(async () => {
    await rm(temporary, { recursive: true, force: true });
  });

  it('really happens, and says so', () => {
    expect(summary.ok).toBe(true);
    expect(summary.requests.failed).toBe(0);
    expect(summary.events.gaps).toBe(0);
    expect(screen).toContain('no request failed');
    expect(summary.replayed).toMatch(/^\d+ evaluations with \d+ decisions, all the same, byte for byte$/);
  });

  it('is over in time', () => {
    expect(tookMs).toBeLessThan(LIMIT_MS);
  });

  it('decides some seconds after the threshold was crossed, then launches, then removes', () => {
    const { scaleOut, scaleIn } = summary;
    expect(scaleOut.decideMs).toBeGreaterThanOrEqual(3000);
    expect(scaleOut.decideMs).toBeLessThan(4500);
    const moments = [
      scaleOut.crossedAt,
      scaleOut.decidedAt,
      scaleOut.launchingAt,
      scaleOut.launchedAt,
      scaleIn.decidedAt,
      scaleIn.removedAt,
    ];
    expect(moments).not.toContain(null);
    expect(moments).toEqual([...moments].sort());
  });

  it('shows that two VMs answer sooner than one', () => {
    const { overloaded, scaledOut } = summary.responseMs;
    expect(scaledOut.p50).toBeLessThan(overloaded.p50 ?? 0);
  });

  it('leaves its files', async () => {
    for (const name of OUTPUT_FILES) expect((await stat(join(out, name))).size, name).toBeGreaterThan(100);
    const csv = (await readFile(join(out, 'client.csv'), 'utf8')).trimEnd().split('\n');
    expect(csv).toHaveLength(summary.requests.total + 1);
    const events = (await readFile(join(out, 'events.ndjson'), 'utf8')).trimEnd().split('\n');
    expect(events.map((line) => JSON.parse(line).seq)).toEqual(events.map((_, i) => i + 1));
    const log = (await readFile(join(out, 'autoscaler.ndjson'), 'utf8')).trimEnd().split('\n');
    for (const line of log) expect(() => JSON.parse(line)).not.toThrow();
  });

  it('leaves no process and no other file', async () => {
    expect(await processesOf(temporary)).toEqual([]);
    expect(await readdir(temporary)).toEqual(['out']);
  });
});
