/**
 * Notices a peer that has gone silent: pings when nothing came for an interval, gives up after `count` silent ones.
 * Only the clockwork; the packets are the session's.
 */
import { encodeHeader, PacketStatus, PacketType } from './frame.ts';
import { Program } from './procedures/procedure.ts';

export const KeepaliveProcedure = { ping: 1, pong: 2 } as const;

const keepalivePacket = (procedure: number): Buffer =>
  encodeHeader({
    program: Program.keepalive,
    version: 1,
    procedure,
    type: PacketType.message,
    serial: 0,
    status: PacketStatus.ok,
  });

export const pingPacket: Uint8Array = keepalivePacket(KeepaliveProcedure.ping);
export const pongPacket: Uint8Array = keepalivePacket(KeepaliveProcedure.pong);

export interface KeepaliveOptions {
  readonly intervalMs: number;
  /** Unanswered pings after which the peer is dead: `intervalMs * (count + 1)` after its last packet. */
  readonly count: number;
  readonly ping: () => void;
  readonly onSilent: () => void;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #timer: NodeJS.Timeout;
  #heard = false;
  #unanswered = 0;
  /** While we do not read ourselves, silence says nothing; pings still go out so that the peer hears from us. */
  readingPaused = false;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), options.intervalMs);
    this.#timer.unref();
  }

  /** Something, anything, arrived. */
  heard(): void {
    this.#heard = true;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (this.#heard) {
      this.#heard = false;
      this.#unanswered = 0;
      return;
    }
    if (this.readingPaused) this.#unanswered = 0;
    else if (this.#unanswered >= this.#options.count) {
      this.stop();
      this.#options.onSilent();
      return;
    } else this.#unanswered += 1;
    this.#options.ping();
  }
}
