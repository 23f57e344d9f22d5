// Finds disks of ours that nothing refers to: what an interrupted creation can leave although its intent was cleaned up; and has
// the images on hosts looked after.
// Careful on purpose: only names this daemon once gave, only on an up host, only when seen unused twice in a row.

import type { Clock } from '../ports/clock.ts';
import type { HostWatch } from './host-watch.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';

export interface SweepOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly hosts: readonly HostWatch[];
  readonly log: Log;
  readonly groups: () => readonly string[];
  /** Looks after images on hosts, after the disks. */
  readonly images: () => Promise<void>;
}

const SWEEP_EVERY_MS = 60_000;
const SWEEP_DEADLINE_MS = 20_000;

export class Sweep {
  readonly #options: SweepOptions;
  /** host/disk names that were unused at the last sweep. */
  #suspects = new Set<string>();

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, hosts, log } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(SWEEP_EVERY_MS, signal);
      const suspects = new Set<string>();
      for (const host of hosts) {
        if (signal.aborted) return;
        if (host.view().state !== 'up') continue;
        try {
          await clock.deadline(SWEEP_DEADLINE_MS, (inner) => this.#sweepHost(host, suspects, inner), signal);
        } catch (error) {
          log.debug({ err: error, host: host.name }, 'looking for leftover disks failed; it is tried again later');
        }
      }
      this.#suspects = suspects;
      await this.#options.images();
    }
  }

  async #sweepHost(host: HostWatch, suspects: Set<string>, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    for (const name of await host.hypervisor.listDisks(signal)) {
      if (!this.#isLeftover(host, name)) continue;
      const key = `${host.name}/${name}`;
      if (!this.#suspects.has(key)) {
        suspects.add(key);
        continue;
      }
      await host.hypervisor.deleteDisk(name, signal);
      log.warn({ host: host.name, disk: name }, 'deleted a leftover disk: no VM, no record and no domain refers to it');
    }
  }

  #isLeftover(host: HostWatch, name: string): boolean {
    const { ledger, groups } = this.#options;
    const group = groups().find((g) => name.startsWith(`${g}-`) && /^\d+$/.test(name.slice(g.length + 1)));
    if (group === undefined) return false;
    const id = Number(name.slice(group.length + 1));
    if (id >= ledger.state.nextVmId) return false;
    if ([...ledger.state.vms.values()].some((vm) => vm.name === name)) return false;
    const view = host.view();
    return view.state === 'up' && !view.last?.domains.some((domain) => domain.name === name);
  }
}
