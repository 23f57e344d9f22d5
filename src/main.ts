// The daemon, put together: configuration, store, hosts, engine, edges, policies, and their end in the right order.
// The one place beside the command line that knows every room. Not here: anything that any of them does.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CronCalendar } from './adapters/calendar/cron-calendar.ts';
import { SystemClock } from './adapters/clock/system-clock.ts';
import { HttpHookCaller } from './adapters/hooks/http-hook-caller.ts';
import { stopEmbeddedHost } from './adapters/hypervisor/embedded/embedded-host.ts';
import { SystemIds } from './adapters/ids/system-ids.ts';
import { FileImageStore } from './adapters/images/file-image-store.ts';
import { NetworkProber } from './adapters/prober/network-prober.ts';
import { PrometheusSource } from './adapters/prometheus/prometheus-source.ts';
import { FileRecorder } from './adapters/recorder/file-recorder.ts';
import { recordInMemory } from './adapters/recorder/memory-recorder.ts';
import { SqliteStore } from './adapters/store/sqlite/sqlite-store.ts';
import { balancersOf } from './balancers.ts';
import type { DaemonConfig } from './config/daemon-config.ts';
import type { PolicyCatalog } from './config/policy-file.ts';
import { policyNamesOf } from './config/policy-names.ts';
import { ConfigWatch } from './config-watch.ts';
import type { Placements } from './core/placement/registry.ts';
import { Access, protection } from './edge/access.ts';
import { createApp } from './edge/app.ts';
import { EventStream } from './edge/event-stream.ts';
import { createLog, logEvents } from './edge/log.ts';
import { Metrics } from './edge/metrics.ts';
import { listen } from './edge/server.ts';
import { Engine } from './engine/engine.ts';
import type { Log } from './engine/log.ts';
import { configuredImages, settingsOf } from './fabric-settings.ts';
import { Hosts } from './hosts.ts';
import { PlacementModuleError } from './placements.ts';
import { PolicyFolder } from './policy-folder.ts';
import type { Calendar } from './ports/calendar.ts';
import type { Recorder } from './ports/recorder.ts';
import { BadConfiguration, type LoadedConfig, readConfig, type ServeOptions } from './read-config.ts';
import { VERSION } from './version.ts';

export { BadConfiguration } from './read-config.ts';

const DATABASE = 'virtscale.db';
const IMAGES = 'image-store';
const RECORDING = 'recording';
/** Evaluations at hand for `why` when none are kept on disk. */
const RECORDED_IN_MEMORY = 60;
/** From SIGTERM to the end of the process, whatever hangs. */
const STOP_MAX_MS = 4_800;
const ENGINE_STOP_MS = 2_500;
const SERVER_STOP_MS = 1_000;

/** Runs the daemon until SIGTERM or SIGINT. Throws `BadConfiguration`, `ListenError` or the store's `Fault` when it cannot start. */
export async function serve(options: ServeOptions): Promise<void> {
  const loaded = await readConfig(options);
  const { config } = loaded;
  const settings = await settingsOf(loaded).catch(asBadConfiguration);
  await mkdir(config.stateDir, { recursive: true });
  const log = await createLog({ level: config.log.level });
  for (const warning of loaded.warnings) log.warn({}, warning);
  const store = new SqliteStore({ path: join(config.stateDir, DATABASE), keepEvents: config.events.keep });
  const ended = Promise.withResolvers<string>();
  const onSignal = (signal: NodeJS.Signals) => ended.resolve(signal);
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);

  const clock = new SystemClock();
  const calendar = new CronCalendar();
  const metrics = new Metrics({ version: VERSION });
  const recorder = await recorderOf(config, log);
  const hosts = new Hosts(config, clock, log, (image) => engine.provideImage(image));
  const engine: Engine = await Engine.open({
    hosts: hosts.all.map((host) => withKey(host, loaded)),
    store,
    images: new FileImageStore(join(config.stateDir, IMAGES)),
    settings,
    onImages: () => void policies?.refresh(),
    clock,
    ids: new SystemIds(),
    prober: new NetworkProber(),
    hooks: new HttpHookCaller(),
    calendar,
    balancers: balancersOf(config),
    ...(config.prometheus && { queries: new PrometheusSource(config.prometheus) }),
    recorder,
    telemetry: metrics,
    log,
    version: VERSION,
    pollMs: config.pollMs,
  });
  let policies: PolicyFolder | undefined;
  // A bug in something nobody waits for must not take the daemon with it: it is said, and the next turn comes.
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a bug: something failed that nobody waited for'),
  );
  logEvents(log, engine.log);
  metrics.observe(engine);
  const names = [config.listen.host, ...config.names];
  const access = new Access({ engine, withoutToken: config.withoutToken });
  const app = createApp({ engine, clock, metrics, version: VERSION, log, names, access });
  const stream = new EventStream({ events: engine.log, log, telemetry: metrics, names, access });
  const listening = await listen({ address: config.listen, app, stream }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  const { open, text } = protection(access, config.listen);
  log.info(
    { url: listening.url, stateDir: config.stateDir, policies: config.policiesDir, version: VERSION },
    `virtscale listens on ${listening.url}; ${text}`,
  );
  if (open) log.warn({}, 'set withoutToken: loopback or nobody, and give tokens with `virtscale token create`');

  const watch = new ConfigWatch(options, loaded, engine, log);
  const folder = new PolicyFolder(
    config.policiesDir,
    () => catalogOf(engine, calendar, watch.loaded),
    engine,
    log,
    config.pollMs,
  );
  const onHangup = () => void watch.reload().then(() => folder.reload());
  process.on('SIGHUP', onHangup);
  await engine.configureImages(configuredImages(config.images));
  await Promise.race([hosts.prepare(), ended.promise]);
  policies = folder;
  await engine.start();
  watch.open(() => void folder.refresh());
  await folder.open();

  const reason = await ended.promise;
  log.info({ reason }, 'stopping; VMs keep running');
  const late = setTimeout(() => process.exit(1), STOP_MAX_MS);
  late.unref();
  folder.close();
  watch.close();
  await engine.stop(reason, ENGINE_STOP_MS);
  await listening.close(SERVER_STOP_MS);
  await hosts.close();
  await recorder.close();
  await store.close();
  process.off('SIGHUP', onHangup);
  log.info({}, 'stopped');
}

/** Ends the embedded hosts of a configuration with all their VMs. Throws the store's `Fault` while a daemon runs on that state. */
export async function stopEmbedded(options: ServeOptions, say: (line: string) => void): Promise<void> {
  const { config } = await readConfig(options);
  const database = join(config.stateDir, DATABASE);
  // Opening it takes the lock that a running daemon holds: that one would start its host again at once.
  if (existsSync(database)) await new SqliteStore({ path: database }).close();
  for (const { kind, name } of config.hosts) {
    if (kind !== 'embedded') continue;
    const found = await stopEmbeddedHost(join(config.stateDir, name), say);
    say(found ? `host ${name}: ended, with all its VMs` : `host ${name}: nothing of it was running`);
  }
}

/** The placement algorithms of a configuration. Throws `BadConfiguration`. */
export async function placementsOf(options: Pick<ServeOptions, 'config'>): Promise<Placements> {
  const { placements } = await settingsOf(await readConfig(options)).catch(asBadConfiguration);
  return placements;
}

/** What policies may name now. */
function catalogOf(engine: Engine, calendar: Calendar, { config }: LoadedConfig): PolicyCatalog {
  const cronProblem = (cron: string, timezone: string) => calendar.problem(cron, timezone);
  return { images: engine.readyImages, ...policyNamesOf(config), cronProblem };
}

async function recorderOf({ record, stateDir }: DaemonConfig, log: Log): Promise<Recorder> {
  if (record === 'off') return recordInMemory(RECORDED_IN_MEMORY);
  const onProblem = (text: string) => log.warn({}, text);
  return FileRecorder.open({ folder: join(stateDir, RECORDING), keepBytes: record.keepBytes, onProblem });
}

function withKey<H extends { readonly hypervisor: { readonly host: string } }>(
  host: H,
  { hostKeys }: LoadedConfig,
): H & { readonly key?: string } {
  const key = hostKeys.get(host.hypervisor.host);
  return { ...host, ...(key !== undefined && { key }) };
}

function asBadConfiguration(error: unknown): never {
  throw error instanceof PlacementModuleError ? new BadConfiguration(error.message) : error;
}
