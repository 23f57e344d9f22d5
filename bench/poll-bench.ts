// poll-100-domains, poll-client-cpu, daemon-rss-100-domains: an embedded host with 100 paused, tiny domains.
// Not here: VMs that are launched and loaded (live-bench).

import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DaemonApi } from '../demo/daemon-api.ts';
import { freePort, startDaemon } from '../demo/daemon-process.ts';
import { serveArguments, writeDemoFiles } from '../demo/demo-config.ts';
import { SystemClock } from '../src/adapters/clock/system-clock.ts';
import type { EmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import { LibvirtHypervisor } from '../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { startHostWithDomains } from './hundred-domains.ts';
import { exporterPeer, installPackages, type Peer, pythonPeer } from './peers.ts';
import { median, type Row, rowOf } from './row.ts';

const run = promisify(execFile);

const DOMAINS = 100;
const WARM_UP_ROUNDS = 10;
const ROUNDS = 50;
const ROUND_PAUSE_MS = 50;
const POLL_PATIENCE_MS = 30_000;
const PATIENCE_MS = 60_000;
const IDLE_MS = 20_000;
const RSS_SAMPLES = 10;
const BYTES_PER_MB = 1e6;

export async function pollBench(): Promise<readonly Row[]> {
  const files = await writeDemoFiles();
  try {
    console.log(`  starting ${DOMAINS} paused domains`);
    const host = await startHostWithDomains(files.hostDir, DOMAINS);
    try {
      return [...(await polls(host)), await daemonRss(host)];
    } finally {
      await host.stopAll();
    }
  } finally {
    await rm(files.folder, { recursive: true, force: true });
  }
}

/** All ways in turn, so that whatever else the machine does meets each of them. */
async function polls(host: EmbeddedHost): Promise<readonly Row[]> {
  const peers = await startPeers(host.uri);
  const hypervisor = hypervisorOf(host);
  const took: number[] = [];
  const cpu: number[] = [];
  const peersTook = new Map(peers.map((peer): [string, number[]] => [peer.name, []]));
  try {
    for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round += 1) {
      const own = await pollOnce(hypervisor);
      const others: [string, number][] = [];
      for (const peer of peers) others.push([peer.name, await peer.poll(DOMAINS)]);
      await sleep(ROUND_PAUSE_MS);
      if (round < WARM_UP_ROUNDS) continue;
      took.push(own.tookMs);
      cpu.push(own.cpuMs);
      for (const [name, ms] of others) peersTook.get(name)?.push(ms);
    }
  } finally {
    await hypervisor.close();
    for (const peer of peers) await peer.stop();
  }
  const baselines = [...peersTook].map(([name, times]) => ({ name, ms: median(times) }));
  const hardest = baselines.length === 0 ? undefined : Math.min(...baselines.map(({ ms }) => ms));
  const compared = baselines.map(({ name, ms }) => `${name}: ${ms.toFixed(1)} ms`).join('; ');
  return [
    rowOf({
      name: 'poll-100-domains',
      unit: 'ms',
      values: took,
      ...(hardest !== undefined && { baseline: hardest }),
      goal: { of: 'ratio', atMost: 0.5 },
      note: `observe() of the libvirt adapter, in turn with: ${compared || 'nothing (no peer could be installed)'}; the baseline is the quickest of them`,
    }),
    rowOf({
      name: 'poll-client-cpu',
      unit: 'ms',
      values: cpu,
      note: 'CPU time of this process, user and system, during one such poll',
    }),
  ];
}

async function startPeers(uri: string): Promise<readonly Peer[]> {
  const peers: Peer[] = [];
  if (await installPackages(['python3-libvirt'])) peers.push(await pythonPeer(uri));
  if (await installPackages(['prometheus-libvirt-exporter'])) peers.push(await exporterPeer(uri));
  return peers;
}

function hypervisorOf(host: EmbeddedHost): LibvirtHypervisor {
  return new LibvirtHypervisor({
    host: host.name,
    uri: host.uri,
    clock: new SystemClock(),
    pool: { name: 'bench', path: host.poolDir },
    network: { kind: 'forward', addressPrefix: '127.0.9', port: 8080 },
    accel: { kind: host.accel, reason: host.accelReason },
  });
}

async function pollOnce(hypervisor: LibvirtHypervisor): Promise<{ readonly tookMs: number; readonly cpuMs: number }> {
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  const { domains } = await hypervisor.observe(AbortSignal.timeout(POLL_PATIENCE_MS));
  const tookMs = performance.now() - startedMs;
  const cpu = process.cpuUsage(cpuBefore);
  const counted = domains.filter((domain) => domain.cpuTimeNs !== undefined).length;
  if (counted !== DOMAINS) throw new Error(`a poll counted ${counted} domains instead of ${DOMAINS}`);
  return { tookMs, cpuMs: (cpu.user + cpu.system) / 1000 };
}

async function daemonRss(host: EmbeddedHost): Promise<Row> {
  const config = `hosts:\n  - { name: bench, uri: "${host.uri}", pool: { name: bench, path: "${host.poolDir}" } }\n`;
  const files = await writeDemoFiles({ config });
  const port = await freePort();
  const logs = { log: join(files.folder, 'log.ndjson'), errors: join(files.folder, 'stderr.txt') };
  const daemon = await startDaemon(serveArguments(files, port), logs, await buildInstalledForm());
  try {
    const api = new DaemonApi(`http://127.0.0.1:${port}`);
    const ended = new AbortController();
    void daemon.ended.then((how) => ended.abort(new Error(how)));
    await api.ready(PATIENCE_MS, ended.signal);
    await sleep(IDLE_MS);
    const seen = (await api.hosts())[0]?.domainCount;
    if (seen !== DOMAINS) throw new Error(`the daemon sees ${seen} domains instead of ${DOMAINS}`);
    const values: number[] = [];
    for (let i = 0; i < RSS_SAMPLES; i += 1) {
      values.push(await rssMb(daemon.pid));
      await sleep(1000);
    }
    return rowOf({
      name: 'daemon-rss-100-domains',
      unit: 'MB',
      values,
      goal: { of: 'p50', atMost: 120 },
      note: `resident memory of the compiled daemon, started as its package's bin, polling each second, ${IDLE_MS / 1000} s after its start; 1 MB is 10^6 bytes`,
    });
  } finally {
    await daemon.stop();
    await rm(files.folder, { recursive: true, force: true });
  }
}

/** Compiles to dist/ as for installing; returns the program with the arguments that its first line gives to node. */
async function buildInstalledForm(): Promise<readonly [string, ...string[]]> {
  const root = join(import.meta.dirname, '..');
  const program = join(root, 'dist', 'cli.js');
  await run(join(root, 'node_modules', '.bin', 'tsc'), ['-p', join(root, 'tsconfig.build.json')]);
  const firstLine = /^#!\S+ (?:-S )?node(.*)/.exec(await readFile(program, 'utf8'));
  return [process.execPath, ...(firstLine?.[1]?.trim().split(/\s+/).filter(Boolean) ?? []), program];
}

async function rssMb(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kib) * 1024) / BYTES_PER_MB;
}
