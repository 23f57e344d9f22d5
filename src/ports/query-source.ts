// Port: a number from a monitoring system (Prometheus). Throws only `Fault`.

export interface QuerySource {
  /** The query's value now. An empty answer is a `Fault` (`gone`); more than one series, or something that is no number, is `refused`. */
  value(query: string, signal: AbortSignal): Promise<{ readonly value: number; readonly ageMs: number }>;
}
