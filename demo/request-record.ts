// What is written down of every request: the type, and its line in client.csv. Not here: sending one (ask).

/** `calibrate`: before the story begins, to learn how much one VM can do. The others are the modes of the seed's client. */
export type Mode = 'calibrate' | 'low' | 'high';

export interface RequestRecord {
  /** Wall time when it was sent, ms since 1970. */
  readonly sentAtMs: number;
  /** Name of the VM it was sent to, or that answered behind a balancer. */
  readonly vm: string;
  readonly n: number;
  /** From before connecting until the whole answer was there. */
  readonly latencyMs: number;
  /** The HTTP status, or what went wrong in one word. */
  readonly status: string;
  readonly mode: Mode;
}

/** Answered with 200, the right number, and by the VM it was sent to, where it was sent to one. */
export function succeeded(record: RequestRecord): boolean {
  return record.status === '200';
}

export const CSV_HEADER = 'time,vm,n,latency_ms,status,mode\n';

export function csvLine(record: RequestRecord): string {
  const time = new Date(record.sentAtMs).toISOString();
  return `${time},${record.vm},${record.n},${record.latencyMs.toFixed(2)},${record.status},${record.mode}\n`;
}
