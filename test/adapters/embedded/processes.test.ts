import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { endProcess, isRunning, processesWith } from '../../../src/adapters/hypervisor/embedded/processes.ts';

const start = (script: string, mark: string) =>
  spawn(process.execPath, ['-e', `${script}; setInterval(() => {}, 1000); console.log('up')`, mark], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });

describe('processes', () => {
  it('knows a process by its arguments, not by its pid alone', async () => {
    const child = start('', 'mark-one');
    await once(child.stdout, 'data');
    const pid = child.pid ?? 0;
    expect(await isRunning(pid, 'mark-one')).toBe(true);
    expect(await isRunning(pid, 'mark-two')).toBe(false);
    expect((await processesWith('mark-one')).map((found) => found.pid)).toContain(pid);
    expect(await endProcess(pid, 'mark-two', 100)).toBe(true); // another one has that pid: let be
    expect(await isRunning(pid, 'mark-one')).toBe(true);
    expect(await endProcess(pid, 'mark-one', 2_000)).toBe(true);
    expect(await isRunning(pid, 'mark-one')).toBe(false);
  });

  it('ends what ignores SIGTERM, and what is stopped', async () => {
    const child = start("process.on('SIGTERM', () => {})", 'mark-three');
    await once(child.stdout, 'data');
    const pid = child.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    expect(await endProcess(pid, 'mark-three', 200)).toBe(true);
    expect(await isRunning(pid, 'mark-three')).toBe(false);
  });
});
