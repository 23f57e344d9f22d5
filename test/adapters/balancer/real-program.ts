// A balancer's own program as a child process in the foreground. Not here: its configuration (real-haproxy, real-nginx).

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FrontAddress } from './front.ts';

const START_MS = 5_000;
const ASK_AGAIN_MS = 300;

/** Where distributions put it: not always in a user's PATH. */
export function programPath(name: string): string {
  return ['/usr/sbin', '/usr/local/sbin', '/usr/bin'].map((folder) => `${folder}/${name}`).find(existsSync) ?? name;
}

export class RealProgram {
  readonly #argv: readonly [string, ...string[]];
  readonly #isReady: () => Promise<boolean>;
  #child: ChildProcess | undefined;
  #words = '';

  constructor(argv: readonly [string, ...string[]], isReady: () => Promise<boolean>) {
    this.#argv = argv;
    this.#isReady = isReady;
  }

  async start(): Promise<void> {
    const [program, ...args] = this.#argv;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#words = (this.#words + text).slice(-4000);
      });
    }
    const endMs = performance.now() + START_MS;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || performance.now() > endMs) throw new Error(`${program}: ${this.#words}`);
      await sleep(10);
    }
  }

  /** Asks more than once: a HAProxy that is just starting or reloading loses signals. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const again = setInterval(() => child.kill('SIGTERM'), ASK_AGAIN_MS);
    await ended;
    clearInterval(again);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }
}

export function accepts({ host, port }: FrontAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
