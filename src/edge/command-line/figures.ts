// Figures as tables show them.

export function percent(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(0)} %`;
}

/** From MiB. */
export function gib(mib: number): string {
  return (mib / 1024).toFixed(1);
}

/** From bytes, in the unit that leaves few digits. */
export function bytes(count: number): string {
  const kib = count / 1024;
  if (kib < 1024) return `${kib.toFixed(kib < 10 ? 1 : 0)} KiB`;
  const mib = kib / 1024;
  return `${mib.toFixed(mib < 10 ? 1 : 0)} MiB`;
}

/** `m:ss` */
export function elapsed(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
