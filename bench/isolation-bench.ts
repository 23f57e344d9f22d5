// isolation-…: one daemon over 20 libvirtds, one of which is stopped by SIGSTOP: what polls of the other 19 and the API notice, how soon
// the hang is told, and that the host comes back. Not here: the hosts (private-hosts).

import { setTimeout as sleep } from 'node:timers/promises';
import type { LoggedEvent } from '../src/core/events.ts';
import type { PublicOperation } from '../src/edge/fabric-schemas.ts';
import type { PublicHost } from '../src/edge/schemas.ts';
import { DomainCreateFlags } from '../src/libvirt/index.ts';
import { BenchDaemon } from './bench-daemon.ts';
import { tinyDomain } from './hundred-domains.ts';
import { pacedLatencies } from './load.ts';
import type { BenchOptions } from './options.ts';
import { asked, inTurn, type PrivateHost, PrivateHosts } from './private-hosts.ts';
import { p99, type Row, rowOf } from './row.ts';

const HOSTS = 20;
/** On each host: paused ones that virtscale looks after, and some that are only defined. */
const RUNNING = 2;
const DEFINED = 3;
/** Of each state, healthy and with one host stopped. */
const SECONDS = 60;
/** Each stops another host: what the machine does besides meets both states. */
const ROUNDS = 2;
const PER_SECOND = 20;
const WARM_UP_SECONDS = 5;
const CREATE_TIMEOUT_MS = 60_000;
const FLAG_TIMEOUT_MS = 60_000;
const BACK_TIMEOUT_MS = 120_000;
const [HOSTS_PATH, VMS_PATH] = ['/v1/hosts', '/v1/vms?limit=100'] as const;

interface Seen {
  readonly polls: number[];
  readonly hosts: number[];
  readonly vms: number[];
}

export async function isolationBench(options: BenchOptions): Promise<readonly Row[]> {
  const hosts = await PrivateHosts.start(HOSTS, options);
  try {
    options.say(`${RUNNING} paused and ${DEFINED} defined domains on each`);
    await inTurn(hosts.all, 2, addDomains);
    const daemon = await BenchDaemon.start(hosts.files, options.signal);
    try {
      await adoptAll(daemon, hosts);
      return await new IsolationBench(hosts, daemon, options).run();
    } finally {
      await daemon.stop();
    }
  } finally {
    await hosts.stop();
  }
}

class IsolationBench {
  readonly #hosts: PrivateHosts;
  readonly #daemon: BenchDaemon;
  readonly #options: BenchOptions;
  readonly #healthy: Seen = { polls: [], hosts: [], vms: [] };
  readonly #hung: Seen = { polls: [], hosts: [], vms: [] };
  readonly #flaggedMs: number[] = [];
  readonly #backMs: number[] = [];
  readonly #flags: string[] = [];

  constructor(hosts: PrivateHosts, daemon: BenchDaemon, options: BenchOptions) {
    this.#hosts = hosts;
    this.#daemon = daemon;
    this.#options = options;
  }

  async run(): Promise<readonly Row[]> {
    const { seconds = SECONDS, say } = this.#options;
    for (let round = 1; round <= ROUNDS; round += 1) {
      const victim = this.#hosts.all[Math.floor((round * HOSTS) / (ROUNDS + 1))];
      if (victim === undefined) throw new Error('there is no host to be stopped');
      await this.#observe(victim, WARM_UP_SECONDS, { polls: [], hosts: [], vms: [] });
      say(`round ${round} of ${ROUNDS}: all ${HOSTS} hosts healthy for ${seconds / ROUNDS} s`);
      await this.#observe(victim, seconds / ROUNDS, this.#healthy);
      say(`${victim.name} stopped for ${seconds / ROUNDS} s`);
      await this.#hang(victim, seconds / ROUNDS);
    }
    return this.#rows();
  }

  /** Stops the host's libvirtd and lets it go on, whatever happens. */
  async #hang(victim: PrivateHost, seconds: number): Promise<void> {
    const { pid } = victim.embedded;
    const since = this.#daemon.lastSeq;
    process.kill(pid, 'SIGSTOP');
    const stoppedAtMs = Date.now();
    let flagged: LoggedEvent;
    try {
      [flagged] = await Promise.all([this.#flagged(victim, since), this.#observe(victim, seconds, this.#hung)]);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const goesOnAtMs = Date.now();
    const flaggedMs = Date.parse(flagged.at) - stoppedAtMs;
    this.#flaggedMs.push(flaggedMs);
    this.#flags.push(flagged.type);
    this.#options.say(`${flagged.type} after ${(flaggedMs / 1000).toFixed(1)} s; ${victim.name} goes on`);
    const back = await this.#daemon.journal.waitFor(
      'host.up',
      (event) => event.host === victim.name && Date.parse(event.at) >= goesOnAtMs,
      this.#daemon.waiting(`host ${victim.name} up again`, BACK_TIMEOUT_MS),
    );
    this.#backMs.push(Date.parse(back.at) - goesOnAtMs);
  }

  /** The first word about the host being slow or unreachable. */
  #flagged(victim: PrivateHost, since: number): Promise<LoggedEvent> {
    const about = (event: { readonly host: string; readonly seq: number }) =>
      event.host === victim.name && event.seq > since;
    const waiting = this.#daemon.waiting(`word of ${victim.name}`, FLAG_TIMEOUT_MS);
    const { journal } = this.#daemon;
    return Promise.any([
      journal.waitFor('host.slow', about, waiting),
      journal.waitFor('host.unreachable', about, waiting),
    ]);
  }

  /** Latencies of both lists, and the duration of every poll of the hosts that are not the victim, from the answers. */
  async #observe(victim: PrivateHost, seconds: number, into: Seen): Promise<void> {
    const seenAt = new Map<string, string>();
    const onAnswer = (path: string, body: Buffer) => {
      if (path !== HOSTS_PATH) return;
      const { hosts } = JSON.parse(body.toString()) as { readonly hosts: readonly PublicHost[] };
      for (const { lastSeenAt = '', name, pollMs } of hosts) {
        const isNew = seenAt.has(name) && seenAt.get(name) !== lastSeenAt;
        seenAt.set(name, lastSeenAt);
        if (isNew && name !== victim.name && pollMs !== undefined) into.polls.push(pollMs);
      }
    };
    const latencies = await pacedLatencies({
      base: this.#daemon.url,
      paths: [HOSTS_PATH, VMS_PATH],
      perSecond: PER_SECOND,
      seconds,
      signal: this.#options.signal,
      onAnswer,
    });
    into.hosts.push(...(latencies.get(HOSTS_PATH) ?? []));
    into.vms.push(...(latencies.get(VMS_PATH) ?? []));
  }

  #rows(): readonly Row[] {
    const stopped = `one of ${HOSTS} libvirtds is stopped by SIGSTOP`;
    const compared = (name: string, what: string, of: keyof Seen): Row =>
      rowOf({
        name,
        unit: 'ms',
        values: this.#hung[of],
        baseline: p99(this.#healthy[of]),
        ratioOf: 'p99',
        goal: { of: 'ratio', atMost: 1.2 },
        note: `${what} while ${stopped}; the ratio is that of p99 to p99 (the baseline) while all are healthy, in turn`,
      });
    return [
      compared('isolation-polls', `each poll of the other ${HOSTS - 1} hosts`, 'polls'),
      compared('isolation-hosts', `GET ${HOSTS_PATH}, at random moments`, 'hosts'),
      compared('isolation-vms', `GET ${VMS_PATH}, at random moments`, 'vms'),
      rowOf({
        name: 'isolation-flagged',
        unit: 'ms',
        values: this.#flaggedMs,
        goal: { of: 'p99', atMost: 15_000 },
        note: `from SIGSTOP to the first event that says so (${[...new Set(this.#flags)].join(', ')})`,
      }),
      rowOf({
        name: 'isolation-back',
        unit: 'ms',
        values: this.#backMs,
        note: 'from SIGCONT to host.up',
      }),
    ];
  }
}

async function addDomains({ embedded, name }: PrivateHost): Promise<void> {
  await asked(embedded.uri, async (client) => {
    const call = { timeoutMs: CREATE_TIMEOUT_MS };
    for (let n = 1; n <= RUNNING + DEFINED; n += 1) {
      const domain = await client.defineDomain(tinyDomain(domainName(name, n), embedded.accel), 0, call);
      if (n <= RUNNING) await client.createDomain(domain, DomainCreateFlags.START_PAUSED, call);
    }
  });
}

async function adoptAll(daemon: BenchDaemon, hosts: PrivateHosts): Promise<void> {
  const ids: string[] = [];
  for (const { name: host } of hosts.all) {
    for (let n = 1; n <= RUNNING; n += 1) {
      const body = { host, domain: domainName(host, n) };
      ids.push((await daemon.call<PublicOperation>('POST', '/v1/vms/adopt', body)).id);
    }
  }
  await daemon.succeeded(ids, CREATE_TIMEOUT_MS);
  // The next polls see them as ours.
  await sleep(1000);
}

function domainName(host: string, n: number): string {
  return `${host}-tiny-${n}`;
}
