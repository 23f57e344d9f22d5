// VMs that a load needs, rounded up; sums of floating-point shares are forgiven a billionth.

export function roundedUp(vms: number): number {
  return Math.ceil(vms - 1e-9);
}
