// `policy backtest`: a policy and the documented rules of others on recorded load, as a table, JSON and a picture.
// Not here: playing them (core/backtest), drawing (edge/plots), where the load comes from (backtest-load).

import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readDuration } from '../../config/duration.ts';
import { type Backtest, backtest, usualCapacity } from '../../core/backtest/backtest.ts';
import { playable } from '../../core/backtest/policy-controller.ts';
import { PRESETS } from '../../core/backtest/presets/registry.ts';
import { peakOf, type Trace, type TraceShape } from '../../core/backtest/trace.ts';
import type { Policy } from '../../core/policy.ts';
import { type LoadSource, loadFrom } from './backtest-load.ts';
import { CommandFailure } from './command-failure.ts';
import { readPolicyFile } from './policy-check.ts';
import { printable, type Terminal } from './terminal.ts';

export interface BacktestContext {
  readonly terminal: Terminal;
  readonly signal?: AbortSignal;
}

interface Given extends LoadSource {
  readonly boot: number;
  readonly poll: number;
  readonly target: number;
  readonly compare?: readonly string[];
  readonly between: TraceShape;
  readonly plot?: string;
  readonly json?: boolean;
}

/** With the policy two more are drawn, at the most. */
const DRAWN = 2;
const DAY_MS = 86_400_000;
const TRACE_FORMS =
  "CSV with the columns t (seconds) and rps (mean over the row), or a daemon's recording (*.jsonl, or its folder)";

export function addBacktest(policy: Command, context: BacktestContext): void {
  policy
    .command('backtest')
    .description('play a policy on recorded load, beside the documented rules of others')
    .argument('<file>', 'policy file')
    .option('--trace <path>', `recorded load: ${TRACE_FORMS}`)
    .option('--prometheus <url>', 'the load is a range query to this Prometheus instead')
    .option('--query <promql>', 'with --prometheus: requests per second, one series')
    .option('--from <time>', 'with --prometheus: RFC 3339')
    .option('--to <time>', 'with --prometheus: RFC 3339 (default: now)')
    .option('--step <duration>', 'with --prometheus: between two points', durationOption(1000, DAY_MS), 15_000)
    .option('--boot <duration>', 'from the decision to a VM that serves', durationOption(0, DAY_MS), 1000)
    .option('--poll <duration>', 'how often the policy is evaluated', durationOption(100, 3_600_000), 1000)
    .option(
      '--capacity <rps>',
      'requests per second that one VM can serve (default: the peak needs 20 VMs; of a recording: 100 %)',
      positive,
    )
    .option('--target <percent>', 'utilisation that counts as enough: demand is counted by it', percent, 60)
    .option('--compare <presets>', `any of ${[...PRESETS.keys()].join(', ')} (default: all)`, presets)
    .addOption(
      new Option('--between <shape>', 'between the rows the load goes on a line, or in steps')
        .choices(['line', 'steps'])
        .default('line'),
    )
    .option('--plot <file>', 'draw load, demand and supply; .svg or .png', plotFile)
    .option('--json', 'print JSON')
    .action((file: string, given: Given) => runBacktest(file, given, context));
}

async function runBacktest(file: string, given: Given, context: BacktestContext): Promise<void> {
  const { terminal } = context;
  const { json = false, plot } = given;
  const policy = await readPolicyFile(file);
  const { rules, left } = playable(policy.rules);
  if (rules.length === 0) {
    throw new CommandFailure(2, `${file}: no rule goes by cpu, and recorded load says nothing of anything else`);
  }
  const { trace, capacityPercent } = await loadFrom(given, policy.group, context.signal);
  const capacityRps = given.capacity ?? capacityPercent ?? usualCapacity(trace, given.target, policy.max);
  const unit = capacityPercent === undefined ? 'requests/s' : '% CPU';
  const name = policy.candidate ?? policy.group;
  const compare = given.compare ?? [...PRESETS.keys()];
  const drawn = plot === undefined ? [] : [name, ...compare.filter((preset) => preset !== name).slice(0, DRAWN)];
  const result = play(policy, trace, { ...given, capacityRps, name, compare, keep: drawn });
  if (json) terminal.json(asJson(result, given.boot), 2);
  else print(terminal, result, { policy, given, trace, capacityRps, unit, left });
  if (plot !== undefined) {
    await draw(
      plot,
      result,
      unit,
      `${capacityText(capacityRps, unit)}, ready ${given.boot / 1000} s after the decision`,
    );
    if (!json) terminal.line(`\ndrawn to ${printable(plot)}`);
  }
}

function play(
  policy: Policy,
  trace: Trace,
  given: Given & {
    readonly capacityRps: number;
    readonly name: string;
    readonly compare: readonly string[];
    readonly keep: readonly string[];
  },
): Backtest {
  const { capacityRps, name, compare, keep, between, target, boot, poll } = given;
  try {
    return backtest({
      trace,
      shape: between,
      name,
      policy,
      sizing: { capacityRps, targetPercent: target },
      bootMs: boot,
      pollMs: poll,
      compare,
      keep,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new CommandFailure(2, `the trace is too long: ${error.message}`, error);
    throw error;
  }
}

/** Percent, but for actionsPerDay; rounded to what a model can mean. */
function asJson({ load, played }: Backtest, bootMs: number) {
  return {
    trace: load.name,
    bootSeconds: bootMs / 1000,
    rows: played.map(({ name, elasticity }) => ({
      name,
      thetaU: rounded(elasticity.thetaU),
      thetaO: rounded(elasticity.thetaO),
      tauU: rounded(elasticity.tauU),
      tauO: rounded(elasticity.tauO),
      instability: rounded(elasticity.instability),
      saturated: rounded(elasticity.saturated),
      extraVmHours: rounded(elasticity.extraVmHours),
      actionsPerDay: rounded(elasticity.actionsPerDay),
    })),
  };
}

function rounded(value: number): number {
  return Number(value.toFixed(4));
}

interface Told {
  readonly policy: Policy;
  readonly given: Given;
  readonly trace: Trace;
  readonly capacityRps: number;
  /** Of the load. */
  readonly unit: 'requests/s' | '% CPU';
  readonly left: readonly string[];
}

function print(
  terminal: Terminal,
  { load, played }: Backtest,
  { policy, given, trace, capacityRps, unit, left }: Told,
): void {
  const days = (load.rps.length * load.stepMs) / DAY_MS;
  const how = unit === '% CPU' ? 'load is told in percent of a VM' : 'chosen';
  const chosen = given.capacity === undefined ? ` (${how}; see --capacity)` : '';
  terminal.line(
    `${printable(load.name)}: ${days.toFixed(days < 10 ? 1 : 0)} days, peak ${peakOf(trace).toPrecision(4)} ${unit}. ` +
      `${capacityText(capacityRps, unit)}${chosen}, ready after ${given.boot / 1000} s; ${policy.min} to ${policy.max} VMs; ` +
      `demand at ${given.target} %, load on ${given.between === 'line' ? 'a line' : 'steps'} between rows.`,
  );
  for (const rule of left) {
    terminal.error(
      `${terminal.styled('yellow', 'hm')}  rule ${printable(rule)} is left out: the trace has nothing for it`,
    );
  }
  terminal.line('');
  const heads = ['autoscaler', 'θ_U %', 'θ_O %', 'τ_U %', 'τ_O %', 'υ %', 'saturated %', 'VM-hours %', 'actions/day'];
  const rows = played.map(({ name, elasticity: e }) => [
    name,
    ...[e.thetaU, e.thetaO, e.tauU, e.tauO, e.instability].map((value) => value.toFixed(2)),
    e.saturated.toFixed(3),
    `${e.extraVmHours < 0 ? '' : '+'}${e.extraVmHours.toFixed(1)}`,
    e.actionsPerDay.toFixed(0),
  ]);
  terminal.table(heads, rows, 'nothing was played');
  terminal.line('');
  terminal.line(
    terminal.styled(
      'dim',
      'θ: share of the demand missing (U) or too much (O), τ: of the time. υ: moved otherwise than demand. VM-hours: beyond the ideal.',
    ),
  );
}

function capacityText(capacityRps: number, unit: Told['unit']): string {
  return `${Number(capacityRps.toPrecision(4))} ${unit} per VM`;
}

/** The packages that draw are only loaded when something is drawn. */
async function draw(file: string, { load, played }: Backtest, loadUnit: string, subtext: string): Promise<void> {
  const [{ backtestPlot, BACKTEST_PLOT_HEIGHT }, { renderPng, renderSvg }] = await Promise.all([
    import('../plots/backtest-plot.ts'),
    import('../plots/render.ts'),
  ]);
  const svg = renderSvg(backtestPlot({ load, loadUnit, played, subtext }), BACKTEST_PLOT_HEIGHT);
  try {
    await writeFile(file, extname(file).toLowerCase() === '.png' ? renderPng(svg) : svg);
  } catch (error) {
    throw new CommandFailure(1, `cannot write ${file}: ${String(error)}`, error);
  }
}

function durationOption(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const read = readDuration(text);
    if (!read.ok) throw new InvalidArgumentError(read.reason);
    if (read.value < minMs || read.value > maxMs) {
      throw new InvalidArgumentError(`Must be from ${minMs} ms to ${maxMs / 1000} s.`);
    }
    return read.value;
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('Must be a number above 0.');
  return value;
}

function percent(text: string): number {
  const value = positive(text.replace(/%$/, ''));
  if (value > 100) throw new InvalidArgumentError('Must be at most 100 percent.');
  return value;
}

function presets(text: string): readonly string[] {
  const names = [
    ...new Set(
      text
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    ),
  ];
  const unknown = names.find((name) => !PRESETS.has(name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`There is no preset ${unknown}; there are: ${[...PRESETS.keys()].join(', ')}.`);
  }
  return names;
}

function plotFile(file: string): string {
  if (!['.svg', '.png'].includes(extname(file).toLowerCase()))
    throw new InvalidArgumentError('Must end in .svg or .png.');
  return file;
}
