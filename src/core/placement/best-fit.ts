// Placement `best-fit`: the host that has the least left over once it has the VM, so that large gaps stay for large VMs. What is left
// over of a host is the largest of its shares (vCPUs, memory, disk) of which the VM needs something.

import type { Amounts } from '../model.ts';
import { bestOf } from './best-of.ts';
import type { Candidate, Placement } from './placement.ts';
import { share } from './promised-share.ts';

export const bestFit: Placement = {
  choose: (candidates, { need }) =>
    bestOf(candidates, (a, b) => leftOver(a, need) - leftOver(b, need) || a.index - b.index),
};

function leftOver({ total, free }: Candidate, need: Amounts): number {
  return Math.max(
    need.vcpus > 0 ? share(free.vcpus - need.vcpus, total.vcpus) : 0,
    need.memoryMiB > 0 ? share(free.memoryMiB - need.memoryMiB, total.memoryMiB) : 0,
    need.diskGiB > 0 ? share(free.diskGiB - need.diskGiB, total.diskGiB) : 0,
  );
}
