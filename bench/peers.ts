// What virtscale's polling is compared with: libvirt-python in a loop, and one scrape of Debian's libvirt exporter.
// Not here: virtscale's own polling (poll-bench).

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../demo/daemon-process.ts';

const run = promisify(execFile);
const INSTALL_TIMEOUT_MS = 180_000;
const START_TIMEOUT_MS = 15_000;
const POLL_TIMEOUT_MS = 30_000;

export interface Peer {
  readonly name: string;
  /** Polls once; how long it took, ms. Rejects when it did not see `domains` domains. */
  poll(domains: number): Promise<number>;
  stop(): Promise<void>;
}

/** Installs Debian packages that are missing; says so. Returns false when that cannot be done here. */
export async function installPackages(packages: readonly string[]): Promise<boolean> {
  const missing: string[] = [];
  for (const name of packages) {
    const { stdout } = await run('dpkg-query', ['-s', name]).catch(() => ({ stdout: '' }));
    if (!stdout.includes('Status: install ok installed')) missing.push(name);
  }
  if (missing.length === 0) return true;
  console.log(`installing ${missing.join(' ')} to compare with`);
  const root = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const [command = '', ...args] = [...root, 'apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run(command, args, { timeout: INSTALL_TIMEOUT_MS, env });
    return true;
  } catch (error) {
    console.log(`  could not be installed: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    return false;
  }
}

export async function pythonPeer(uri: string): Promise<Peer> {
  const script = join(import.meta.dirname, 'peer-poll.py');
  // Debian's own Python: another one in PATH would not see Debian's libvirt module.
  const child = spawn('/usr/bin/python3', [script, uri], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name: 'libvirt-python, listAllDomains and info() in a loop',
    async poll(domains) {
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      if (done) throw new Error('the Python peer ended');
      const [ms = Number.NaN, count = 0] = value.split(' ').map(Number);
      expectDomains('the Python peer', count, domains);
      return ms;
    },
    stop: () => stopChild(child),
  };
}

export async function exporterPeer(uri: string): Promise<Peer> {
  const address = `127.0.0.1:${await freePort()}`;
  const args = [`--libvirt.uri=${uri}`, `--web.listen-address=${address}`];
  const child = spawn('/usr/bin/prometheus-libvirt-exporter', args, { stdio: 'ignore' });
  const failed = once(child, 'error').then(([error]) => Promise.reject(error));
  const scrape = async () => {
    const response = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(POLL_TIMEOUT_MS) });
    return await response.text();
  };
  const endMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const up = await Promise.race([
      scrape().then(
        () => true,
        () => false,
      ),
      failed,
    ]);
    if (up === true) break;
    if (performance.now() > endMs) throw new Error('the exporter does not answer');
    await sleep(100);
  }
  return {
    name: 'one scrape of prometheus-libvirt-exporter',
    async poll(domains) {
      const startedMs = performance.now();
      const text = await scrape();
      const tookMs = performance.now() - startedMs;
      expectDomains(
        'the exporter',
        text.match(/^libvirt_domain_info_cpu_time_seconds_total\{/gm)?.length ?? 0,
        domains,
      );
      return tookMs;
    },
    stop: () => stopChild(child),
  };
}

function expectDomains(who: string, seen: number, wanted: number): void {
  if (seen !== wanted) throw new Error(`${who} saw ${seen} domains instead of ${wanted}`);
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
