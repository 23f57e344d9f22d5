// Whether a VM that exists may grow where it is: what its host has left, said in one sentence. Pure.
// Not here: where a new VM goes (placement), what its owner may have (user).

import type { Amounts } from './model.ts';
import type { Room } from './placement/rooms.ts';
import { sizeText } from './wording.ts';

/** What is in the way of taking this much more on the host; undefined: nothing. What does not grow is not looked at. */
export function growthProblem(room: Room, growth: Amounts, running: boolean): string | undefined {
  const { host, memoryFreeMiB, promised, total, diskFreeGiB } = room;
  const wanted = [
    ['vcpus', 'vCPUs'],
    ['memoryMiB', 'MiB of memory'],
    ['diskGiB', 'GiB of disk'],
  ] as const;
  for (const [part, unit] of wanted) {
    const left = total[part] - promised[part];
    if (growth[part] > 0 && growth[part] > left) {
      return `${sizeText(growth[part])} more ${unit} are asked for, and host ${host} has ${sizeText(Math.max(0, left))} of ${sizeText(total[part])} left to promise`;
    }
  }
  if (running && growth.memoryMiB > Math.max(0, memoryFreeMiB)) {
    return `${growth.memoryMiB} more MiB of memory are asked for, and ${sizeText(Math.max(0, memoryFreeMiB))} MiB of host ${host} are really free`;
  }
  return growth.diskGiB > 0 && diskFreeGiB <= 0 ? `the pool of host ${host} is full` : undefined;
}
