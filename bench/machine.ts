// What the figures were measured on. Figures of different machines do not compare.

import { execFile } from 'node:child_process';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly libvirt: string;
  readonly qemu: string;
  /** Load average over a minute when the benchmark began: above 0 something else ran too. */
  readonly loadBefore: number;
}

export async function describeMachine(): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    libvirt: await firstVersion('libvirtd'),
    qemu: await firstVersion('qemu-system-x86_64'),
    loadBefore: loadavg()[0] ?? 0,
  };
}

async function firstVersion(program: string): Promise<string> {
  const { stdout } = await run(program, ['--version']);
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? 'unknown';
}
