// response-time.svg/.png: each request's response time by VM over the number of the request, as in the seed's plot.

import type { EChartsOption } from 'echarts';
import { type RequestRecord, succeeded } from '../request-record.ts';
import { percentile } from '../statistics.ts';
import { VM_COLOURS } from './render.ts';

export interface ResponseTimePlotData {
  readonly requests: readonly RequestRecord[];
  /** When the second VM came, ms since 1970, and its name. */
  readonly arrival?: { readonly atMs: number; readonly vm: string };
  /** e.g. "libvirt 9.0.0, QEMU 7.2.22, emulated CPU" */
  readonly machine: string;
}

const SIDE = 70;
const MEDIAN = 'running median';
const MEDIAN_WINDOW = 51;

interface Run {
  readonly mode: string;
  readonly from: number;
  readonly to: number;
}

/** The requests of the story in the order in which they were sent; numbers start at 1. The calibration is not part of it. */
export function numberedRequests(
  requests: readonly RequestRecord[],
): readonly (RequestRecord & { readonly number: number })[] {
  return requests
    .filter((record) => record.mode !== 'calibrate')
    .toSorted((a, b) => a.sentAtMs - b.sentAtMs)
    .map((record, i) => ({ ...record, number: i + 1 }));
}

/** Stretches of the same mode, as numbers of requests. */
export function modeRuns(numbered: readonly (RequestRecord & { readonly number: number })[]): readonly Run[] {
  const runs: Run[] = [];
  for (const { mode, number } of numbered) {
    const last = runs.at(-1);
    if (last?.mode === mode) runs[runs.length - 1] = { ...last, to: number };
    else runs.push({ mode, from: number, to: number });
  }
  return runs;
}

export function responseTimePlot(data: ResponseTimePlotData): EChartsOption {
  const numbered = numberedRequests(data.requests);
  const vms = [...new Set(numbered.map((record) => record.vm))];
  const failed = numbered.filter((record) => !succeeded(record));
  const arrival = data.arrival;
  const firstAfter = arrival && numbered.find((record) => record.sentAtMs >= arrival.atMs)?.number;
  const noData = { type: 'scatter' as const, data: [], silent: true };
  const points = (records: readonly { readonly number: number; readonly latencyMs: number }[]) =>
    records.map((record) => [record.number, Math.max(1, record.latencyMs)]);
  return {
    title: {
      text: 'Response time of each request',
      subtext: `until the whole answer is there · ${mediansText(numbered, firstAfter)} · ${data.machine}`,
      left: SIDE - 5,
      top: 8,
    },
    legend: { data: [...vms, ...(failed.length > 0 ? ['failed'] : []), MEDIAN], right: SIDE, top: 14 },
    grid: { left: SIDE, right: SIDE, top: 96, bottom: 58 },
    xAxis: {
      type: 'value',
      min: 0,
      max: Math.max(1, numbered.length),
      name: 'number of the request, in order of sending',
      nameLocation: 'middle',
      nameGap: 30,
      splitLine: { show: false },
      axisLabel: { showMaxLabel: false },
    },
    // Logarithmic: a few stragglers must not press everything else into the bottom line.
    yAxis: {
      type: 'log',
      min: 1,
      name: 'response time, ms (logarithmic)',
      nameLocation: 'middle',
      nameGap: 48,
      minorSplitLine: { show: true },
    },
    series: [
      {
        ...noData,
        markArea: {
          label: { color: '#666666', fontSize: 12, formatter: '{b}' },
          data: modeRuns(numbered).map((run, i) => [
            {
              name: run.mode,
              // The stretches of low load are narrow: a centred label would leave the plot.
              label: { position: run.mode === 'low' ? 'insideTopLeft' : 'insideTop' },
              xAxis: run.from - 1,
              itemStyle: { color: i % 2 === 0 ? 'rgba(0,0,0,0.035)' : 'rgba(0,0,0,0.09)' },
            },
            { xAxis: run.to },
          ]),
        },
        ...(firstAfter !== undefined && {
          markLine: {
            symbol: 'none',
            lineStyle: { color: '#222222', type: 'solid' as const, width: 1.5 },
            label: { formatter: '{b}', color: '#222222', distance: 6 },
            data: [{ name: `${arrival?.vm} is there`, xAxis: firstAfter }],
          },
        }),
      },
      ...vms.map((vm, i) => ({
        name: vm,
        type: 'scatter' as const,
        symbolSize: 4,
        color: VM_COLOURS[i % VM_COLOURS.length] ?? VM_COLOURS[0],
        itemStyle: { opacity: 0.65 },
        data: points(numbered.filter((record) => record.vm === vm && succeeded(record))),
      })),
      {
        name: MEDIAN,
        type: 'line' as const,
        symbol: 'none',
        color: '#111111',
        lineStyle: { width: 2 },
        data: runningMedian(numbered).map(([number, ms]) => [number, Math.max(1, ms)]),
      },
      ...(failed.length > 0
        ? [
            {
              name: 'failed',
              type: 'scatter' as const,
              symbol: 'triangle',
              symbolSize: 9,
              color: '#b00020',
              data: points(failed),
            },
          ]
        : []),
    ],
  };
}

/** The median of each request and its neighbours, 25 on either side; one point for every fifth request. */
export function runningMedian(
  numbered: readonly { readonly number: number; readonly latencyMs: number }[],
): readonly (readonly [number, number])[] {
  const half = (MEDIAN_WINDOW - 1) / 2;
  return numbered.flatMap(({ number }, i) => {
    if (i % 5 !== 0) return [];
    const near = numbered.slice(Math.max(0, i - half), i + half + 1).map((record) => record.latencyMs);
    const value = percentile(near, 50);
    return value === undefined ? [] : [[number, value] as const];
  });
}

/** Medians of the three situations, those that there were. */
function mediansText(
  numbered: readonly (RequestRecord & { readonly number: number })[],
  firstAfter: number | undefined,
): string {
  const isAfter = (record: { readonly number: number }) => firstAfter !== undefined && record.number >= firstAfter;
  const median = (name: string, records: readonly RequestRecord[]) => {
    const value = percentile(
      records.map((r) => r.latencyMs),
      50,
    );
    return value === undefined ? [] : [`${name} ${value.toFixed(value < 10 ? 1 : 0)} ms`];
  };
  const high = numbered.filter((record) => record.mode === 'high');
  const medians = [
    ...median(
      'low',
      numbered.filter((record) => record.mode === 'low'),
    ),
    ...median(
      'high, one VM',
      high.filter((record) => !isAfter(record)),
    ),
    ...median('high, two VMs', high.filter(isAfter)),
  ];
  return `medians: ${medians.join(', ')}`;
}
