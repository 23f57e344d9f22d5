// Takes up changes of virtscale.yaml while the daemon runs: placement, overcommit, labels, reserved amounts, flavors, quotas, images.
// The rest needs a restart, and that is said. A bad file is refused with its lines, and what was in force stays.

import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { DaemonConfig } from './config/daemon-config.ts';
import type { Engine } from './engine/engine.ts';
import type { Log } from './engine/log.ts';
import { configuredImages, settingsOf } from './fabric-settings.ts';
import { PlacementModuleError } from './placements.ts';
import { BadConfiguration, type LoadedConfig, readConfig, type ServeOptions } from './read-config.ts';

/** Editors write in several steps: wait until they are through. */
const SETTLE_MS = 150;
/** What a running daemon cannot change. Of hosts: anything but what placement is told. */
const FIXED = [
  'listen',
  'names',
  'withoutToken',
  'stateDir',
  'policiesDir',
  'pollMs',
  'log',
  'events',
  'balancers',
  'prometheus',
  'record',
] as const;

/** Who takes up what has changed. */
type Configurable = Pick<Engine, 'configure' | 'configureImages' | 'tell'>;

export class ConfigWatch {
  readonly #options: ServeOptions;
  readonly #engine: Configurable;
  readonly #log: Log;
  #loaded: LoadedConfig;
  #watcher: FSWatcher | undefined;
  #settling: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  #onChange: () => void = () => undefined;

  constructor(options: ServeOptions, loaded: LoadedConfig, engine: Configurable, log: Log) {
    this.#options = options;
    this.#loaded = loaded;
    this.#engine = engine;
    this.#log = log;
  }

  /** What is in force. */
  get loaded(): LoadedConfig {
    return this.#loaded;
  }

  /** Watches the file there is; `onChange` is called when something has changed that policies may name. */
  open(onChange: () => void): void {
    this.#onChange = onChange;
    const { file } = this.#loaded.config;
    if (file === undefined) return;
    // The folder, because editors put a new file in the old one's place.
    this.#watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
      if (name !== basename(file)) return;
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => void this.reload(), SETTLE_MS);
    });
    this.#watcher.on('error', (error) => {
      this.#log.warn({ err: error, file }, 'cannot watch the configuration; send SIGHUP after a change');
    });
  }

  close(): void {
    clearTimeout(this.#settling);
    this.#watcher?.close();
  }

  /** Reads everything again; one reading at a time. Never rejects. */
  reload(): Promise<void> {
    this.#reading = this.#reading
      .then(() => this.#readAgain())
      .catch((error: unknown) => {
        this.#log.error({ err: error }, 'the configuration could not be taken up; what was in force stays');
      });
    return this.#reading;
  }

  async #readAgain(): Promise<void> {
    const before = this.#loaded;
    const file = before.config.file ?? this.#options.seeds?.flavorFile ?? 'the configuration';
    try {
      const next = await readConfig(this.#options);
      if (isDeepStrictEqual(next, before) && (next.config.placement?.modules ?? []).length === 0) return;
      const settings = await settingsOf(next);
      const ignored = needRestart(before.config, next.config);
      await this.#engine.configure(settings);
      await this.#engine.configureImages(configuredImages(next.config.images));
      // What stays as it is, policies go on naming; what placement is told about hosts was taken up.
      const { balancers, hosts, prometheus } = before.config;
      const { prometheus: _next, ...config } = next.config;
      this.#loaded = { ...next, config: { ...config, balancers, hosts, ...(prometheus && { prometheus }) } };
      this.#onChange();
      const text =
        ignored.length === 0
          ? 'taken up'
          : `taken up, except what needs a restart of the daemon: ${ignored.join(', ')}`;
      await this.#engine.tell({ type: 'config.loaded', file, text });
    } catch (error) {
      if (!(error instanceof BadConfiguration || error instanceof PlacementModuleError)) throw error;
      await this.#engine.tell({ type: 'config.rejected', file, reason: error.message });
    }
  }
}

function needRestart(before: DaemonConfig, next: DaemonConfig): readonly string[] {
  const fixed = FIXED.filter((key) => !isDeepStrictEqual(before[key], next[key]));
  const bare = (config: DaemonConfig) =>
    config.hosts.map(({ labels: _labels, reserved: _reserved, overcommit: _overcommit, ...host }) => host);
  return isDeepStrictEqual(bare(before), bare(next)) ? fixed : [...fixed, 'hosts'];
}
