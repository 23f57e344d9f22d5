// The group's CPU as rules see it: the mean over its VMs in service, with what missing data is taken for.
// Not here: one VM's usage (series).

/** Fresh data of the VMs in service. */
export interface GroupCpu {
  readonly inService: number;
  /** Those of them with fresh data. */
  readonly measured: number;
  /** Sum of their percents. */
  readonly sumPercent: number;
  /** Since when the mean has been what it is: the beginning of the interval measured last; absent without data. */
  readonly sinceMs?: number;
}

/** Mean of the VMs that have data; undefined when none has. */
export function measuredMean({ measured, sumPercent }: GroupCpu): number | undefined {
  return measured === 0 ? undefined : sumPercent / measured;
}

/**
 * Mean with every VM without data counted against scaling: as idle for an `out` rule, as fully busy for an `in` rule
 * (the rule of Kubernetes' HPA). Undefined when no VM has data.
 */
export function cautiousMean(cpu: GroupCpu, direction: 'out' | 'in'): number | undefined {
  if (cpu.measured === 0) return undefined;
  const assumed = direction === 'in' ? 100 * (cpu.inService - cpu.measured) : 0;
  return (cpu.sumPercent + assumed) / cpu.inService;
}
