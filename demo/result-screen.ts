// The one screen at the end of the demo. Pure text. Not here: the numbers themselves (summary).

import { relative } from 'node:path';
import { styleText } from 'node:util';
import { OUTPUT_FILES } from './output-folder.ts';
import type { Percentiles, Summary, Verdict } from './summary.ts';

export function resultScreen(verdict: Verdict, failure: unknown, out: string): string {
  const { summary, problems } = verdict;
  const { scaleOut, scaleIn, responseMs, requests, events } = summary;
  const rows: readonly (readonly [string, string])[] = [
    ['host', `libvirt ${summary.libvirt ?? '?'}, QEMU ${summary.qemu ?? '?'}, ${accelText(summary.accel)}`],
    [
      'scale-out',
      `CPU above ${summary.threshold} % → decision ${ms(scaleOut.decideMs)} → VM answers ${ms(scaleOut.launchMs)}`,
    ],
    ['scale-in', `decided ${clock(scaleIn.decidedAt)}, removed ${clock(scaleIn.removedAt)}`],
    ['requests', `${requests.total}, of which ${requests.failed} failed`],
    ['response, low load', percentiles(responseMs.low)],
    ['response, one VM', percentiles(responseMs.overloaded)],
    ['response, two VMs', percentiles(responseMs.scaledOut)],
    ...(summary.haproxy ? [['HAProxy', frontText(summary.haproxy)] as const] : []),
    ['events', `${events.total}, ${events.gaps} gaps`],
    ...(summary.replayed === null ? [] : [['replay', summary.replayed] as const]),
    ['files', `${relative(process.cwd(), out) || '.'}/ ${OUTPUT_FILES.join(' ')}`],
  ];
  const told = [...(failure === undefined ? [] : [errorText(failure)]), ...problems];
  const good = summary.ok && failure === undefined;
  const verdictLine = good
    ? styleText('green', 'The VM came, served, and went; no request failed.')
    : styleText('red', `It did not work out:\n${told.map((text) => `  - ${text}`).join('\n')}`);
  return ['', ...rows.map(([name, text]) => `${name.padEnd(20)}${text}`), '', verdictLine].join('\n');
}

function frontText({
  killed,
  noticedMs,
  redispatches,
  replacedMs,
  retries,
  version,
}: NonNullable<Summary['haproxy']>): string {
  const kill = `${killed ?? 'nobody'} killed by hand → noticed ${ms(noticedMs)} → replaced ${ms(replacedMs)}`;
  return `${version ?? '?'}: ${kill}; ${retries ?? '?'} retries, ${redispatches ?? '?'} requests sent to another VM`;
}

function accelText(accel: string | null): string {
  return accel === 'kvm' ? 'KVM' : accel === null ? '?' : 'emulated (no working KVM here)';
}

function ms(value: number | null): string {
  return value === null ? '(never)' : `${(value / 1000).toFixed(1)} s`;
}

function clock(at: string | null): string {
  return at === null ? '(never)' : at.slice(11, 19);
}

function percentiles({ p50, p95 }: Percentiles): string {
  return p50 === null || p95 === null ? '(none)' : `median ${p50.toFixed(1)} ms, 95 % within ${p95.toFixed(1)} ms`;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
