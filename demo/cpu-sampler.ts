// Reads each VM's CPU from the daemon once a second, for the plot and the line on the terminal.
// It belongs to the demo's runner; the load client knows nothing of it.

import type { DaemonApi } from './daemon-api.ts';
import type { CpuSample } from './plots/cpu-plot.ts';

const SAMPLE_MS = 1000;

export class CpuSampler {
  readonly #api: DaemonApi;
  readonly #samples: CpuSample[] = [];
  #timer: NodeJS.Timeout | undefined;
  #latest: readonly CpuSample[] = [];

  constructor(api: DaemonApi) {
    this.#api = api;
  }

  get samples(): readonly CpuSample[] {
    return this.#samples;
  }

  /** e.g. `web-1 97 %, web-2 64 %` */
  get text(): string {
    return this.#latest.map(({ vm, percent }) => `${vm} ${percent.toFixed(0)} %`).join(', ') || 'not measured yet';
  }

  start(): void {
    this.#timer = setInterval(() => void this.#sample(), SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #sample(): Promise<void> {
    // A missed sample is a gap in the line, no more.
    const vms = await this.#api.vms().catch(() => undefined);
    if (vms === undefined) return;
    const atMs = Date.now();
    this.#latest = vms.flatMap(({ name, cpuPercent }) =>
      cpuPercent === undefined ? [] : [{ atMs, vm: name, percent: Math.min(100, cpuPercent) }],
    );
    this.#samples.push(...this.#latest);
  }
}
