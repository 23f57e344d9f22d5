// The distribution's HAProxy with one backend, in a temporary folder. Its configuration is the one that docs/BALANCER.md recommends.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../demo/daemon-process.ts';
import { renderServers } from '../../../src/adapters/balancer/file/render.ts';
import { askHaproxy } from '../../../src/adapters/balancer/haproxy/runtime-socket.ts';
import type { FrontAddress } from './front.ts';
import { accepts, programPath, RealProgram } from './real-program.ts';

export interface HaproxySetup {
  /** Of the backend. Default `balance roundrobin`. */
  readonly backend?: string;
  /** Behind `stats socket PATH`. Default `level admin`. */
  readonly socket?: string;
  /** The backend is in a file of its own, with no server at first. */
  readonly backendFile?: boolean;
}

/** HAProxy 2.6 loses a signal that comes while it starts or reloads: asked until there is another worker. */
const RELOAD = `m=$(cat "$1") || exit 1
old=$(cat /proc/$m/task/$m/children) || exit 1
for i in 1 2 3 4 5 6 7 8; do
  kill -USR2 $m || exit 1
  for j in 1 2 3 4 5; do
    sleep 0.05
    [ "$(cat /proc/$m/task/$m/children)" = "$old" ] || exit 0
  done
done
exit 1
`;

/** Another program to test against: a HAProxy that somebody built. */
const PROGRAM = process.env['VIRTSCALE_TEST_HAPROXY'] ?? programPath('haproxy');

export class RealHaproxy {
  readonly folder: string;
  readonly front: FrontAddress;
  readonly #program: RealProgram;

  private constructor(folder: string, front: FrontAddress, program: RealProgram) {
    this.folder = folder;
    this.front = front;
    this.#program = program;
  }

  static async start(setup: HaproxySetup = {}): Promise<RealHaproxy> {
    const folder = await mkdtemp(join(tmpdir(), 'vs-ha-'));
    const front = { host: '127.0.0.1', port: await freePort() };
    const config = join(folder, 'haproxy.cfg');
    await writeFile(config, configText(folder, front, setup));
    const files = ['-f', config];
    if (setup.backendFile === true) {
      await writeFile(join(folder, 'web.cfg'), renderServers('haproxy', 'web', []));
      files.push('-f', join(folder, 'web.cfg'));
    }
    await writeFile(join(folder, 'reload.sh'), RELOAD);
    const argv = [PROGRAM, '-W', '-db', '-p', join(folder, 'pid'), ...files] as const;
    const program = new RealProgram(argv, async () => (await accepts(front)) && (await haproxy.#isUp()));
    const haproxy = new RealHaproxy(folder, front, program);
    await program.start();
    return haproxy;
  }

  get socket(): { readonly path: string } {
    return { path: join(this.folder, 'admin.sock') };
  }

  get backendFile(): string {
    return join(this.folder, 'web.cfg');
  }

  get reloadCommand(): readonly string[] {
    return ['sh', join(this.folder, 'reload.sh'), join(this.folder, 'pid')];
  }

  /** One line to its runtime API, past the adapter. */
  ask(line: string): Promise<string> {
    return askHaproxy(this.socket, line, 2000, new AbortController().signal);
  }

  /** Ends it, without patience for its clients, and starts it anew. */
  async restart(): Promise<void> {
    await this.#program.stop();
    await this.#program.start();
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** Stops answering, but stays: nothing is refused, nothing is answered. */
  async hang(): Promise<() => void> {
    const worker = Number(/^Pid: (\d+)$/m.exec(await this.ask('show info'))?.[1]);
    process.kill(worker, 'SIGSTOP');
    return () => process.kill(worker, 'SIGCONT');
  }

  /** A new process takes over; the old one finishes what it has. Resolves when the new one answers. */
  async reload(): Promise<void> {
    const before = await this.#workerPid();
    for (let i = 0; i < 100; i += 1) {
      if (i % 20 === 0) this.#program.signal('SIGUSR2');
      await sleep(20);
      const now = await this.#workerPid().catch(() => before);
      if (now !== before) return;
    }
    throw new Error('HAProxy did not reload');
  }

  async #isUp(): Promise<boolean> {
    return (await this.#workerPid().catch(() => undefined)) !== undefined;
  }

  async #workerPid(): Promise<string | undefined> {
    return /^Pid: (\d+)$/m.exec(await this.ask('show info'))?.[1];
  }

  async remove(): Promise<void> {
    await this.#program.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function configText(folder: string, { host, port }: FrontAddress, setup: HaproxySetup): string {
  const backend = `backend web\n  ${setup.backend ?? 'balance roundrobin'}\n`;
  return `global
  stats socket ${join(folder, 'admin.sock')} mode 600 ${setup.socket ?? 'level admin'}
  hard-stop-after 30s
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout check 1s
  retries 3
  option redispatch 1
  retry-on all-retryable-errors
frontend clients
  bind ${host}:${port}
  default_backend web
${setup.backendFile === true ? '' : backend}`;
}
