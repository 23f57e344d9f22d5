// The daemon over simulated hosts, as a program of its own: the real engine, store, app and socket; only the hypervisors are
// simulated. Their VMs lie in the store, and run, before the engine opens it.
//   node bench/memory-daemon.ts '{"hosts":10,"vmsPerHost":20,"pollMs":1000}'

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CronCalendar } from '../src/adapters/calendar/cron-calendar.ts';
import { SystemClock } from '../src/adapters/clock/system-clock.ts';
import { HttpHookCaller } from '../src/adapters/hooks/http-hook-caller.ts';
import { MemoryHost } from '../src/adapters/hypervisor/memory/memory-host.ts';
import { MemoryHypervisor } from '../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import { SystemIds } from '../src/adapters/ids/system-ids.ts';
import { FileImageStore } from '../src/adapters/images/file-image-store.ts';
import { NetworkProber } from '../src/adapters/prober/network-prober.ts';
import { FileRecorder } from '../src/adapters/recorder/file-recorder.ts';
import { recordInMemory } from '../src/adapters/recorder/memory-recorder.ts';
import { SqliteStore } from '../src/adapters/store/sqlite/sqlite-store.ts';
import type { VmRecord } from '../src/core/model.ts';
import type { Policy } from '../src/core/policy.ts';
import { Access } from '../src/edge/access.ts';
import { createApp } from '../src/edge/app.ts';
import { EventStream } from '../src/edge/event-stream.ts';
import { createLog } from '../src/edge/log.ts';
import { Metrics } from '../src/edge/metrics.ts';
import { listen } from '../src/edge/server.ts';
import { Engine } from '../src/engine/engine.ts';
import { DEFAULT_SETTINGS } from '../src/engine/settings.ts';
import type { VmSpec } from '../src/ports/hypervisor.ts';
import { IMAGE, inRule, outRule, policyOf, recordOf, SMALL } from '../test/core/builders.ts';
import { announce } from './child-server.ts';

export interface MemoryDaemonOptions {
  readonly hosts: number;
  readonly vmsPerHost: number;
  readonly pollMs: number;
  /** So many groups share the VMs, each with policy rules that are evaluated and never fire; evaluations are recorded on disk. Default: no groups. */
  readonly groups?: number;
  /** A guest of the first host is given another size of memory about this often; each time is told by a {@link Resized}. */
  readonly resizeEveryMs?: number;
}

/** The first host has so much memory free from now on, in MiB; no two times the same. */
export interface Resized {
  readonly kind: 'resized';
  readonly freeMiB: number;
  /** Milliseconds since 1970, with a fraction. */
  readonly atMs: number;
}

export const MEMORY_DAEMON = import.meta.filename;
/** Where the same app answers with a constant JSON string of so many bytes. */
export function constantPath(bytes: number): string {
  return `${CONSTANT_PATH}?bytes=${bytes}`;
}

const CONSTANT_PATH = '/constant';

const VERSION = 'bench';
const HOST_MEMORY_MIB = 1024 * 1024;
const START_MS = 30_000;
const STOP_MS = 2_000;
const WAVE_MS = 600_000;
const RECORD_BYTES = 200 * 1024 * 1024;

const clock = new SystemClock();

export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

async function serveMemory(options: MemoryDaemonOptions): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'vs-'));
  const hosts = Array.from({ length: options.hosts }, (_, index) => hostOf(`host-${index + 1}`));
  const store = new SqliteStore({ path: join(folder, 'virtscale.db') });
  const policies = policiesOf(options);
  await fill(hosts, store, options.vmsPerHost, policies);
  const metrics = new Metrics({ version: VERSION });
  const log = await createLog({ level: 'error' });
  const engine = await Engine.open({
    hosts: hosts.map((host) => ({ hypervisor: new MemoryHypervisor(host, clock), uri: `memory://${host.name}` })),
    store,
    images: new FileImageStore(join(folder, 'images')),
    settings: { ...DEFAULT_SETTINGS, flavors: [{ flavor: SMALL, key: SMALL.name }] },
    clock,
    ids: new SystemIds(),
    prober: new NetworkProber(),
    hooks: new HttpHookCaller(),
    calendar: new CronCalendar(),
    balancers: new Map(),
    recorder:
      policies.length === 0
        ? recordInMemory(1)
        : await FileRecorder.open({ folder: join(folder, 'recording'), keepBytes: RECORD_BYTES }),
    telemetry: metrics,
    log,
    version: VERSION,
    pollMs: options.pollMs,
  });
  metrics.observe(engine);
  const access = new Access({ engine });
  const app = createApp({ engine, clock, metrics, version: VERSION, log, access });
  const constants = new Map<string, string>();
  app.get(CONSTANT_PATH, (c) => {
    const bytes = c.req.query('bytes') ?? '2';
    const body = constants.get(bytes) ?? JSON.stringify('x'.repeat(Number(bytes) - 2));
    constants.set(bytes, body);
    return c.body(body, 200, { 'content-type': 'application/json' });
  });
  const stream = new EventStream({ events: engine.log, log, telemetry: metrics, access });
  const listening = await listen({ address: { host: '127.0.0.1', port: 0 }, app, stream });
  for (const policy of policies) await engine.setPolicy({ policy, file: `${policy.group}.yaml` });
  await engine.start();
  await allUp(engine, options);
  const resizing = new AbortController();
  announce(listening.url, async () => {
    resizing.abort();
    await engine.stop('the benchmark is over', STOP_MS);
    await listening.close(STOP_MS);
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });
  const [first] = hosts;
  if (options.resizeEveryMs !== undefined && first !== undefined) {
    await resizeAgainAndAgain(first, options.resizeEveryMs, resizing.signal).catch(() => undefined);
  }
}

function hostOf(name: string): MemoryHost {
  const host = new MemoryHost({
    name,
    startMs: clock.nowMs(),
    cpus: 64,
    memoryMiB: HOST_MEMORY_MIB,
    diskGiB: 10_000,
    // Forwarded ones end at 254.
    network: 'lease',
    bootMs: 0,
  });
  const phases = new Map<string, number>();
  host.load = (uuid, atMs) => {
    const phase = phases.get(uuid) ?? Math.random();
    phases.set(uuid, phase);
    return 0.4 + 0.2 * Math.sin(2 * Math.PI * (phase + atMs / WAVE_MS));
  };
  return host;
}

/** Each group stays at its size. */
function policiesOf({ groups = 0, hosts, vmsPerHost }: MemoryDaemonOptions): readonly Policy[] {
  const size = (hosts * vmsPerHost) / groups;
  return Array.from({ length: groups }, (_, index) =>
    policyOf({ group: `group-${index + 1}`, min: size, max: size, rules: [outRule({ threshold: 90 }), inRule()] }),
  );
}

/** VMs in service for long: in the store, and running on the hosts in turn. */
async function fill(
  hosts: readonly MemoryHost[],
  store: SqliteStore,
  vmsPerHost: number,
  policies: readonly Policy[],
): Promise<void> {
  const records: VmRecord[] = [];
  for (let id = 1; id <= hosts.length * vmsPerHost; id += 1) {
    const host = hosts[(id - 1) % hosts.length];
    if (host === undefined) throw new Error('there are no hosts');
    const policy = policies[id % policies.length];
    const { group: _, ready: __, ...alone } = recordOf(id, { name: `vm-${id}`, host: host.name });
    const record = { ...alone, ...(policy && { group: policy.group }) };
    records.push(record);
    const { name, owner, operation, uuid, group } = record;
    const metadata = { id, owner, operation, image: IMAGE.name, flavor: SMALL.name, ...(group && { group }) };
    const spec: VmSpec = { name, uuid, image: IMAGE, flavor: SMALL, metadata };
    if (IMAGE.path !== undefined) host.setImage(IMAGE.path, 'good');
    host.makeDisk(spec, clock.nowMs());
    host.guests.define(spec);
    host.boot(uuid, clock.nowMs());
  }
  await store.commit({ putVms: records });
}

async function allUp(engine: Engine, { hosts, vmsPerHost }: MemoryDaemonOptions): Promise<void> {
  const endMs = performance.now() + START_MS;
  for (;;) {
    const up = engine.hosts().filter(({ condition }) => condition === 'up').length;
    const running = engine.vms().filter(({ state }) => state === 'running').length;
    if (up === hosts && running === hosts * vmsPerHost) return;
    if (performance.now() > endMs) throw new Error(`${up} of ${hosts} hosts are up, ${running} VMs run`);
    await sleep(100);
  }
}

/** Nobody is told of it: only the next poll can tell. */
async function resizeAgainAndAgain(host: MemoryHost, everyMs: number, signal: AbortSignal): Promise<void> {
  const [guest] = host.guests.all();
  if (guest === undefined) throw new Error('there is no guest to be resized');
  while (!signal.aborted) {
    await sleep(everyMs * (1 + Math.random() / 2), undefined, { signal });
    guest.memoryMiB += 1;
    const { memoryFreeMiB: freeMiB } = host.capacity(clock.nowMs());
    const message: Resized = { kind: 'resized', freeMiB, atMs: nowMs() };
    process.send?.(message);
  }
}

if (process.argv[1] === MEMORY_DAEMON) await serveMemory(JSON.parse(process.argv[2] ?? '{}'));
