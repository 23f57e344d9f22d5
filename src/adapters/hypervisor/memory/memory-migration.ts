// The port `migration` on a simulated machine. Not here: what the two machines do between themselves (memory-moves).

import type { Copy, MoveFigures } from '../../../core/migration.ts';
import type { Endpoint } from '../../../core/model.ts';
import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type {
  MigrationArrival,
  MigrationDriver,
  MigrationOffer,
  MigrationOrder,
  MigrationSource,
  MoveOptions,
} from '../../../ports/migration.ts';
import type { MemoryHost } from './memory-host.ts';
import type { MemoryWire } from './memory-wire.ts';

/** How often a daemon that waits for a move looks whether it has ended. */
const LOOK_MS = 10;

class MemoryArrival implements MigrationArrival {
  readonly uri: string;
  readonly endpoint?: Endpoint;
  readonly xml = '';
  readonly persistentXml = '';
  readonly host: MemoryHost;

  constructor(host: MemoryHost, endpoint: Endpoint | undefined) {
    this.host = host;
    this.uri = `memory://${host.name}`;
    if (endpoint !== undefined) this.endpoint = endpoint;
  }
}

export class MemoryMigration implements MigrationDriver {
  readonly #host: MemoryHost;
  readonly #clock: Clock;
  readonly #wire: MemoryWire;

  constructor(host: MemoryHost, clock: Clock, wire: MemoryWire) {
    this.#host = host;
    this.#clock = clock;
    this.#wire = wire;
  }

  offer(signal: AbortSignal): Promise<MigrationOffer> {
    const storage = this.#host.sharedStorage;
    return this.#wire.call('offer', signal, () => ({
      uri: `memory://${this.#host.name}`,
      ...(storage !== undefined && { storage }),
    }));
  }

  describe(uuid: string, signal: AbortSignal): Promise<MigrationSource> {
    return this.#wire.call('describe', signal, () => this.#describe(uuid));
  }

  #describe(uuid: string): MigrationSource {
    const { guests, name: host, pool } = this.#host;
    const guest = guests.get(uuid);
    if (guest === undefined) throw new Fault('gone', `host ${host}: there is no domain ${uuid}`);
    if (guest.metadata === undefined || guest.metadata.adopted === true) {
      throw new Fault('refused', `host ${host}: virtscale did not make domain ${guest.name}`);
    }
    if (!guest.running || guest.pausedAtMs !== undefined) {
      throw new Fault('conflict', `host ${host}: ${guest.name} ${guest.running ? 'is paused' : 'does not run'}`);
    }
    if (this.#host.moves.isBusy(uuid)) throw new Fault('busy', `host ${host}: ${guest.name} is being moved already`);
    const disk = pool.disk(guest.name);
    const below = disk?.template === undefined ? disk?.image : undefined;
    return {
      uuid,
      name: guest.name,
      accel: 'qemu',
      network: guest.forwarded === undefined ? 'lease' : 'forward',
      folder: '/pool',
      disks: [
        {
          target: 'vda',
          volume: guest.name,
          capacityBytes: 1,
          allocatedBytes: 1,
          ...(below !== undefined && { below }),
        },
      ],
      readOnly: disk?.cloudInit === undefined ? [] : ['seed'],
      xml: '',
      persistentXml: '',
    };
  }

  prepare(order: MigrationOrder, signal: AbortSignal): Promise<MigrationArrival> {
    return this.#wire.call('prepare', signal, (atMs) => {
      const { guests, moves, name: host } = this.#host;
      const { name, network, uuid } = order.source;
      for (const guest of guests.all()) {
        if (guest.name !== name && guest.uuid !== uuid) continue;
        throw new Fault('conflict', `host ${host}: ${name} cannot come: there is ${guest.name} (${guest.uuid})`);
      }
      if (order.disks !== 'shared') this.#host.makeMovedDisk(name, order, atMs);
      return new MemoryArrival(this.#host, network === 'forward' ? moves.reserve(uuid) : undefined);
    });
  }

  async move(uuid: string, arrival: MigrationArrival, options: MoveOptions, signal: AbortSignal): Promise<void> {
    if (!(arrival instanceof MemoryArrival)) throw new Error('a simulated VM goes to simulated hosts only');
    const { endpoint, host: target } = arrival;
    const move = await this.#wire.call('move', signal, (atMs) => {
      this.#describe(uuid);
      return this.#host.moves.begin({ uuid, target, disks: options.disks, endpoint }, atMs, this.#host.moveMs);
    });
    while (move.end === undefined) {
      await this.#clock.sleep(LOOK_MS, signal);
      this.#host.advance(this.#clock.nowMs());
      if (this.#wire.crashed) return this.#wire.never();
      if (signal.aborted) throw this.#wire.aborted('move');
      if (this.#wire.silent(this.#clock.nowMs()) && this.#isCut()) {
        throw new Fault('unreachable', `host ${this.#host.name}: not reachable`);
      }
    }
    const { failure } = move.end;
    if (failure !== undefined) throw new Fault('refused', `host ${this.#host.name}: ${failure}`);
  }

  #isCut(): boolean {
    return this.#host.script.active('unreachable', this.#clock.nowMs()) !== undefined;
  }

  cancel(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('cancelMove', signal, () => this.#host.moves.cancel(uuid));
  }

  figures(uuid: string, signal: AbortSignal): Promise<MoveFigures | undefined> {
    return this.#wire.call('figures', signal, (atMs) => this.#host.moves.figures(uuid, atMs));
  }

  look(uuid: string, signal: AbortSignal): Promise<Copy> {
    return this.#wire.call('lookAtCopy', signal, () => this.#host.moves.look(uuid));
  }

  forget(uuid: string): void {
    this.#host.moves.release(uuid);
  }
}
