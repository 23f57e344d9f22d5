// Port: time. The engine waits and measures through this alone, so that a simulation can be its clock.

export interface Clock {
  /**
   * Engine time in ms: never goes back while the process lives, and starts at the wall clock's value, so that stored
   * times compare across restarts. A step of the wall clock does not move it.
   */
  nowMs(): number;
  /** Wall time as RFC 3339 in UTC with milliseconds: for people, events and logs; never compared. */
  wall(): string;
  /** RFC 3339 of an engine time, for events that speak of another moment. */
  wallOf(engineMs: number): string;
  /** Resolves after `ms`; earlier, without an error, when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs `work` with a signal that aborts after `ms` (or with `signal`). Rejects with a `Fault` of kind `timed-out` at the deadline, or `aborted` when `signal` aborts, even when `work` does not settle. */
  deadline<T>(ms: number, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T>;
}
