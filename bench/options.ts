// What every benchmark with processes of its own is given. Not here: the command line (main).

export interface BenchOptions {
  /** Tells what is going on during long work. */
  readonly say: (line: string) => void;
  /** Aborts when the user wants an end: what runs is then ended and removed. */
  readonly signal: AbortSignal;
  /** How long to measure, where that is what is chosen. Absent: each benchmark's own. */
  readonly seconds?: number;
}
