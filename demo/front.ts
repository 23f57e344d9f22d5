// HAProxy as users run it, in front of the demo's VMs: a program of its own that virtscale only talks to. Its configuration is the one of
// docs/BALANCER.md. Not here: putting VMs into it (virtscale).

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askHaproxy } from '../src/adapters/balancer/haproxy/runtime-socket.ts';
import type { Endpoint } from '../src/core/model.ts';
import { BACKEND } from './demo-config.ts';

const START_MS = 5_000;
const ANSWER_MS = 2_000;
const STOP_MS = 3_000;
const WORDS_KEPT = 2_000;

/** What HAProxy says of itself and of the backend since it started. */
export interface FrontReport {
  readonly version: string;
  /** Names in the backend now, without those in maintenance: they wait for their last connection to be deleted. */
  readonly servers: readonly string[];
  /** Tries made again on the same server. */
  readonly retries: number;
  /** Requests sent to another one instead. */
  readonly redispatches: number;
}

export class Front {
  readonly endpoint: Endpoint;
  readonly socket: string;
  readonly #child: ChildProcess;

  private constructor(endpoint: Endpoint, socket: string, child: ChildProcess) {
    this.endpoint = endpoint;
    this.socket = socket;
    this.#child = child;
  }

  /** Resolves when it answers on its socket; rejects with its own words when it does not start. */
  static async start(folder: string, port: number): Promise<Front> {
    const endpoint = { address: '127.0.0.1', port };
    const socket = socketIn(folder);
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, configuration(endpoint, socket));
    const program = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find(existsSync) ?? 'haproxy';
    // A process group of its own: Ctrl-C reaches the demo alone, which then stops things in order.
    const child = spawn(program, ['-db', '-f', file], { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-WORDS_KEPT);
    });
    child.on('error', (error) => {
      words += error.message;
    });
    const front = new Front(endpoint, socket, child);
    const endMs = performance.now() + START_MS;
    while (!(await front.#answers())) {
      if (child.exitCode !== null || child.pid === undefined || performance.now() > endMs) {
        await front.stop();
        throw new Error(`HAProxy did not start: ${words.trim() || 'it says nothing'}`);
      }
      await sleep(20);
    }
    return front;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async report(): Promise<FrontReport> {
    const answer = await this.#ask(`show info; show stat ${BACKEND} -1 -1`);
    const [head = '', ...lines] = answer.slice(answer.indexOf('# pxname') + 2).split('\n');
    const names = head.split(',');
    const rows = lines.map((line) => new Map(line.split(',').map((field, i) => [names[i], field])));
    const all = rows.find((row) => row.get('svname') === 'BACKEND');
    return {
      version: /^Version: (\S+)/m.exec(answer)?.[1] ?? '?',
      servers: rows.flatMap((row) => {
        const name = row.get('svname');
        if (name === undefined || name === '' || name === 'BACKEND') return [];
        return row.get('status') === 'MAINT' ? [] : [name];
      }),
      retries: Number(all?.get('wretr') ?? 0),
      redispatches: Number(all?.get('wredis') ?? 0),
    };
  }

  /** Lets it run on after this process has ended. */
  leave(): void {
    this.#child.unref();
    this.#child.stderr?.destroy();
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(late);
  }

  async #answers(): Promise<boolean> {
    return (await this.#ask('show info').catch(() => '')) !== '';
  }

  #ask(line: string): Promise<string> {
    return askHaproxy({ path: this.socket }, line, ANSWER_MS, new AbortController().signal);
  }
}

export function socketIn(folder: string): string {
  return join(folder, 'haproxy.sock');
}

function configuration({ address, port }: Endpoint, socket: string): string {
  return `global
  stats socket ${socket} mode 600 level admin

defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 6s
  timeout queue 30s
  timeout check 1s
  # A VM that dies with requests under way: they are sent again, to another one.
  retries 3
  option redispatch 1
  retry-on all-retryable-errors

frontend clients
  bind ${address}:${port}
  default_backend ${BACKEND}

# virtscale puts the VMs in.
backend ${BACKEND}
  balance leastconn
`;
}
