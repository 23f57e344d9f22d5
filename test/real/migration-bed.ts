// Two private hosts, the engine on both, one VM with the guest image: for moving it while it serves and while things die.
// Not here: what is expected of it (migration.test.ts, migration-kills.ts).

import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CronCalendar } from '../../src/adapters/calendar/cron-calendar.ts';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { type EmbeddedHost, startEmbeddedHost } from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { ensureGuestImage } from '../../src/adapters/hypervisor/embedded/guest-image.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { NetworkProber } from '../../src/adapters/prober/network-prober.ts';
import { recordInMemory } from '../../src/adapters/recorder/memory-recorder.ts';
import { SqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts';
import type { Image } from '../../src/core/model.ts';
import type { Operation } from '../../src/core/operation.ts';
import { Engine } from '../../src/engine/engine.ts';
import { DEFAULT_SETTINGS } from '../../src/engine/settings.ts';
import type { CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { DomainState, LibvirtClient } from '../../src/libvirt/index.ts';
import type { Store } from '../../src/ports/store.ts';
import { MemoryImageStore } from '../support/memory-image-store.ts';
import { ScriptedHooks } from '../support/scripted-hooks.ts';
import { SeededIds } from '../support/seeded-ids.ts';

/** Shared with other real tests of this machine and user. */
const IMAGES = `/tmp/virtscale-test-images-${process.getuid?.() ?? 0}`;
/** Of its own for each process, far from what people use. */
const PREFIX = `127.${100 + (process.pid % 100)}`;
const READY = { http: { port: 80, path: '/' } };
const ALICE = { owner: 'alice' };
const READY_MS = 60_000;
const ACCEPT_TRIES = 150;

export interface BedHost {
  readonly name: string;
  embedded: EmbeddedHost;
  /** Of its own, to look past the adapter. */
  readonly client: LibvirtClient;
}

interface Life {
  dead: boolean;
  readonly hypervisors: readonly LibvirtHypervisor[];
}

export class MigrationBed {
  readonly hosts: readonly BedHost[];
  readonly log: string[] = [];
  readonly #dir: string;
  readonly #image: Image;
  readonly #kernelArgs: string;
  readonly #memoryMiB: number;
  readonly #clock = new SystemClock();
  readonly #store = new SqliteStore({ path: ':memory:' });
  readonly #ids = new SeededIds(11);
  #engine: Engine | undefined;
  #life: Life | undefined;

  private constructor(dir: string, hosts: readonly BedHost[], image: Image, kernelArgs: string, memoryMiB: number) {
    this.#dir = dir;
    this.hosts = hosts;
    this.#image = image;
    this.#kernelArgs = kernelArgs;
    this.#memoryMiB = memoryMiB;
  }

  static async start(): Promise<MigrationBed> {
    const dir = await mkdtemp('/tmp/vsm-');
    await chmod(dir, 0o777);
    const hosts: BedHost[] = [];
    try {
      const { dir: imageDir } = await ensureGuestImage({ dir: IMAGES });
      for (const name of ['h1', 'h2']) {
        const embedded = await startHost(dir, name);
        hosts.push({ name, embedded, client: new LibvirtClient({ uri: embedded.uri, backoffMaxMs: 200 }) });
      }
      const manifest = JSON.parse(await readFile(join(imageDir, 'image.json'), 'utf8')) as Record<string, string> & {
        memoryMiB: { suggested: number };
      };
      const file = (key: string): string => join(imageDir, manifest[key] ?? key);
      const direct = { kernel: file('kernel'), initrd: file('initrd'), args: manifest['kernelArgs'] ?? '' };
      const image: Image = { name: 'backend', path: file('disk'), format: 'qcow2', direct };
      const kernelArgs = manifest['userNetworkArgs'] ?? '';
      const bed = new MigrationBed(dir, hosts, image, kernelArgs, manifest.memoryMiB.suggested);
      await bed.revive();
      return bed;
    } catch (error) {
      await Promise.allSettled(hosts.flatMap(({ client, embedded }) => [client.close(), embedded.stopAll()]));
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error('the daemon is dead');
    return this.#engine;
  }

  /** A daemon on the same store and hosts. */
  async revive(): Promise<void> {
    const hypervisors = this.hosts.map(
      ({ embedded, name }, index) =>
        new LibvirtHypervisor({
          host: name,
          uri: embedded.uri,
          clock: this.#clock,
          pool: { name: 'virtscale', path: embedded.poolDir },
          network: {
            kind: 'forward',
            addressPrefix: `${PREFIX}.${index + 1}`,
            port: 8080,
            kernelArgs: this.#kernelArgs,
          },
          accel: { kind: embedded.accel, reason: embedded.accelReason },
        }),
    );
    const life: Life = { dead: false, hypervisors };
    this.#life = life;
    const say = (level: string) => (fields: object, message: string) => {
      const { err } = fields as { err?: Error };
      this.log.push(`${level} ${message} ${err?.stack ?? ''}`);
    };
    const flavor = { name: 'small', vcpus: 1, memoryMiB: this.#memoryMiB };
    const engine = await Engine.open({
      hosts: hypervisors.map((hypervisor) => ({ hypervisor, uri: `embedded-${hypervisor.host}` })),
      store: mortal(this.#store, life),
      images: new MemoryImageStore(),
      clock: this.#clock,
      ids: this.#ids,
      prober: new NetworkProber(),
      hooks: new ScriptedHooks(),
      calendar: new CronCalendar(),
      balancers: new Map(),
      recorder: recordInMemory(),
      telemetry: { polled() {}, decided() {}, observed() {}, stepped() {}, turnEnded() {} },
      log: { debug() {}, info() {}, warn: say('warn'), error: say('error') },
      version: 'test',
      settings: { ...DEFAULT_SETTINGS, flavors: [{ flavor, key: 'small' }] },
    });
    await engine.configureImages([
      { name: 'backend', source: { kind: 'host', path: this.#image.path ?? '' }, image: this.#image },
    ]);
    await engine.start();
    this.#engine = engine;
  }

  /** As by `kill -9`: its connections are cut, and nothing more of it is written. */
  async kill(): Promise<void> {
    const life = this.#life;
    this.#engine = undefined;
    if (life === undefined) return;
    life.dead = true;
    await Promise.all(life.hypervisors.map((hypervisor) => hypervisor.close()));
  }

  /** Whoever watches over a libvirtd that is killed again and again gives up on it in the end: begun anew, it does not. */
  async renew(): Promise<void> {
    for (const host of this.hosts) {
      host.embedded.release();
      host.embedded = await startHost(this.#dir, host.name);
    }
  }

  /** A VM that serves, on h1. */
  async launch(): Promise<number> {
    await this.#untilUp();
    const request = { name: 'mover', flavor: 'small', image: 'backend', ready: READY, placement: { host: 'h1' } };
    const made = await this.ended(await this.engine.createVms(request, ALICE), READY_MS);
    const [vm] = made.vms;
    if (made.state !== 'succeeded' || vm === undefined) throw new Error(`not made: ${JSON.stringify(made)}`);
    return vm.id;
  }

  /** As soon as it is accepted: after a kill the engine has to see both hosts again first. */
  async migrate(id: number): Promise<CommandResult<OperationStatus>> {
    for (let tries = 1; ; tries += 1) {
      const begun = await this.engine.migrations.migrate(id, {}, ALICE);
      if (begun.ok || tries === ACCEPT_TRIES) return begun;
      await sleep(200);
    }
  }

  async #untilUp(): Promise<void> {
    const untilMs = performance.now() + READY_MS;
    while (this.engine.hosts().some(({ condition }) => condition !== 'up' && condition !== 'slow')) {
      if (performance.now() > untilMs) throw new Error('the hosts do not come up');
      await sleep(50);
    }
  }

  /** The operation when it has ended, whichever daemon carried it there. */
  async ended(begun: CommandResult<OperationStatus> | string, withinMs = READY_MS): Promise<Operation> {
    if (typeof begun !== 'string' && !begun.ok) throw new Error(`refused: ${begun.reason}`);
    const id = typeof begun === 'string' ? begun : begun.value.operation.id;
    const untilMs = performance.now() + withinMs;
    let last: Operation | undefined;
    while (performance.now() < untilMs) {
      last = (await this.#engine?.operation(id))?.operation;
      if (last?.endedAt !== undefined) return last;
      await sleep(20);
    }
    throw new Error(`operation has not ended within ${withinMs} ms: ${JSON.stringify(last)}\n${this.log.join('\n')}`);
  }

  /** What each host has of it, asked past everything: `undefined` for a host that does not answer now. */
  async copy(host: BedHost, uuid: string): Promise<'running' | 'paused' | 'off' | 'absent' | undefined> {
    try {
      const { state } = await host.client.domainState({ uuid, name: '', id: -1 }, { timeoutMs: 2000 });
      if (state === DomainState.RUNNING) return 'running';
      return state === DomainState.SHUTOFF ? 'off' : 'paused';
    } catch (error) {
      return error instanceof Error && /not found|no domain/i.test(error.message) ? 'absent' : undefined;
    }
  }

  /** Volumes of the VM in a host's pool. */
  async volumes(host: BedHost, vmName: string): Promise<readonly string[]> {
    await this.#answering(host);
    const pool = await host.client.lookupPoolByName('virtscale');
    await host.client.refreshPool(pool);
    const names = (await host.client.listVolumes(pool)).map(({ name }) => name);
    return names.filter((name) => name.startsWith(`vs-${vmName}.`));
  }

  /** Its libvirtd may just be starting again. */
  async #answering(host: BedHost): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await host.client.hostname({ timeoutMs: 2000 });
        return;
      } catch (error) {
        if (tries === ACCEPT_TRIES) throw error;
        await sleep(100);
      }
    }
  }

  async stop(): Promise<void> {
    await this.#engine?.stop('the test is over').catch(() => undefined);
    await this.kill();
    await Promise.allSettled(this.hosts.flatMap(({ client, embedded }) => [client.close(), embedded.stopAll()]));
    await this.#store.close();
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function startHost(dir: string, name: string): Promise<EmbeddedHost> {
  const migrationAddress = `${PREFIX}.${name.slice(1)}.255`;
  return startEmbeddedHost({ stateDir: join(dir, name), name, migrationAddress });
}

/** What is left of a dead daemon in this process writes nothing any more. */
function mortal(store: Store, life: Life): Store {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'commit') return value.bind(target);
      return (...args: readonly unknown[]) => (life.dead ? new Promise(() => {}) : value.apply(target, args));
    },
  });
}
