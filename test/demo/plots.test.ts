import { inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpuPlot, cpuSeries } from '../../demo/plots/cpu-plot.ts';
import { placeInRows } from '../../demo/plots/marks.ts';
import { renderPng, renderSvg } from '../../demo/plots/render.ts';
import { modeRuns, numberedRequests, responseTimePlot } from '../../demo/plots/response-time-plot.ts';
import { csvLine, type RequestRecord } from '../../demo/request-record.ts';
import { timelineOf } from '../../demo/timeline.ts';
import { at, storyEvents } from './story-events.ts';

const zeroMs = Date.parse(at(0));
const request = (s: number, mode: RequestRecord['mode'], vm = 'web-1'): RequestRecord => ({
  sentAtMs: zeroMs + s * 1000,
  vm,
  n: 28,
  latencyMs: 10 * s,
  status: '200',
  mode,
});

describe('labels above the CPU plot', () => {
  const mark = fc.record({ at: fc.double({ min: 0, max: 100, noNaN: true }), label: fc.string({ maxLength: 20 }) });

  it('never overlap within a row', () => {
    fc.assert(
      fc.property(fc.array(mark, { maxLength: 12 }), (marks) => {
        const placed = placeInRows(marks, (label) => label.length);
        expect(placed).toHaveLength(marks.length);
        for (const a of placed) {
          for (const b of placed) {
            if (a === b || a.row !== b.row) continue;
            const apart = Math.abs(a.at - b.at) + 1e-9;
            expect(apart).toBeGreaterThanOrEqual((a.label.length + b.label.length) / 2);
          }
        }
      }),
    );
  });

  it('stay in the lowest row where there is room', () => {
    const placed = placeInRows(
      [
        { at: 0, label: 'a' },
        { at: 50, label: 'b' },
      ],
      () => 10,
    );
    expect(placed.map((m) => m.row)).toEqual([0, 0]);
  });
});

describe('the CPU series', () => {
  it('is one line per VM, in seconds, broken where nothing was measured', () => {
    const samples = [
      { atMs: zeroMs, vm: 'web-1', percent: 5 },
      { atMs: zeroMs + 1000, vm: 'web-2', percent: 50 },
      { atMs: zeroMs + 1000, vm: 'web-1', percent: 90 },
      { atMs: zeroMs + 9000, vm: 'web-1', percent: 7 },
    ];
    expect(cpuSeries(samples, zeroMs)).toEqual([
      {
        vm: 'web-1',
        points: [
          [0, 5],
          [1, 90],
          [1, null],
          [9, 7],
        ],
      },
      { vm: 'web-2', points: [[1, 50]] },
    ]);
  });
});

describe('the requests in the plot', () => {
  it('are numbered in the order of sending, without the calibration', () => {
    const numbered = numberedRequests([request(3, 'high'), request(1, 'calibrate'), request(2, 'low')]);
    expect(numbered.map(({ number, mode }) => [number, mode])).toEqual([
      [1, 'low'],
      [2, 'high'],
    ]);
  });

  it('form stretches of one mode', () => {
    const numbered = numberedRequests([request(1, 'low'), request(2, 'low'), request(3, 'high'), request(4, 'low')]);
    expect(modeRuns(numbered)).toEqual([
      { mode: 'low', from: 1, to: 2 },
      { mode: 'high', from: 3, to: 3 },
      { mode: 'low', from: 4, to: 4 },
    ]);
  });

  it('are one line each in client.csv', () => {
    expect(csvLine(request(1, 'low'))).toBe('2026-01-02T03:04:01.000Z,web-1,28,10.00,200,low\n');
  });
});

describe('the pictures', () => {
  const timeline = timelineOf(storyEvents());
  const cpu = cpuPlot({
    samples: [
      { atMs: zeroMs + 4000, vm: 'web-1', percent: 97 },
      { atMs: zeroMs + 18_000, vm: 'web-2', percent: 60 },
    ],
    timeline,
    spans: [{ name: 'high', fromMs: zeroMs + 3000, toMs: zeroMs + 20_000 }],
    outPercent: 75,
    inPercent: 20,
    machine: 'libvirt 9',
  });
  const response = responseTimePlot({
    requests: [
      request(6, 'low'),
      request(12, 'high'),
      request(20, 'high', 'web-2'),
      { ...request(21, 'high'), status: 'timeout' },
    ],
    arrival: { atMs: zeroMs + 17_000, vm: 'web-2' },
    machine: 'libvirt 9',
  });

  it('show the VMs, the threshold, the moments and the axes', () => {
    const svg = renderSvg(cpu);
    for (const text of [
      'web-1',
      'web-2',
      '&gt; 75 %',
      'crossed',
      'decided: +1',
      'web-2 ready',
      'web-2 draining',
      'web-2 removed',
      'CPU, %',
    ]) {
      expect(svg).toContain(text);
    }
  });

  it('show which requests failed and when the second VM came', () => {
    const svg = renderSvg(response);
    for (const text of ['web-1', 'web-2', 'failed', 'web-2 is there', 'response time, ms']) expect(svg).toContain(text);
  });

  it('can be drawn of a story that ended before anything happened', () => {
    expect(
      renderSvg(cpuPlot({ samples: [], timeline: {}, spans: [], outPercent: 75, inPercent: 20, machine: '' })),
    ).toContain('<svg');
    expect(renderSvg(responseTimePlot({ requests: [], machine: '' }))).toContain('<svg');
  });

  it('have letters in the PNG, whatever fonts the machine has', () => {
    const picture = (text: string) =>
      renderPng(
        `<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><text y="15" font-family="nowhere">${text}</text></svg>`,
      );
    expect(darkBytes(picture('CPU'))).toBeGreaterThan(darkBytes(picture('')) + 50);
  });
});

/** Bytes other than 0 in the pixels of a PNG. */
function darkBytes(png: Uint8Array): number {
  const file = Buffer.from(png);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  return inflateSync(Buffer.concat(parts)).filter((byte) => byte !== 0).length;
}
