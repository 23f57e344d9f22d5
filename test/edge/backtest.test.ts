// `policy backtest` as people and programs use it: the shipped target policy on made load.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Trace } from '../../src/core/backtest/trace.ts';
import type { Evaluation } from '../../src/core/evaluation.ts';
import { EvaluationEncoder } from '../../src/core/recording.ts';
import { gauss, madeLoad, seeded, square } from '../core/backtest/made-load.ts';
import { START_MS, turnsOf } from '../core/recorded-turns.ts';
import { type Ran, run } from './command-runner.ts';

const POLICY = fileURLToPath(new URL('../../policies/target.yaml', import.meta.url));
const KEYS = ['name', 'thetaU', 'thetaO', 'tauU', 'tauO', 'instability', 'saturated', 'extraVmHours', 'actionsPerDay'];

interface Row {
  readonly name: string;
  readonly thetaU: number;
  readonly saturated: number;
  readonly extraVmHours: number;
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'virtscale-backtest-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

function fileOf(trace: Trace): string {
  const file = join(folder(), `${trace.name}.csv`);
  writeFileSync(file, `t,rps\n${[...trace.t].map((at, row) => `${at},${trace.rps[row]}`).join('\n')}\n`);
  return file;
}

function backtest(...words: readonly string[]): Promise<Ran> {
  return run('', { arguments: ['policy', 'backtest', ...words] });
}

async function rowsOf(trace: string, ...more: readonly string[]): Promise<readonly Row[]> {
  const { status, out, err } = await backtest(POLICY, '--trace', trace, '--json', ...more);
  expect([status, err]).toEqual([0, '']);
  return (JSON.parse(out) as { readonly rows: readonly Row[] }).rows;
}

const HOUR = madeLoad('hour', 3600, 5, (t) => 100 + 50 * Math.sin(t / 300));

describe('policy backtest', () => {
  test('--json: the policy first, then all presets, in exactly this form', async () => {
    const { out } = await backtest(POLICY, '--trace', fileOf(HOUR), '--json');
    const answer = JSON.parse(out) as { readonly rows: readonly object[] };
    expect(Object.keys(answer)).toEqual(['trace', 'bootSeconds', 'rows']);
    expect(answer).toMatchObject({ trace: 'hour', bootSeconds: 1 });
    expect(answer.rows.map((row) => Object.keys(row))).toEqual(answer.rows.map(() => KEYS));
    expect(answer.rows.map((row) => 'name' in row && row.name)).toEqual([
      'target',
      'hpa',
      'aws-target',
      'gce',
      'azure',
      'oneflow',
      'cloudstack',
      'nomad',
      'seed-75',
    ]);
  });

  test('--compare, --boot, --capacity and --target', async () => {
    const file = fileOf(HOUR);
    const [quick, hpa] = await rowsOf(file, '--compare', 'hpa');
    const [slow] = await rowsOf(file, '--compare', 'hpa', '--boot', '2m');
    expect([quick?.name, hpa?.name]).toEqual(['target', 'hpa']);
    expect(slow?.thetaU).toBeGreaterThan(quick?.thetaU ?? 0);
    // One VM carries all of it.
    const [one] = await rowsOf(file, '--compare', 'hpa', '--capacity', '1000', '--target', '90');
    expect(one).toMatchObject({ thetaU: 0, saturated: 0, extraVmHours: 0, actionsPerDay: 0 });
  });

  test('a table for people, with what was chosen for them', async () => {
    const { status, out } = await backtest(POLICY, '--trace', fileOf(HOUR), '--compare', 'hpa');
    expect(status).toBe(0);
    expect(out).toMatch(/requests\/s per VM \(chosen; see --capacity\), ready after 1 s/);
    expect(out).toMatch(/^target +\d/m);
    expect(out).toMatch(/^hpa +\d/m);
  });

  test.each([
    ['svg', (file: string) => readFileSync(file, 'utf8').includes('VMs needed')],
    ['png', (file: string) => readFileSync(file).subarray(1, 4).toString() === 'PNG'],
  ])('--plot draws %s', async (format, isRight) => {
    const file = join(folder(), `plot.${format}`);
    const { status } = await backtest(POLICY, '--trace', fileOf(HOUR), '--compare', 'hpa', '--plot', file);
    expect([status, existsSync(file) && isRight(file)]).toEqual([0, true]);
  });

  test.each([
    [[], /either --trace FILE or --prometheus URL/],
    [['--trace', '/nowhere.csv'], /cannot read the trace \/nowhere.csv: it does not exist/],
    [['--trace', 'x', '--compare', 'hpa,hqa'], /There is no preset hqa; there are: hpa, aws-target/],
    [['--trace', 'x', '--capacity', '0'], /Must be a number above 0/],
    [['--trace', 'x', '--target', '101'], /at most 100 percent/],
    [['--trace', 'x', '--boot', '5'], /"5" is not a duration/],
    [['--trace', 'x', '--plot', 'a.gif'], /Must end in .svg or .png/],
    [['--prometheus', 'http://127.0.0.1:1'], /--prometheus needs --query and --from/],
  ])('%j is refused', async (words, reason) => {
    const { status, err } = await backtest(POLICY, ...words);
    expect(status).toBe(2);
    expect(err).toMatch(reason);
  });

  test('a bad trace is refused with its line', async () => {
    const file = join(folder(), 'bad.csv');
    writeFileSync(file, 't,rps\n0,1\n1,many\n');
    const { status, err } = await backtest(POLICY, '--trace', file);
    expect([status, err.includes('bad.csv:3:3: rps:')]).toEqual([2, true]);
  });

  test('the load may be a range query', async () => {
    const asked: URL[] = [];
    const server = createServer((request, response) => {
      asked.push(new URL(request.url ?? '', 'http://prometheus'));
      const values = Array.from({ length: 100 }, (_, i) => [1_700_000_000 + i * 15, String(10 + i)]);
      response.end(
        JSON.stringify({ status: 'success', data: { resultType: 'matrix', result: [{ metric: {}, values }] } }),
      );
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const words = ['--prometheus', url, '--query', 'sum(rate(x[1m]))', '--from', '2023-11-14T22:13:20Z'];
    const { status, out } = await backtest(
      POLICY,
      ...words,
      '--to',
      '2023-11-14T22:38:20Z',
      '--json',
      '--compare',
      'hpa',
    );
    expect([status, JSON.parse(out).trace]).toEqual([0, 'prometheus']);
    expect(
      asked.map(({ pathname, searchParams }) => [pathname, searchParams.get('query'), searchParams.get('step')]),
    ).toEqual([['/api/v1/query_range', 'sum(rate(x[1m]))', '15']]);
  });
});

describe('the default target policy', () => {
  const random = seeded(7);
  const noisy = (noise: number) => (t: number) =>
    (500 - 400 * Math.cos((2 * Math.PI * t) / 43_200)) * (1 + noise * gauss(random));
  test.each([
    ['a square wave of ten times the load', madeLoad('square', 14_400, 1, square(1800, 100, 1000)), 0.3],
    ['half a day with noise', madeLoad('noisy', 43_200, 10, noisy(0.1)), 0.005],
    [
      'a flash crowd',
      madeLoad('flash', 14_400, 5, (t) => 100 + (t > 7200 ? Math.min(900, (t - 7200) * 15) : 0)),
      0.005,
    ],
  ])('%s: not saturated, half of what HPA misses, next to no VM-hours more', async (_what, trace, saturatedMax) => {
    const file = fileOf(trace);
    for (const peakVms of [5, 20, 60]) {
      const capacity = String(trace.rps.reduce((most, rps) => Math.max(most, rps), 0) / (peakVms * 0.6));
      const [policy, ...presets] = await rowsOf(file, '--capacity', capacity);
      const [slow] = (await rowsOf(file, '--capacity', capacity, '--compare', 'hpa', '--boot', '60s')).slice(1);
      if (policy === undefined || slow === undefined) throw new Error('rows are missing');
      expect(policy.saturated).toBeLessThanOrEqual(saturatedMax);
      expect(policy.thetaU).toBeLessThanOrEqual(slow.thetaU / 2);
      expect(policy.extraVmHours).toBeLessThanOrEqual(12);
      const better = presets.filter((row) => row.thetaU < policy.thetaU && row.extraVmHours < policy.extraVmHours);
      expect(better.map(({ name }) => name)).toEqual([]);
    }
  });
});

describe('from a recording', () => {
  /** Ten minutes, of which the second five have four times the load; group-1 beside it. */
  function* recorded(): Generator<Evaluation> {
    for (const turn of turnsOf({ vms: 4, groups: 2, hosts: 1, turns: 600 })) {
      const busy = turn.nowMs - START_MS >= 300_000;
      const decisions = turn.decisions.map((decision, index) => {
        const counts = { ...decision.counts, inService: busy ? 4 : 2 };
        return index === 0 ? { ...decision, counts, cpuPercent: busy ? 80 : 40 } : decision;
      });
      yield { ...turn, decisions };
    }
  }

  function linesOf(turns: Iterable<Evaluation>): readonly string[] {
    const encoder = new EvaluationEncoder();
    return Array.from(turns, (turn) => encoder.encode(turn).line);
  }

  /** One file after the other. */
  function recording(...files: readonly (readonly string[])[]): string {
    const made = folder();
    for (const [index, lines] of files.entries()) {
      writeFileSync(join(made, `00000000${index + 1}.jsonl`), lines.map((line) => `${line}\n`).join(''));
    }
    return made;
  }

  function policyOf(group: string): string {
    const file = join(folder(), 'policy.yaml');
    const rule = '{ name: keep, type: target, metric: cpu, target: 60 }';
    const template = '{ image: nowhere, flavor: none, ready: { http: { port: 80, path: / } } }';
    writeFileSync(file, `group: ${group}\nmin: 1\nmax: 20\ntemplate: ${template}\nscale:\n  - ${rule}\n`);
    return file;
  }

  const turns = [...recorded()];
  const policy = () => policyOf('group-0');

  test('load is CPU times VMs in service, in percent of a VM or in what --capacity says', async () => {
    const path = recording(linesOf(turns.slice(0, 250)), linesOf(turns.slice(250)));
    const told = await backtest(policy(), '--trace', path, '--compare', 'hpa');
    expect([told.status, told.err]).toEqual([0, '']);
    expect(told.out).toMatch(
      /peak 320\.0 % CPU\. 100 % CPU per VM \(load is told in percent of a VM; see --capacity\)/,
    );
    const capacity = await backtest(policy(), '--trace', path, '--compare', 'hpa', '--capacity', '50');
    expect(capacity.out).toMatch(/peak 160\.0 requests\/s\. 50 requests\/s per VM, ready/);
  });

  test('the same figures as from the same load in a CSV, whatever the capacity', async () => {
    const path = recording(linesOf(turns));
    const csv = fileOf({
      name: 'csv',
      t: Float64Array.from(turns, (_, second) => second),
      rps: Float64Array.from(turns, (_, second) => (second < 300 ? 80 : 320)),
    });
    const own = policy();
    const rows = async (...words: readonly string[]) => {
      const { out } = await backtest(own, '--json', '--compare', 'hpa,gce', '--trace', ...words);
      return (JSON.parse(out) as { readonly rows: readonly Row[] }).rows;
    };
    const expected = await rows(csv, '--capacity', '100');
    expect(expected[0]?.name).toBe('group-0');
    expect(await rows(path)).toEqual(expected);
    expect(await rows(join(path, '000000001.jsonl'), '--capacity', '7')).toEqual(expected);
  });

  test('what a crash left at the end of a file is passed over', async () => {
    const lines = linesOf(turns);
    const path = recording([...lines.slice(0, 3), '["change",{"at'], linesOf(turns.slice(3)));
    expect((await backtest(policy(), '--trace', path)).status).toBe(0);
  });

  test.each<[string, () => readonly (readonly string[])[], RegExp]>([
    ['a line within that is none', () => [['', ...linesOf(turns)]], /000000001\.jsonl:1: the line is torn or no JSON/],
    ['no frames', () => [['{"t":1}']], /000000001\.jsonl:1: the line is no frame of a recording/],
    ['no beginning', () => [linesOf(turns).slice(1)], /:1: the recording does not begin with a whole frame/],
    ['another format', () => [['["whole",9,{},{},{}]']], /:1: the recording has format 9; this version reads 2/],
    ['no files', () => [], /holds no recording: it has no files \*\.jsonl/],
    ['nothing in its file', () => [[]], /holds no decision of group group-0$/m],
    ['one decision', () => [linesOf(turns.slice(0, 1))], /holds one decision of group group-0 alone; .* of: group-1$/m],
  ])('%s is refused', async (_what, files, reason) => {
    const { status, err } = await backtest(policy(), '--trace', recording(...files()));
    expect([status, err]).toEqual([2, expect.stringMatching(reason)]);
  });

  test('another group is refused, and those that are there are named', async () => {
    const { status, err } = await backtest(policyOf('shop'), '--trace', recording(linesOf(turns.slice(0, 9))));
    expect([status, err]).toEqual([
      2,
      expect.stringMatching(/holds no decision of group shop; it has decisions of: group-0, group-1/),
    ]);
  });
});

describe('policies that name what is nowhere', () => {
  const EXAMPLES = fileURLToPath(new URL('../../policies/examples', import.meta.url));
  test.each(readdirSync(EXAMPLES))('examples/%s is played, or it is said why not', async (file) => {
    const { status, out, err } = await backtest(join(EXAMPLES, file), '--trace', fileOf(HOUR), '--compare', 'hpa');
    if (file !== 'queue.yaml') expect([status, /^hpa /m.test(out)]).toEqual([0, true]);
    else expect([status, err]).toEqual([2, expect.stringMatching(/no rule goes by cpu/)]);
  });

  test('names are still names, and policy check still knows them', async () => {
    const file = join(folder(), 'p.yaml');
    const ready = 'ready: { http: { port: 80, path: / } }';
    const text = `group: a\nmin: 1\nmax: 2\nbalancer: front\nplacement: mine\ntemplate: { image: x, flavor: y, ${ready} }\n`;
    const rule = 'scale:\n  - { name: keep, type: target, metric: cpu, target: 60 }\n';
    writeFileSync(file, text + rule);
    expect((await backtest(file, '--trace', fileOf(HOUR))).status).toBe(0);
    const { status, err } = await run(`policy check ${file}`);
    expect(status).toBe(2);
    for (const what of [
      'no image is named "x"',
      'no flavor is named "y"',
      'no balancer is named "front"',
      'no placement',
    ])
      expect(err).toContain(what);
    writeFileSync(file, text.replace('image: x', 'image: [x]') + rule);
    const bad = await backtest(file, '--trace', fileOf(HOUR));
    expect([bad.status, bad.err]).toEqual([2, expect.stringMatching(/p\.yaml:6:\d+: template\.image: /)]);
  });
});
