// cpu.svg/.png: each VM's CPU over time, the thresholds, and the moments of the story.

import type { EChartsOption } from 'echarts';
import type { Timeline } from '../timeline.ts';
import { placeInRows } from './marks.ts';
import { PLOT_WIDTH, VM_COLOURS } from './render.ts';
import { type Span, storyMarks } from './story-marks.ts';

/** CPU of one VM as the daemon measured it, percent of its vCPUs. */
export interface CpuSample {
  /** ms since 1970. */
  readonly atMs: number;
  readonly vm: string;
  readonly percent: number;
}

export interface CpuPlotData {
  readonly samples: readonly CpuSample[];
  readonly timeline: Timeline;
  readonly spans: readonly Span[];
  readonly outPercent: number;
  readonly inPercent: number;
  /** A VM that was killed by hand. */
  readonly killed?: { readonly vm: string; readonly atMs: number };
  /** e.g. "libvirt 9.0.0, QEMU 7.2.22, emulated CPU" */
  readonly machine: string;
}

const SIDE = 70;
const ROW_HEIGHT = 18;
const CHARACTER_WIDTH = 7.4;

/** One line per VM in order of appearance: points are [seconds, percent], with a break where more than `breakS` lie between. */
export function cpuSeries(
  samples: readonly CpuSample[],
  zeroMs: number,
  breakS = 4,
): readonly { readonly vm: string; readonly points: readonly (readonly [number, number | null])[] }[] {
  const byVm = new Map<string, [number, number | null][]>();
  for (const { atMs, vm, percent } of samples) {
    const points = byVm.get(vm) ?? [];
    byVm.set(vm, points);
    const at = (atMs - zeroMs) / 1000;
    const last = points.at(-1);
    if (last !== undefined && at - last[0] > breakS) points.push([last[0], null]);
    points.push([at, percent]);
  }
  return [...byVm].map(([vm, points]) => ({ vm, points }));
}

export function cpuPlot(data: CpuPlotData): EChartsOption {
  const times = [...data.samples.map((s) => s.atMs), ...data.spans.flatMap((s) => [s.fromMs, s.toMs])];
  const zeroMs = times.length === 0 ? 0 : Math.min(...times);
  const marks = storyMarks(data.timeline, zeroMs, data.killed);
  const endS =
    Math.max(1, (times.length === 0 ? 0 : Math.max(...times) - zeroMs) / 1000, ...marks.map((m) => m.at)) + 1;
  const secondsPerPixel = endS / (PLOT_WIDTH - 2 * SIDE);
  const placed = placeInRows(marks, (label) => (label.length * CHARACTER_WIDTH + 10) * secondsPerPixel);
  const rows = Math.max(1, ...placed.map((mark) => mark.row + 1));
  const series = cpuSeries(data.samples, zeroMs);
  const noData = { type: 'line' as const, data: [], silent: true };
  return {
    title: {
      text: 'CPU of each VM',
      subtext: `percent of its vCPU, from consecutive polls · ${data.machine}`,
      left: SIDE - 5,
      top: 8,
    },
    legend: { data: series.map(({ vm }) => vm), right: SIDE, top: 14, icon: 'roundRect' },
    grid: { left: SIDE, right: SIDE, top: 78 + rows * ROW_HEIGHT, bottom: 58 },
    xAxis: {
      type: 'value',
      min: 0,
      max: Math.ceil(endS),
      name: 'seconds since the first measurement',
      nameLocation: 'middle',
      nameGap: 30,
      splitLine: { show: false },
    },
    yAxis: { type: 'value', min: 0, max: 100, interval: 25, name: 'CPU, %', nameLocation: 'middle', nameGap: 44 },
    series: [
      {
        ...noData,
        markArea: {
          label: { position: 'insideBottom', distance: 40, color: '#666666', fontSize: 12 },
          data: data.spans.map((span, i) => [
            {
              name: span.name,
              xAxis: (span.fromMs - zeroMs) / 1000,
              itemStyle: { color: i % 2 === 0 ? 'rgba(0,0,0,0.035)' : 'rgba(0,0,0,0.09)' },
            },
            { xAxis: (span.toMs - zeroMs) / 1000 },
          ]),
        },
      },
      {
        ...noData,
        markLine: {
          symbol: 'none',
          lineStyle: { color: '#b00020', type: 'dashed', width: 1.5 },
          label: { position: 'end', color: '#b00020', formatter: '{b}' },
          data: [
            { name: `> ${data.outPercent} %`, yAxis: data.outPercent },
            { name: `< ${data.inPercent} %`, yAxis: data.inPercent },
          ],
        },
      },
      {
        ...noData,
        markLine: {
          symbol: 'none',
          lineStyle: { color: '#555555', type: 'solid', width: 1 },
          data: placed.map((mark) => ({
            name: mark.label,
            xAxis: mark.at,
            label: { formatter: '{b}', fontSize: 12, color: '#222222', distance: 4 + mark.row * ROW_HEIGHT },
          })),
        },
      },
      ...series.map(({ vm, points }, i) => ({
        name: vm,
        type: 'line' as const,
        data: points.map((point) => [...point]),
        symbol: 'circle',
        symbolSize: 5,
        connectNulls: false,
        lineStyle: { width: 2.5 },
        color: VM_COLOURS[i % VM_COLOURS.length] ?? VM_COLOURS[0],
      })),
    ],
  };
}
