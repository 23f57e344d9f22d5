// Makes things go wrong: each virtual second every fault of the run may begin, somewhere, for a while.
// Not here: how often (options.ts), what a trouble does to a host (src/adapters/hypervisor/memory).

import type { MemoryDomain, MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import type { HypervisorCall, Trouble } from '../../src/adapters/hypervisor/memory/memory-script.ts';
import { Fault, type FaultKind } from '../../src/ports/fault.ts';
import type { SeededRandom } from '../support/seeded-ids.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';
import { FAULTS, type FaultName, type SimOptions } from './options.ts';
import type { Trace } from './trace.ts';
import { GROUP_IMAGE_PATH, type World } from './world.ts';

/** What faults may do to the daemon and its state; the simulation carries it out. */
export interface DaemonControl {
  /** At the `times`-th time from now that it comes there. */
  killAt(where: string, times: number): void;
  kill(where: string): void;
  restart(): string | undefined;
  storeFull(untilMs: number): void;
  command(): string | undefined;
  request(): string | undefined;
  changePolicy(): string | undefined;
  changeTemplate(): string | undefined;
  /** A VM name that may be given next, so that a stranger can be there before. */
  nextVmName(): string;
}

/** What the daemon dies before or after. */
const DEADLY = [
  'placeImage',
  'createDisk',
  'define',
  'start',
  'makeTemplate',
  'fork',
  'personalise',
  'save',
  'pause',
  'resume',
  'shutdown',
  'destroy',
  'undefine',
  'deleteDisk',
] as const satisfies readonly HypervisorCall[];
const LOOKS = [
  'info',
  'observe',
  'endpoint',
  'addresses',
  'console',
  'listDisks',
  'listImages',
] as const satisfies readonly HypervisorCall[];
const ACTS = [
  'placeImage',
  'removeImage',
  'createDisk',
  'define',
  'start',
  'templateKey',
  'makeTemplate',
  'fork',
  'personalise',
  'save',
  'pause',
  'resume',
  'shutdown',
  'destroy',
  'undefine',
  'deleteDisk',
] as const satisfies readonly HypervisorCall[];
const KINDS: readonly [FaultKind, ...FaultKind[]] = ['unreachable', 'timed-out', 'busy', 'conflict', 'refused'];

const EFFECTS: readonly ['before', ...('before' | 'after' | 'half')[]] = ['before', 'after', 'half'];
const HANGS: readonly ['late', 'lost'] = ['late', 'lost'];

/** Begins the fault. Returns what to write down about it; undefined when there was nothing to break. */
type Begin = () => string | undefined;

export interface FaultsParts {
  readonly options: SimOptions;
  readonly world: World;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly trace: Trace;
  readonly daemon: DaemonControl;
}

export class Faults {
  readonly #parts: FaultsParts;
  readonly #begin: Readonly<Record<FaultName, Begin>>;
  #badImageUntilMs = 0;
  #balancerUntilMs = 0;
  #strangers = 0;
  #over = false;

  constructor(parts: FaultsParts) {
    this.#parts = parts;
    this.#begin = { ...this.#onHosts(), ...this.#onDomains(), ...this.#onDaemon() };
  }

  everySecond(): void {
    const { clock, options, random, trace } = this.#parts;
    if (clock.nowMs() >= this.#badImageUntilMs) this.#images('good');
    if (clock.nowMs() >= this.#balancerUntilMs) this.#parts.world.balancer.fault = undefined;
    for (const fault of FAULTS) {
      if (!random.chance(options.rates[fault])) continue;
      const text = this.#begin[fault]();
      if (text === undefined) continue;
      trace.count(`fault ${fault}`);
      trace.line(`FAULT ${fault} ${text}`);
    }
  }

  /** Ends every trouble. What was broken for good stays broken: dead domains, strangers, guests that never serve. */
  heal(): void {
    const { world, clock, trace } = this.#parts;
    for (const host of world.hosts) host.heal(clock.nowMs());
    this.#images('good');
    world.balancer.fault = undefined;
    trace.line('the hosts are healed');
  }

  /** Nothing that was planned happens any more. */
  end(): void {
    this.#over = true;
    this.heal();
  }

  #onHosts() {
    const { random } = this.#parts;
    return {
      'host-unreachable': () => this.#trouble('unreachable', 60, { guests: random.chance(0.5) }),
      'host-hang': () => this.#trouble('hang', 90, { effect: random.pick(HANGS) }),
      'call-fails': () =>
        this.#trouble('fail-call', 120, {
          call: random.chance(0.25) ? random.pick(LOOKS) : random.pick(ACTS),
          fault: random.pick(KINDS),
          effect: random.pick(EFFECTS),
          times: random.int(1, 4),
        }),
      'pool-full': () => this.#trouble('disk-full', 30),
      'never-ready': () => this.#trouble('never-ready', 30),
      unready: () => this.#trouble('unready', 30),
      'ignores-shutdown': () => this.#trouble('ignores-shutdown', 60),
      'cpu-absent': () => this.#trouble('stats-absent', 30),
      'image-bad': () => {
        const seconds = random.int(1, 60);
        this.#badImageUntilMs = this.#parts.clock.nowMs() + seconds * 1000;
        this.#images(random.pick(['absent', 'corrupt']));
        return `for ${seconds} s`;
      },
    } satisfies Partial<Record<FaultName, Begin>>;
  }

  #onDomains() {
    return {
      'cpu-reset': () => this.#toSomeDomain((host, uuid) => host.resetCounter(uuid), true),
      'domain-dies': () => this.#toSomeDomain((host, uuid) => host.kill(uuid), true),
      // A listed domain that is removed cannot come back: its group could never again be as desired.
      'stranger-removes': () => this.#toSomeDomain((host, uuid) => host.strangerRemoves(uuid), false),
      'stranger-defines': () => this.#strangerDefines(),
    } satisfies Partial<Record<FaultName, Begin>>;
  }

  #onDaemon() {
    const { random, daemon, clock } = this.#parts;
    return {
      'store-full': () => {
        const seconds = random.int(1, 30);
        daemon.storeFull(clock.nowMs() + seconds * 1000);
        return `for ${seconds} s`;
      },
      'daemon-killed-at-call': () => {
        const what = random.chance(0.2) ? 'commit' : random.pick(DEADLY);
        const where = `${random.pick(['before', 'after'])} ${what}`;
        const times = what === 'commit' ? random.int(1, 8) : random.int(1, 2);
        daemon.killAt(where, times);
        return `${where}, the ${times}. time from now`;
      },
      'daemon-killed-at-time': () => {
        const inMs = random.next() * 1000;
        void clock.sleep(inMs).then(() => {
          if (!this.#over) daemon.kill('at a moment of time');
        });
        return `in ${inMs.toFixed(3)} ms`;
      },
      'daemon-restarted': () => daemon.restart(),
      'user-command': () => daemon.command(),
      'fabric-request': () => daemon.request(),
      'policy-changed': () => daemon.changePolicy(),
      'template-changed': () => daemon.changeTemplate(),
      'balancer-fails': () => {
        const seconds = random.int(1, 30);
        this.#balancerUntilMs = clock.nowMs() + seconds * 1000;
        this.#parts.world.balancer.fault = new Fault('unreachable', 'the balancer does not answer');
        return `for ${seconds} s`;
      },
      'wall-step': () => {
        const byMs = random.int(-3_600_000, 3_600_000);
        clock.stepWall(byMs);
        return `${byMs} ms`;
      },
    } satisfies Partial<Record<FaultName, Begin>>;
  }

  /** A trouble of this kind on some host, from now on for up to so many seconds. */
  #trouble<K extends Trouble['kind']>(
    kind: K,
    secondsMax: number,
    more?: Omit<Extract<Trouble, { readonly kind: K }>, 'kind' | 'fromMs' | 'untilMs'>,
  ): string {
    const { clock, random } = this.#parts;
    const host = this.#host();
    const fromMs = clock.nowMs();
    const forMs = random.int(1, secondsMax * 1000);
    host.trouble({ kind, fromMs, untilMs: fromMs + forMs, ...more } as Trouble);
    return `${host.name} for ${forMs} ms ${more === undefined ? '' : JSON.stringify(more)}`;
  }

  #toSomeDomain(act: (host: MemoryHost, uuid: string) => void, alsoListed: boolean): string | undefined {
    const { world, clock, random, options } = this.#parts;
    const candidates: { readonly host: MemoryHost; readonly domain: MemoryDomain }[] = [];
    for (const host of world.hosts) {
      for (const domain of host.domains(clock.nowMs())) {
        const listed = options.listed.some((known) => known.uuid === domain.uuid);
        if (domain.metadata !== undefined || (listed && alsoListed)) candidates.push({ host, domain });
      }
    }
    const [first, ...rest] = candidates;
    if (first === undefined) return undefined;
    const { host, domain } = random.pick([first, ...rest]);
    act(host, domain.uuid);
    return `${domain.name} on ${host.name}`;
  }

  #strangerDefines(): string | undefined {
    const { clock, random, daemon } = this.#parts;
    const host = this.#host();
    this.#strangers += 1;
    const name = random.chance(0.5) ? daemon.nextVmName() : `stranger-${this.#strangers}`;
    if (host.domains(clock.nowMs()).some((domain) => domain.name === name)) return undefined;
    const uuid = `22222222-0000-4000-8000-${String(this.#strangers).padStart(12, '0')}`;
    host.strangerDefines({ uuid, name, running: random.chance(0.5) });
    return `${name} on ${host.name}`;
  }

  #host(): MemoryHost {
    const [first, ...rest] = this.#parts.world.hosts;
    if (first === undefined) throw new Error('a world without hosts');
    return this.#parts.random.pick([first, ...rest]);
  }

  #images(state: 'good' | 'absent' | 'corrupt'): void {
    for (const host of this.#parts.world.hosts) host.setImage(GROUP_IMAGE_PATH, state);
  }
}
