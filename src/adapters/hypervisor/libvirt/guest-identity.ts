// Makes a forked or woken guest its own, through its agent: by a shell script with as few processes as can be, since under emulation each
// takes its time. virtscale's own guest image does the same in its init, asked through a file. Not here: the agent (guest-agent).

import { randomBytes } from 'node:crypto';
import {
  AffectFlags,
  type CallOptions,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type { GuestIdentity } from '../../../ports/hypervisor.ts';
import { byUuid } from './domain-lookups.ts';
import { macAddress } from './domain-xml.ts';
import { interfacesToRaise } from './fork-xml.ts';
import { type GuestAgent, isNobodyThere } from './guest-agent.ts';

/** The agent is back some 10 ms after a restore; a guest that takes longer is asked again later. */
const AGENT_PATIENCE_MS = 1500;
const AGENT_PAUSE_MS = 10;
/** The clock told to the guest is late by as long as this took at the most; more is told anew. */
const CLOCK_LATE_MS = 700;
const CLOCK_TRIES = 3;
const SEED_BYTES = 32;
const ID_BYTES = 8;
const FILE_TRIES = 3;
/** A guest whose agent hangs is not kept from sleeping for longer. */
const PREPARE_MS = 500;
/** More are opened when they are needed. */
const OPENED_MAX = 1000;
/** Where a guest that can be asked without running a program takes the request. */
const OWN_FILE = '/run/virtscale-own';

/** What a run's exit status means; those of virtscale's own guest image (guest/src/own.c) are the same. */
const FAILED: Readonly<Record<number, string>> = {
  3: 'its clock could not be set',
  4: 'its random numbers could not be drawn anew (that needs perl or python3 in the guest)',
  5: 'it could not be given its name',
  6: 'its network card could not be given its address',
};

/**
 * $1 fork or woken, $2 the time, $3 host name, $4 machine id, $5 seed, $6 the card's address, $7 renew: guests share a network, the link is
 * down, and an address is to be asked for. Steps are in the order of what must not be missed; each may be repeated.
 */
export const OWN_SCRIPT = `
date -u -s "@$2" >/dev/null 2>&1 || date -u -s "@\${2%.*}" >/dev/null 2>&1 || exit 3
[ "$1" = fork ] || exit 0
echo "$5" >/dev/urandom
if command -v perl >/dev/null; then perl -e 'open(F,">","/dev/urandom") and ioctl(F,0x5207,0) or exit 1'
else python3 -c 'import fcntl;fcntl.ioctl(open("/dev/urandom","wb"),0x5207)'
fi >/dev/null 2>&1 || exit 4
echo "$3" >/proc/sys/kernel/hostname || exit 5
[ ! -e /etc/hostname ] || echo "$3" >/etc/hostname
for f in /etc/machine-id /var/lib/dbus/machine-id; do
  [ ! -f "$f" ] || [ -L "$f" ] || echo "$4" >"$f" || exit 5
done
was=; [ ! -r /run/virtscale-is ] || read -r was </run/virtscale-is
for d in /sys/class/net/*; do
  [ -n "$6" ] && [ -e "$d/device" ] || continue
  i=\${d##*/}; read -r old <"$d/address"
  [ "$old" != "$6" ] || break
  echo 1 >"/proc/sys/net/ipv4/conf/$i/arp_notify"
  if [ "$7" = renew ]; then
    for f in /etc/netplan/*.yaml /run/systemd/network/*.* /etc/network/interfaces.d/*; do
      [ ! -f "$f" ] || sed -i "s/$old/$6/gI" "$f"
    done
    ip link set dev "$i" down && ip link set dev "$i" address "$6" && ip addr flush dev "$i" && ip link set dev "$i" up || exit 6
    if [ -d /run/systemd/netif ]; then networkctl reload; networkctl reconfigure "$i"
    elif command -v dhclient >/dev/null; then dhclient -x "$i"; dhclient -nw "$i"
    elif command -v udhcpc >/dev/null; then killall udhcpc; udhcpc -b -i "$i"
    fi >/dev/null 2>&1 </dev/null
  else
    ip link set dev "$i" address "$6" || exit 6
  fi
  break
done
if [ "$was" != "$4" ]; then
  for f in /etc/ssh/ssh_host_*_key; do
    [ -e "$f" ] || break
    rm -f /etc/ssh/ssh_host_*; ssh-keygen -q -A
    [ ! -r /run/sshd.pid ] || { read -r p </run/sshd.pid && kill -HUP "$p"; }
    break
  done
  echo "$4" >/run/virtscale-is
fi
exit 0
`;

interface Parts {
  readonly host: string;
  readonly client: LibvirtClient;
  readonly agent: GuestAgent;
  readonly clock: Clock;
  readonly guestsShareLink: boolean;
}

export class GuestIdentities {
  readonly #parts: Parts;
  /** Handles of {@link OWN_FILE} by uuid, in guests that sleep. */
  readonly #opened = new Map<string, number>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The guest is about to sleep: what it will be asked when it wakes is prepared, if it can be. Never throws. */
  async prepare(uuid: string, call: CallOptions): Promise<void> {
    // Paused and resumed by hand it is open still: the guest's agent would keep one more each time.
    if (this.#opened.has(uuid)) return;
    const { agent } = this.#parts;
    const quick = { ...call, timeoutMs: PREPARE_MS };
    const handle = await agent.open(uuid, OWN_FILE, quick).catch(() => undefined);
    if (handle === undefined) return;
    if (this.#opened.size >= OPENED_MAX) this.#opened.clear();
    this.#opened.set(uuid, handle);
  }

  async give(uuid: string, identity: GuestIdentity, call: CallOptions): Promise<void> {
    const isFork = identity.after === 'fork';
    await this.#run(uuid, (now) => this.#args(uuid, identity, now), call);
    if (isFork && this.#parts.guestsShareLink) await this.#raiseLinks(uuid, call);
  }

  #args(uuid: string, { after, hostname, machineId }: GuestIdentity, now: string): readonly string[] {
    if (after === 'woken') return ['woken', now];
    const seed = randomBytes(SEED_BYTES).toString('hex');
    const renew = this.#parts.guestsShareLink ? ['renew'] : [];
    const name = hostname.replace(/[^A-Za-z0-9.-]/g, '-');
    return ['fork', now, name, machineId, seed, macAddress(uuid), ...renew];
  }

  /** Told anew while the guest was so slow that its clock is wrong again. */
  async #run(uuid: string, argsAt: (now: string) => readonly string[], call: CallOptions): Promise<void> {
    const { clock } = this.#parts;
    let argsOf = argsAt;
    for (let tries = 1; ; tries += 1) {
      const startedMs = performance.now();
      const now = (clock.nowMs() / 1000).toFixed(3);
      const failed = await this.#whenThere(uuid, () => this.#tell(uuid, argsOf(now), call), call);
      if (failed !== 0) throw this.#cannot(uuid, failed);
      if (performance.now() - startedMs < CLOCK_LATE_MS || tries === CLOCK_TRIES) return;
      argsOf = (again) => ['woken', again];
    }
  }

  /** 0, or the step that failed. */
  async #tell(uuid: string, args: readonly string[], call: CallOptions): Promise<number | undefined> {
    const { agent } = this.#parts;
    const id = randomBytes(ID_BYTES).toString('hex');
    for (let tries = 0; tries < FILE_TRIES; tries += 1) {
      const answer = await this.#ask(uuid, [id, ...args].join(' '), call);
      if (answer === undefined) break;
      // Anything else stood there from before; it goes when the file is closed.
      const [whose, status] = answer.split(' ');
      if (whose === id) return Number(status);
    }
    const script = ['-c', OWN_SCRIPT, 'virtscale-own', ...args];
    return (await agent.run(uuid, { path: '/bin/sh', args: script }, call)).exitCode;
  }

  /** By a file that was opened before the guest slept, where there is one: that is half of the time. */
  async #ask(uuid: string, request: string, call: CallOptions): Promise<string | undefined> {
    const { agent } = this.#parts;
    const opened = this.#opened.get(uuid);
    if (opened === undefined) return agent.ask(uuid, OWN_FILE, request, call);
    try {
      const answer = await agent.ask(uuid, OWN_FILE, request, call, opened);
      this.#opened.delete(uuid);
      return answer;
    } catch (error) {
      if (isNobodyThere(error)) throw error;
      // The guest was booted meanwhile, or its agent started anew.
      this.#opened.delete(uuid);
      return agent.ask(uuid, OWN_FILE, request, call);
    }
  }

  /** @throws Fault `busy` when nobody is there for so long. */
  async #whenThere<T>(uuid: string, work: () => Promise<T>, call: CallOptions): Promise<T> {
    const endMs = performance.now() + AGENT_PATIENCE_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) throw error;
        if (!isNobodyThere(error)) throw error;
        call.signal?.throwIfAborted();
        if (performance.now() > endMs) {
          throw new Fault('busy', `host ${this.#parts.host}: the agent in ${uuid} does not answer yet`, {
            cause: error,
          });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, AGENT_PAUSE_MS));
    }
  }

  async #raiseLinks(uuid: string, call: CallOptions): Promise<void> {
    const { client } = this.#parts;
    const xml = await client.domainXml(byUuid(uuid), 0, call);
    for (const raised of interfacesToRaise(xml)) {
      await client.updateDevice(byUuid(uuid), raised, AffectFlags.AFFECT_LIVE, call);
    }
  }

  #cannot(uuid: string, exitCode: number | undefined): Fault {
    const why = (exitCode !== undefined && FAILED[exitCode]) || `what it was asked to run ended with ${exitCode}`;
    const message = `host ${this.#parts.host}: guest ${uuid} cannot be made its own: ${why}`;
    return new Fault('refused', message, { advice: 'VMs of this image are booted instead of forked.' });
  }
}
