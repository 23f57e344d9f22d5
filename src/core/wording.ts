// Numbers and times as the sentences of the trail write them. Not here: the sentences.

/** "75 %", "7.5 %" */
export function percentText(percent: number): string {
  return `${round1(percent)} %`;
}

/** "800 ms", "3 s", "2.5 s", "2 min", "1 min 30 s". Negative counts as zero. */
export function durationText(ms: number): string {
  if (ms <= 0) return '0 s';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${round1(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
}

/** "1 VM", "3 VMs" */
export function vmsText(count: number): string {
  return `${count} ${count === 1 ? 'VM' : 'VMs'}`;
}

/** A size or count with one decimal at most: "3", "2.5". */
export function sizeText(value: number): string {
  return String(round1(value));
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}

/** A value with its unit: "75 %", "12.5 MB/s", "40". */
export function amountText(value: number, unit: '%' | 'MB/s' | ''): string {
  const number = String(Math.abs(value) < 1 ? Math.round(value * 1000) / 1000 : round1(value));
  return unit === '' ? number : `${number} ${unit}`;
}
