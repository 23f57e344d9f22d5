// cluster-speed-up.svg/.png: how much sooner more nodes are through with the same program. Not here: running it.

import { availableParallelism } from 'node:os';
import type { EChartsOption } from 'echarts';
import type { ClusterResult } from '../cluster/cluster-story.ts';
import { VM_COLOURS } from './render.ts';

const SIDE = 70;

export function speedUpPlot({ runs }: Pick<ClusterResult, 'runs'>): EChartsOption {
  const [first] = runs;
  if (first === undefined) throw new Error('nothing was run');
  const cores = availableParallelism();
  const most = Math.max(...runs.map(({ nodes }) => nodes));
  const measured = runs.map(({ nodes, seconds }) => [nodes, first.seconds / seconds]);
  const ideal = [1, most].map((nodes) => [nodes, nodes]);
  const possible = [1, Math.min(cores, most), most].map((nodes) => [nodes, Math.min(nodes, cores)]);
  return {
    title: {
      text: 'An MPI program on a virtual cluster',
      subtext: `pi by integration, one rank on each node, emulated CPUs on a machine with ${cores} cores: no more than ${cores} times as fast is possible`,
      left: SIDE - 5,
      top: 8,
    },
    legend: { right: SIDE, top: 14, itemGap: 28, itemWidth: 36 },
    grid: { left: SIDE, right: SIDE, top: 96, bottom: 58 },
    xAxis: { type: 'value', name: 'nodes', nameLocation: 'middle', nameGap: 30, min: 1, max: most, interval: 1 },
    yAxis: { type: 'value', name: 'times as fast as one node', nameLocation: 'middle', nameGap: 38, min: 0 },
    series: [
      {
        name: 'measured',
        type: 'line',
        data: measured,
        symbolSize: 10,
        lineStyle: { width: 3 },
        color: VM_COLOURS[0],
        label: {
          show: true,
          position: 'top',
          formatter: ({ dataIndex }) => `${runs[dataIndex]?.seconds.toFixed(2)} s`,
        },
      },
      {
        name: `possible with ${cores} cores`,
        type: 'line',
        data: possible,
        symbol: 'none',
        lineStyle: { type: 'dashed' },
        color: VM_COLOURS[1],
      },
      {
        name: 'as many times as nodes',
        type: 'line',
        data: ideal,
        symbol: 'none',
        lineStyle: { type: 'dotted' },
        color: '#999999',
      },
    ],
  };
}
