// The picture of a backtest: the load, below it the VMs that it needs and that each autoscaler had, once over all the time and once close
// up around the peak. Not here: rendering, choosing what is shown.

import type { EChartsOption } from 'echarts';
import { aroundPeak, type Courses, coursesOf } from '../../core/backtest/courses.ts';
import type { Played } from '../../core/backtest/play.ts';
import type { SampledLoad } from '../../core/backtest/trace.ts';
import { COLOURS, PLOT_WIDTH } from './render.ts';

export interface BacktestPlotData {
  readonly load: SampledLoad;
  /** Of the load; absent: `requests/s`. */
  readonly loadUnit?: string;
  /** Those with a supply are drawn: two or three can be told apart. */
  readonly played: readonly Played[];
  /** Below the title, such as how VMs boot. */
  readonly subtext: string;
}

export const BACKTEST_PLOT_HEIGHT = 820;

const SIDE = 70;
const POINTS = 700;
const CLOSE_UP_MS = 30 * 60_000;
const DEMAND = 'VMs needed';
const GREY = '#9a9a9a';

export function backtestPlot({ load, loadUnit = 'requests/s', played, subtext }: BacktestPlotData): EChartsOption {
  const whole = coursesOf(load, played, POINTS);
  const close = coursesOf(load, played, PLOT_WIDTH * 2, aroundPeak(load, CLOSE_UP_MS));
  const { divisor, unit } = timeUnit((load.rps.length * load.stepMs) / 1000);
  const names = [...whole.supply.keys()];
  const colours = names.map((_, at) => COLOURS[at % COLOURS.length] ?? COLOURS[0]);
  const peakUnit = timeUnit((close.t.at(-1) ?? 0) - (close.t[0] ?? 0));
  const begin = `${Number(((close.t[0] ?? 0) / divisor).toFixed(2))} ${unit}`;
  const grids = [
    { left: SIDE, right: SIDE, top: 84, height: 130 },
    { left: SIDE, right: SIDE, top: 262, height: 200 },
    { left: SIDE, right: SIDE, top: 556, height: 200 },
  ];
  return {
    title: { text: `Backtest on ${load.name}`, subtext, left: SIDE - 5, top: 8 },
    legend: { data: [DEMAND, ...names], right: SIDE, top: 30, icon: 'roundRect', itemGap: 24 },
    grid: grids,
    xAxis: [
      axis(0, '', 0, lastOf(whole, divisor)),
      axis(1, unit, 0, lastOf(whole, divisor)),
      axis(2, `${peakUnit.unit} from ${begin} on, around the peak`, 0, lastOf(close, peakUnit.divisor)),
    ],
    yAxis: [loadUnit, 'VMs', 'VMs'].map((name, gridIndex) => ({
      type: 'value' as const,
      gridIndex,
      min: 0,
      name,
      nameLocation: 'middle' as const,
      nameGap: 46,
    })),
    series: [
      line('load', 0, points(whole, whole.rps, divisor), '#444444', 1.2, false),
      ...vmSeries(whole, 1, divisor, colours),
      ...vmSeries(close, 2, peakUnit.divisor, colours),
    ],
  };
}

function vmSeries(courses: Courses, at: number, divisor: number, colours: readonly string[]) {
  const demand = line(DEMAND, at, points(courses, courses.demand, divisor), GREY, 1, true);
  return [
    { ...demand, areaStyle: { color: GREY, opacity: 0.35 }, z: 1 },
    ...[...courses.supply].map(([name, supply], index) =>
      line(name, at, points(courses, supply, divisor), colours[index] ?? COLOURS[0], 1.8, true),
    ),
  ];
}

function line(name: string, at: number, data: [number, number][], color: string, width: number, isSteps: boolean) {
  return {
    name,
    type: 'line' as const,
    xAxisIndex: at,
    yAxisIndex: at,
    data,
    symbol: 'none' as const,
    color,
    lineStyle: { width, color },
    ...(isSteps && { step: 'end' as const }),
  };
}

function axis(gridIndex: number, name: string, min: number, max: number) {
  return {
    type: 'value' as const,
    gridIndex,
    min,
    max,
    name,
    nameLocation: 'middle' as const,
    nameGap: 26,
    splitLine: { show: false },
    axisLabel: { showMinLabel: Number.isInteger(min), showMaxLabel: Number.isInteger(max) },
  };
}

function points({ t }: Courses, values: readonly number[], divisor: number): [number, number][] {
  return values.map((value, at) => [((t[at] ?? 0) - (t[0] ?? 0)) / divisor, value]);
}

function lastOf({ t }: Courses, divisor: number): number {
  return ((t.at(-1) ?? 0) - (t[0] ?? 0)) / divisor;
}

function timeUnit(seconds: number): { readonly divisor: number; readonly unit: string } {
  if (seconds > 3 * 86_400) return { divisor: 86_400, unit: 'days' };
  if (seconds > 3 * 3600) return { divisor: 3600, unit: 'hours' };
  if (seconds > 300) return { divisor: 60, unit: 'minutes' };
  return { divisor: 1, unit: 'seconds' };
}
