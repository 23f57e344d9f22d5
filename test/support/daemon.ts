// The daemon as users run it, a child process on an embedded host of its own, for tests that kill it.
// Not here: expectations.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { stopEmbeddedHost } from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { findLayout } from '../../src/adapters/hypervisor/embedded/layout.ts';
import type { LoggedEvent } from '../../src/core/events.ts';
import { LibvirtClient } from '../../src/libvirt/index.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const LOOK_AGAIN_MS = 50;

/** The part of `/v1/vms` that tests look at. */
export interface ShownVm {
  readonly name: string;
  readonly uuid: string;
  readonly phase: string;
  readonly state: string;
  readonly endpoint?: { readonly address: string; readonly port: number };
}

export class TestDaemon {
  readonly dir: string;
  readonly url: string;
  readonly #group: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(dir: string, group: string, port: number) {
    this.dir = dir;
    this.#group = group;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Folders and a policy; nothing runs yet. */
  static async prepare(policy: string, group = 'web'): Promise<TestDaemon> {
    const dir = await mkdtemp('/tmp/vst-');
    // Guests run under another account when the tests run as root.
    await chmod(dir, 0o755);
    await mkdir(join(dir, 'policies'));
    await writeFile(join(dir, `policies/${group}.yaml`), policy);
    return new TestDaemon(dir, group, await freePort());
  }

  get stateDir(): string {
    return join(this.dir, 's');
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const { dir } = this;
    const args = ['serve', '--state-dir', this.stateDir, '--policies', join(dir, 'policies')];
    this.#child = spawn(process.execPath, [CLI, ...args, '--listen', `127.0.0.1:${this.#port}`], {
      cwd: dir,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await once(this.#child, 'spawn');
    await this.eventually('policy in force', () => this.get(`/v1/groups/${this.#group}`));
  }

  /** Ends the process and waits for it. Returns how long that took, in ms. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return 0;
    const begun = performance.now();
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
    return performance.now() - begun;
  }

  /** `virtscale …` with these words, once to its end. */
  async command(...words: readonly string[]): Promise<{ readonly status: number | null; readonly said: string }> {
    const child = spawn(process.execPath, [CLI, ...words], { cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, said };
  }

  /** `virtscale embedded stop` on this daemon's state. */
  async stopEmbedded(): Promise<{ readonly status: number | null; readonly said: string }> {
    return this.command('embedded', 'stop', '--state-dir', this.stateDir);
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(this.url + path, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  async setDesired(desired: number): Promise<void> {
    const response = await fetch(`${this.url}/v1/groups/${this.#group}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ desired }),
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new Error(`desired ${desired}: ${response.status} ${await response.text()}`);
  }

  async vms(): Promise<readonly ShownVm[]> {
    return (await this.get<{ vms: readonly ShownVm[] }>('/v1/vms')).vms;
  }

  async events(): Promise<readonly LoggedEvent[]> {
    return (await this.get<{ events: readonly LoggedEvent[] }>('/v1/events?since=0&limit=1000')).events;
  }

  /** Asks until `count` VMs are in service and there are no others. */
  async inService(count: number): Promise<readonly ShownVm[]> {
    return this.eventually(`${count} VMs in service`, async () => {
      const vms = await this.vms();
      return vms.length === count && vms.every((vm) => vm.phase === 'in-service') ? vms : undefined;
    });
  }

  /** Asks until there is an answer; errors (it is not up yet) are asked again. */
  async eventually<T>(what: string, ask: () => Promise<T | undefined>, seconds = 60): Promise<T> {
    let last: unknown;
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      try {
        const answer = await ask();
        if (answer !== undefined) return answer;
        last = 'not yet';
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    const seen = await this.vms().catch(() => undefined);
    throw new Error(`no ${what} within ${seconds} s: ${String(last)}; VMs: ${JSON.stringify(seen)}`);
  }

  /** What libvirt itself has, asked past the daemon: domains, disks of VMs, and their console logs. */
  async reality(): Promise<Readonly<Record<'domains' | 'disks' | 'consoles', readonly string[]>>> {
    return this.asked(async (client) => {
      const domains = await client.listDomains();
      const pool = await client.lookupPoolByName('virtscale');
      await client.refreshPool(pool);
      const volumes = await client.listVolumes(pool);
      const files = volumes.map(({ name }) => name).sort();
      const isConsole = (name: string) => name.endsWith('.console.log');
      return {
        domains: domains.map(({ name }) => name).sort(),
        disks: files.filter((name) => !isConsole(name)),
        consoles: files.filter(isConsole),
      };
    });
  }

  /** Somebody else destroys a domain. */
  async destroyBehindItsBack(uuid: string): Promise<void> {
    await this.asked(async (client) => client.destroyDomain(await client.domainByUuid(uuid)));
  }

  /** Asks libvirt past the daemon. */
  async asked<T>(ask: (client: LibvirtClient) => Promise<T>): Promise<T> {
    const layout = await this.#layout();
    const client = new LibvirtClient({ uri: `qemu+unix:///session?socket=${layout.socket}` });
    try {
      return await ask(client);
    } finally {
      await client.close();
    }
  }

  async libvirtdPid(): Promise<number> {
    return Number((await readFile((await this.#layout()).pidFile, 'utf8')).trim());
  }

  /** The embedded host's folder. */
  async hostDir(): Promise<string> {
    return (await this.#layout()).dir;
  }

  async #layout() {
    const layout = await findLayout(join(this.dir, 's/local'), process.getuid?.() === 0);
    if (layout === undefined) throw new Error('the embedded host has no folder');
    return layout;
  }

  /** Ends everything and removes every trace. */
  async remove(): Promise<void> {
    await this.end('SIGKILL');
    await stopEmbeddedHost(join(this.dir, 's/local'));
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
