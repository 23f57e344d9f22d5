// The daemon, put together: configuration, store, hosts, engine, edges, policies, and their end in the right order.
// The one place beside the command line that knows every room. Not here: anything that any of them does.

import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { SystemClock } from './adapters/clock/system-clock.ts';
import { stopEmbeddedHost } from './adapters/hypervisor/embedded/embedded-host.ts';
import { SystemIds } from './adapters/ids/system-ids.ts';
import { HttpProber } from './adapters/prober/http-prober.ts';
import { SqliteStore } from './adapters/store/sqlite/sqlite-store.ts';
import type { DaemonConfig } from './config/daemon-config.ts';
import { parseDaemonConfig } from './config/daemon-file.ts';
import { problemText } from './config/file-problem.ts';
import { createApp } from './edge/app.ts';
import { EventStream } from './edge/event-stream.ts';
import { createLog, logEvents } from './edge/log.ts';
import { Metrics } from './edge/metrics.ts';
import { listen } from './edge/server.ts';
import { Engine } from './engine/engine.ts';
import { Hosts } from './hosts.ts';
import { PolicyFolder } from './policy-folder.ts';
import { VERSION } from './version.ts';

export interface ServeOptions {
  /** Absent: `virtscale.yaml` in the working directory when there is one. */
  readonly config?: string;
  readonly listen?: string;
  readonly stateDir?: string;
  readonly policies?: string;
}

/** What is wrong with what the user gave: shown without a stack, exit status 2. */
export class BadConfiguration extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BadConfiguration';
  }
}

const DEFAULT_FILE = 'virtscale.yaml';
const DATABASE = 'virtscale.db';
/** From SIGTERM to the end of the process, whatever hangs. */
const STOP_MAX_MS = 4_800;
const ENGINE_STOP_MS = 2_500;
const SERVER_STOP_MS = 1_000;

/** Runs the daemon until SIGTERM or SIGINT. Throws `BadConfiguration`, `ListenError` or the store's `Fault` when it cannot start. */
export async function serve(options: ServeOptions): Promise<void> {
  const config = await readConfig(options);
  await mkdir(config.stateDir, { recursive: true });
  const log = await createLog({ level: config.log.level });
  const store = new SqliteStore({ path: join(config.stateDir, DATABASE), keepEvents: config.events.keep });
  const ended = Promise.withResolvers<string>();
  const onSignal = (signal: NodeJS.Signals) => ended.resolve(signal);
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);

  const clock = new SystemClock();
  const metrics = new Metrics({ version: VERSION });
  const hosts = new Hosts(config, clock, log, () => void policies?.refresh());
  let policies: PolicyFolder | undefined;
  const engine = await Engine.open({
    hosts: hosts.all,
    store,
    clock,
    ids: new SystemIds(),
    prober: new HttpProber(),
    telemetry: metrics,
    log,
    version: VERSION,
    pollMs: config.pollMs,
  });
  // A bug in something nobody waits for must not take the daemon with it: it is said, and the next turn comes.
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a bug: something failed that nobody waited for'),
  );
  logEvents(log, engine.log);
  metrics.observe(engine);
  const names = [config.listen.host];
  const app = createApp({ engine, clock, metrics, version: VERSION, log, names });
  const stream = new EventStream({ events: engine.log, log, telemetry: metrics, names });
  const listening = await listen({ address: config.listen, app, stream }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  log.info(
    { url: listening.url, stateDir: config.stateDir, policies: config.policiesDir, version: VERSION },
    `virtscale listens on ${listening.url}`,
  );

  const folder = new PolicyFolder(config.policiesDir, () => hosts.catalog, engine, log, config.pollMs);
  const onHangup = () => void folder.reload();
  process.on('SIGHUP', onHangup);
  await Promise.race([hosts.prepare(), ended.promise]);
  policies = folder;
  await engine.start();
  await folder.open();

  const reason = await ended.promise;
  log.info({ reason }, 'stopping; VMs keep running');
  const late = setTimeout(() => process.exit(1), STOP_MAX_MS);
  late.unref();
  folder.close();
  await engine.stop(reason, ENGINE_STOP_MS);
  await listening.close(SERVER_STOP_MS);
  await hosts.close();
  await store.close();
  process.off('SIGHUP', onHangup);
  log.info({}, 'stopped');
}

/** Ends the embedded hosts of a configuration with all their VMs. Throws the store's `Fault` while a daemon runs on that state. */
export async function stopEmbedded(options: ServeOptions, say: (line: string) => void): Promise<void> {
  const config = await readConfig(options);
  const database = join(config.stateDir, DATABASE);
  // Opening it takes the lock that a running daemon holds: that one would start its host again at once.
  if (existsSync(database)) await new SqliteStore({ path: database }).close();
  for (const { kind, name } of config.hosts) {
    if (kind !== 'embedded') continue;
    const found = await stopEmbeddedHost(join(config.stateDir, name), say);
    say(found ? `host ${name}: ended, with all its VMs` : `host ${name}: nothing of it was running`);
  }
}

async function readConfig(options: ServeOptions): Promise<DaemonConfig> {
  const path = resolve(options.config ?? DEFAULT_FILE);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && options.config === undefined) return undefined;
    throw new BadConfiguration(`cannot read the configuration ${path}: ${error.message}`);
  });
  const { listen: address, stateDir, policies } = options;
  const parsed = parseDaemonConfig({
    ...(text !== undefined && { file: { path, text } }),
    flags: {
      ...(address !== undefined && { listen: address }),
      ...(stateDir !== undefined && { stateDir }),
      ...(policies !== undefined && { policies }),
    },
    env: process.env,
    homeDir: homedir(),
    cwd: process.cwd(),
  });
  if (!parsed.ok) throw new BadConfiguration(parsed.problems.map(problemText).join('\n'));
  return parsed.config;
}
