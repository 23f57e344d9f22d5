// Recorded load, and what it is on the clock of a backtest: one mean per step of time, and the VMs it would need.
// Not here: reading it from a file (config/trace-file), who answers it (fleet).

/** Requests per second over time. A row holds from its time to the next row's; the last one as long as the one before it. */
export interface Trace {
  readonly name: string;
  /** Seconds, rising; as many as `rps`, two at least. */
  readonly t: Float64Array;
  /** Mean over the row; 0 or more. */
  readonly rps: Float64Array;
}

/**
 * What the load did within and between rows, of which only the means were kept. `line`: it went straight from the middle of each row
 * to the middle of the next. `steps`: it kept to the mean and then jumped.
 */
export type TraceShape = 'line' | 'steps';

/** What a VM carries, and at which utilisation it should. */
export interface Sizing {
  /** Requests per second that one VM serves when all of it is busy. */
  readonly capacityRps: number;
  /** Percent of a VM's capacity: the utilisation that the service's promise needs. */
  readonly targetPercent: number;
}

/** The load in steps of `stepMs`; shared by all that are played on it. */
export interface SampledLoad {
  readonly name: string;
  readonly stepMs: number;
  /** Mean requests per second within each step. */
  readonly rps: Float64Array;
  /** Least number of VMs whose utilisation is at the target or below, at least one. */
  readonly demand: Int32Array;
  readonly sizing: Sizing;
}

/** Steps that a backtest may have, at the most: a year at 1 s. */
export const MAX_STEPS = 32_000_000;

/** Throws `RangeError` when the trace is longer than MAX_STEPS steps. */
export function sampleLoad(trace: Trace, shape: TraceShape, stepMs: number, sizing: Sizing): SampledLoad {
  const steps = Math.max(1, Math.floor((secondsOf(trace) * 1000) / stepMs + 1e-6));
  if (steps > MAX_STEPS) throw new RangeError(`${steps} steps; at most ${MAX_STEPS} are played`);
  const rps = new Float64Array(steps);
  const corners = shape === 'line' ? lineCorners(trace) : stepCorners(trace);
  const stepS = stepMs / 1000;
  let at = 0;
  let area = 0;
  let before = 0;
  for (let i = 0; i < steps; i += 1) {
    const end = (trace.t[0] ?? 0) + (i + 1) * stepS;
    // Whole stretches that end within this step, then the part of the one that it ends in.
    while (at + 2 < corners.t.length && cornerAt(corners.t, at + 1) <= end) {
      area += stretch(corners, at, cornerAt(corners.t, at + 1));
      at += 1;
    }
    const until = area + stretch(corners, at, end);
    rps[i] = Math.max(0, (until - before) / stepS);
    before = until;
  }
  const demand = new Int32Array(steps);
  for (let i = 0; i < steps; i += 1) demand[i] = demandOf(rps[i] ?? 0, sizing);
  return { name: trace.name, stepMs, rps, demand, sizing };
}

/** VMs that `rps` needs at the target; the sums of floating-point shares are forgiven a billionth. */
export function demandOf(rps: number, { capacityRps, targetPercent }: Sizing): number {
  return Math.max(1, Math.ceil((rps * 100) / (capacityRps * targetPercent) - 1e-9));
}

/** How long a trace is. */
export function secondsOf({ t }: Trace): number {
  const last = t.length - 1;
  return (t[last] ?? 0) - (t[0] ?? 0) + lastWidth(t);
}

/** The largest row. */
export function peakOf({ rps }: Trace): number {
  return rps.reduce((most, value) => Math.max(most, value), 0);
}

function lastWidth(t: Float64Array): number {
  return (t[t.length - 1] ?? 0) - (t[t.length - 2] ?? 0);
}

/** Points that the load goes through on straight lines. */
interface Corners {
  readonly t: Float64Array;
  readonly value: Float64Array;
}

function lineCorners({ t, rps }: Trace): Corners {
  const rows = t.length;
  const corners = { t: new Float64Array(rows + 2), value: new Float64Array(rows + 2) };
  const end = (t[rows - 1] ?? 0) + lastWidth(t);
  for (let i = 0; i < rows; i += 1) {
    corners.t[i + 1] = ((t[i] ?? 0) + (i + 1 < rows ? (t[i + 1] ?? 0) : end)) / 2;
    corners.value[i + 1] = rps[i] ?? 0;
  }
  corners.t[0] = t[0] ?? 0;
  corners.value[0] = rps[0] ?? 0;
  corners.t[rows + 1] = end;
  corners.value[rows + 1] = rps[rows - 1] ?? 0;
  return corners;
}

function stepCorners({ t, rps }: Trace): Corners {
  const rows = t.length;
  const corners = { t: new Float64Array(2 * rows), value: new Float64Array(2 * rows) };
  for (let i = 0; i < rows; i += 1) {
    corners.t[2 * i] = t[i] ?? 0;
    corners.t[2 * i + 1] = i + 1 < rows ? (t[i + 1] ?? 0) : (t[i] ?? 0) + lastWidth(t);
    corners.value[2 * i] = rps[i] ?? 0;
    corners.value[2 * i + 1] = rps[i] ?? 0;
  }
  return corners;
}

/** Requests between corner `at` and the moment `until` on the line to the next corner. */
function stretch({ t, value }: Corners, at: number, until: number): number {
  const from = cornerAt(t, at);
  const width = cornerAt(t, at + 1) - from;
  const length = until - from;
  const first = cornerAt(value, at);
  if (width <= 0) return 0;
  const slope = (cornerAt(value, at + 1) - first) / width;
  return length * (first + (slope * length) / 2);
}

function cornerAt(values: Float64Array, at: number): number {
  return values[at] ?? 0;
}
