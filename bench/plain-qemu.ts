// The floor under launch-cold-clone: the same guest started with QEMU alone, no libvirt and no virtscale, until it answers.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../demo/daemon-process.ts';
import type { GuestImage } from '../guest/build.d.mts';

const PROBE_TIMEOUT_MS = 150;
const PROBE_PAUSE_MS = 10;
const PATIENCE_MS = 60_000;

/** Milliseconds from starting QEMU to the first HTTP 200. The QEMU is gone afterwards. */
export async function bootPlainQemu(image: GuestImage, accel: 'kvm' | 'qemu'): Promise<number> {
  const port = await freePort();
  const startedMs = performance.now();
  const child = spawn('qemu-system-x86_64', argumentsFor(image, accel, port), { stdio: 'ignore' });
  try {
    while (performance.now() - startedMs < PATIENCE_MS) {
      if (await answers(port)) return performance.now() - startedMs;
      if (child.exitCode !== null) throw new Error(`QEMU ended with status ${child.exitCode}`);
      await sleep(PROBE_PAUSE_MS);
    }
    throw new Error(`plain QEMU did not answer within ${PATIENCE_MS / 1000} s`);
  } finally {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

function argumentsFor(image: GuestImage, accel: 'kvm' | 'qemu', port: number): readonly string[] {
  return [
    ...['-accel', accel === 'kvm' ? 'kvm' : 'tcg', '-machine', 'q35', '-m', '128', '-smp', '1'],
    ...['-nodefaults', '-display', 'none'],
    ...['-kernel', join(image.dir, image.kernel), '-initrd', join(image.dir, image.initrd)],
    ...['-append', `${image.kernelArgs} ${image.userNetworkArgs}`],
    ...['-drive', `file=${join(image.dir, image.disk)},if=virtio,snapshot=on`],
    ...['-netdev', `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:${image.httpPort}`],
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
  ];
}

async function answers(port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    return (await fetch(`http://127.0.0.1:${port}/`, { signal })).ok;
  } catch {
    return false;
  }
}
