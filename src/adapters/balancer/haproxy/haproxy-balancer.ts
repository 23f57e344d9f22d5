// The balancer port over the runtime API of a running HAProxy: no reload, no file. Servers are looked at, changed where they differ, and looked
// at again, so that the end of `apply` means it. Not here: HAProxy's configuration, which is its owner's (docs/BALANCER.md).

import { lookup } from 'node:dns/promises';
import { isIP, isIPv6, SocketAddress as NetAddress } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Balancer, BalancerServer, ServerSessions } from '../../../ports/balancer.ts';
import { Fault } from '../../../ports/fault.ts';
import { serverNameOf } from '../server-name.ts';
import { type Change, changesOf, type ServerSettings, type WantedServer } from './changes.ts';
import { firstLine, type HaproxyServer, readServers, refusalOf, serversQuestion } from './runtime-answers.ts';
import { askHaproxy, type SocketAddress } from './runtime-socket.ts';

export interface HaproxyOptions {
  /** In virtscale's configuration. */
  readonly name: string;
  readonly socket: SocketAddress;
  readonly backend: string;
  /** Of each server, 1–256. Default 1, as in HAProxy. */
  readonly weight?: number;
  /** Said of each new server behind SERVER_CHECK, which it can change (`inter 5s`): a `default-server` line does not hold for them. */
  readonly serverOptions?: string;
  /** Of one answer. */
  readonly timeoutMs?: number;
  /** Any clock that only goes forward, ms. */
  readonly now?: () => number;
}

/** A VM that dies is noticed within two seconds, also while virtscale is away. */
const SERVER_CHECK = 'check inter 1s fall 2 rise 1';
const ANSWER_MS = 2_000;
const RESOLVE_MS = 1_000;
/** A reload between two looks costs a round; more than this many in a row is something else. */
const ROUNDS = 4;
/** After a reload the old process finishes its requests, unseen from the new one. `hard-stop-after` in HAProxy's configuration bounds it. */
const RELOAD_TAIL_MS = 300_000;

export class HaproxyBalancer implements Balancer {
  readonly name: string;
  readonly #socket: SocketAddress;
  readonly #settings: ServerSettings;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #closing = new AbortController();
  /** Those that were there when we last looked; undefined: not looked yet. */
  #seen: ReadonlySet<string> | undefined;
  /** Servers that HAProxy forgot, and until when an old process may serve requests for them. */
  readonly #unseenUntilMs = new Map<string, number>();

  constructor(options: HaproxyOptions) {
    this.name = options.name;
    this.#socket = options.socket;
    this.#settings = {
      backend: options.backend,
      weight: options.weight ?? 1,
      options: [SERVER_CHECK, options.serverOptions ?? ''].join(' ').trim(),
    };
    this.#timeoutMs = options.timeoutMs ?? ANSWER_MS;
    this.#now = options.now ?? (() => performance.now());
  }

  /** A server whose host name does not resolve holds up none of the others; then it throws. */
  async apply(servers: readonly BalancerServer[], signal: AbortSignal): Promise<readonly ServerSessions[]> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    const wanted = await Promise.all(servers.map(wantedOf));
    let present = await this.#look(wanted, either);
    let told: readonly string[] = [];
    for (let round = 1; ; round += 1) {
      const changes = changesOf(wanted, present, this.#settings);
      // A removed server may have to wait for its last connection; it is tried again with each call, and gets nothing meanwhile.
      const urgent = changes.some(({ commands, isRemoval }) => !isRemoval || commands.length > 1);
      if (changes.length === 0 || (round > 1 && !urgent)) break;
      if (round > ROUNDS) throw undone(changes, told);
      told = await this.#carryOut(changes, either);
      present = await this.#look(wanted, either);
    }
    throwUnresolved(servers, wanted);
    return this.#sessions(servers, present);
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  async #look(wanted: readonly WantedServer[], signal: AbortSignal): Promise<readonly HaproxyServer[]> {
    const { backend } = this.#settings;
    const present = readServers(await this.#ask(serversQuestion(backend), signal), backend);
    this.#noteForgotten(wanted, new Set(present.map(({ name }) => name)));
    return present;
  }

  /** Returns what HAProxy had to say. */
  async #carryOut(changes: readonly Change[], signal: AbortSignal): Promise<readonly string[]> {
    const told: string[] = [];
    for (const { commands } of changes) {
      const answer = await this.#ask(commands.join('; '), signal);
      const refusal = refusalOf(answer, this.#settings.backend);
      if (refusal !== undefined) throw refusal;
      told.push(firstLine(answer));
    }
    return told;
  }

  #ask(line: string, signal: AbortSignal): Promise<string> {
    return askHaproxy(this.#socket, line, this.#timeoutMs, signal);
  }

  /** What was there and is not any more tells of a restart or reload: an old process may still be finishing requests for them. */
  #noteForgotten(wanted: readonly WantedServer[], present: ReadonlySet<string>): void {
    const listed = new Set(wanted.map(({ name }) => name));
    const nowMs = this.#now();
    for (const { name, state } of wanted) {
      // Before the first look nobody knows; but what drains has been in the balancer.
      const wasThere = this.#seen?.has(name) ?? state === 'drain';
      if (wasThere && !present.has(name)) this.#unseenUntilMs.set(name, nowMs + RELOAD_TAIL_MS);
    }
    for (const [name, untilMs] of this.#unseenUntilMs) {
      if (untilMs <= nowMs || !listed.has(name)) this.#unseenUntilMs.delete(name);
    }
    this.#seen = present;
  }

  #sessions(servers: readonly BalancerServer[], present: readonly HaproxyServer[]): readonly ServerSessions[] {
    const known = new Map(present.map((server) => [server.name, server.sessions]));
    return servers.map(({ name }) => {
      const server = serverNameOf(name);
      const sessions = this.#unseenUntilMs.has(server) ? undefined : known.get(server);
      return { name, ...(sessions !== undefined && { sessions }) };
    });
  }
}

async function wantedOf({ address, name, port, state }: BalancerServer): Promise<WantedServer> {
  const known = await addressOf(address);
  return { name: serverNameOf(name), port, state, ...(known !== undefined && { address: known }) };
}

/** As HAProxy writes it. A host name is resolved here, for HAProxy does not do it at run time; undefined when that fails or takes long. */
async function addressOf(host: string): Promise<string | undefined> {
  let address: string | undefined = host;
  if (isIP(host) === 0) {
    const stop = new AbortController();
    const late = sleep(RESOLVE_MS, undefined, { ref: false, signal: stop.signal }).catch(() => undefined);
    address = await Promise.race([
      lookup(host).then(
        ({ address }) => address,
        () => undefined,
      ),
      late,
    ]);
    stop.abort();
  }
  return address !== undefined && isIPv6(address) ? new NetAddress({ address, family: 'ipv6' }).address : address;
}

function throwUnresolved(servers: readonly BalancerServer[], wanted: readonly WantedServer[]): void {
  const lacking = servers.filter((_, i) => wanted[i]?.address === undefined);
  const [first] = lacking;
  if (first === undefined) return;
  throw new Fault('unreachable', `the address of ${first.name}, "${first.address}", cannot be found out`, {
    advice: "Write its IP address, or add the name to this machine's /etc/hosts or DNS.",
  });
}

function undone(changes: readonly Change[], told: readonly string[]): Fault {
  const said = told.filter((line) => line !== '').slice(0, 3);
  const what = changes.map(({ commands }) => commands[0]).slice(0, 3);
  const more = said.length === 0 ? '' : ` (it said: ${said.join('; ')})`;
  return new Fault('busy', `HAProxy did not do what it was told: ${what.join('; ')}${more}`, {
    advice: 'Does somebody else change the same servers, or reload HAProxy again and again?',
  });
}
