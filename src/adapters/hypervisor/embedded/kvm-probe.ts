// Finds out whether guests really run under KVM here. /dev/kvm may exist and open, libvirt may list it, and yet every
// guest hangs or QEMU aborts (nested virtualisation, broken hosts): only a guest that ran is proof.
import { spawn } from 'node:child_process';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bootSector, DEBUG_EXIT_PORT, RAN_STATUS } from '../boot-sector.ts';
import { type Account, commandAs } from './account.ts';
import { SingleFlight } from './single-flight.ts';

export interface AccelVerdict {
  readonly accel: 'kvm' | 'qemu';
  /** Why, in words for people. */
  readonly reason: string;
}

export interface KvmProbeOptions {
  readonly qemu: string;
  readonly qemuVersion: string;
  readonly account: Account | undefined;
  /** Where the boot sector and the verdict are kept; the account can read it. */
  readonly dir: string;
  readonly signal?: AbortSignal | undefined;
}

interface Outcome {
  readonly ran: boolean;
  readonly ms: number;
  readonly how: string;
}

const KVM_LIMIT_MS = 2_000;
const CONTROL_LIMIT_MS = 15_000;
const STDERR_BYTES = 300;

async function runProgram(command: readonly [string, ...string[]], limitMs: number, signal?: AbortSignal) {
  const started = performance.now();
  const [program, ...args] = command;
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
  });
  let said = '';
  let late = false;
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(0, STDERR_BYTES);
  });
  const kill = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, limitMs);
  signal?.addEventListener('abort', kill, { once: true });
  const status = await new Promise<number | undefined>((resolve) => {
    child.once('error', () => resolve(undefined));
    child.once('close', (code) => resolve(code ?? undefined));
  });
  clearTimeout(timer);
  signal?.removeEventListener('abort', kill);
  signal?.throwIfAborted();
  return { status, late, said: said.trim().split('\n')[0] ?? '', ms: performance.now() - started };
}

async function bootOnce(
  { qemu, account, signal }: KvmProbeOptions,
  floppy: string,
  accel: 'kvm' | 'tcg',
  limitMs: number,
): Promise<Outcome> {
  const machine = ['-nodefaults', '-no-user-config', '-display', 'none', '-m', '16', '-no-reboot'];
  const cpu = accel === 'kvm' ? ['-cpu', 'host'] : [];
  const exit = ['-device', `isa-debug-exit,iobase=${DEBUG_EXIT_PORT},iosize=1`];
  const disk = ['-drive', `if=floppy,format=raw,readonly=on,file=${floppy}`, '-boot', 'a'];
  const command = [...machine, '-machine', `pc,accel=${accel}`, ...cpu, ...exit, ...disk];
  const { status, late, said, ms } = await runProgram(await commandAs(account, [qemu, ...command]), limitMs, signal);
  const how = late ? `did not finish in ${(limitMs / 1000).toFixed(0)} s` : `QEMU ended: ${said || `status ${status}`}`;
  return { ran: status === RAN_STATUS, ms, how };
}

async function probe(options: KvmProbeOptions): Promise<AccelVerdict & { readonly lasting: boolean }> {
  const { account, dir, signal } = options;
  const present = await access('/dev/kvm').then(
    () => true,
    () => false,
  );
  if (!present) return { accel: 'qemu', reason: 'this machine has no /dev/kvm', lasting: false };
  const mayOpen = await runProgram(
    await commandAs(account, ['test', '-r', '/dev/kvm', '-a', '-w', '/dev/kvm']),
    5_000,
    signal,
  );
  if (mayOpen.status !== 0) {
    const who = account ? `the account '${account.user}'` : 'this user';
    return { accel: 'qemu', reason: `${who} may not open /dev/kvm`, lasting: false };
  }
  const floppy = join(dir, 'probe.img');
  await writeFile(floppy, bootSector(), { mode: 0o644 });
  // The control tells a broken KVM from a machine that is merely slow, or a QEMU that cannot start at all.
  const control = await bootOnce(options, floppy, 'tcg', CONTROL_LIMIT_MS);
  if (!control.ran) {
    return {
      accel: 'qemu',
      reason: `KVM was not tried: the probe failed under emulation too (${control.how})`,
      lasting: false,
    };
  }
  const kvm = await bootOnce(options, floppy, 'kvm', Math.max(KVM_LIMIT_MS, 4 * control.ms));
  return kvm.ran
    ? { accel: 'kvm', reason: `a probe guest ran under KVM in ${kvm.ms.toFixed(0)} ms`, lasting: true }
    : {
        accel: 'qemu',
        reason: `/dev/kvm is there, but a probe guest does not run under it (${kvm.how})`,
        lasting: true,
      };
}

/** Hosts that come up together ask the same question: one probe answers it. */
const probing = new SingleFlight<AccelVerdict & { readonly lasting: boolean }>();

/** The accelerator for guests of `account`. A verdict that cost a probe is kept until the machine or QEMU changes. */
export async function probeKvm(options: KvmProbeOptions): Promise<AccelVerdict> {
  const file = join(options.dir, 'accel.json');
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  const key = `${bootId} ${options.qemuVersion} ${options.account?.uid ?? process.getuid?.() ?? 0}`;
  try {
    const kept = JSON.parse(await readFile(file, 'utf8')) as { key?: unknown; accel?: unknown; reason?: unknown };
    if (kept.key === key && (kept.accel === 'kvm' || kept.accel === 'qemu') && typeof kept.reason === 'string') {
      return { accel: kept.accel, reason: kept.reason };
    }
  } catch {
    // None yet, or unreadable: probe.
  }
  const { lasting, ...verdict } = await probing.run(`${options.qemu} ${key}`, options.signal, (signal) =>
    probe({ ...options, signal }),
  );
  if (lasting) await writeFile(file, `${JSON.stringify({ key, ...verdict })}\n`);
  return verdict;
}
