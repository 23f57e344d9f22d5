// Runs the command line in this process, against a live edge where wanted, and collects what it prints. Not here: expectations.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { BUILT_IN } from '../../src/core/placement/registry.ts';
import { type CommandLine, runCommandLine } from '../../src/edge/command-line/program.ts';
import type { FakeEngineParts } from './fake-engine.ts';
import { type LiveEdge, liveEdge } from './live-edge.ts';

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export class Collected extends Writable {
  text = '';
  readonly isTTY: boolean;

  constructor(isTTY = false) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }

  /** Waits until `part` has been printed. */
  async until(part: string): Promise<void> {
    for (let tries = 0; tries < 2000 && !this.text.includes(part); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (!this.text.includes(part)) throw new Error(`never printed ${part}: ${this.text}`);
  }
}

/** Words are separated by spaces; for others give `arguments`. */
export async function run(text: string, more: Partial<CommandLine> = {}): Promise<Ran> {
  const [stdout, stderr] = [new Collected(), new Collected()];
  const line: CommandLine = {
    arguments: text.split(' ').filter((part) => part !== ''),
    stdout,
    stderr,
    env: {},
    cwd: tmpdir(),
    version: '1.2.3',
    serve: () => Promise.reject(new Error('not here')),
    stopEmbedded: () => Promise.reject(new Error('not here')),
    placements: async () => BUILT_IN,
    cronProblem: async () => () => undefined,
    ...more,
  };
  const status = await runCommandLine(line);
  return { status, out: textOf(line.stdout), err: textOf(line.stderr) };
}

function textOf(stream: Writable): string {
  return stream instanceof Collected ? stream.text : '';
}

/** Somebody who types `answer` when asked. */
export function person(answer: string): PassThrough & { readonly isTTY: boolean } {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  stdin.write(`${answer}\n`);
  return stdin;
}

/** Ctrl-C by hand. */
export class Interrupts {
  #listener: (() => void) | undefined;

  readonly onInterrupt = (listener: () => void): (() => void) => {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  };

  press(): void {
    if (this.#listener === undefined) throw new Error('nobody waits for Ctrl-C: it would end the process');
    this.#listener();
  }
}

export interface LiveFabric extends LiveEdge {
  readonly url: string;
  /** `run`, with the address of this edge. */
  readonly virtscale: (text: string, more?: Partial<CommandLine>) => Promise<Ran>;
}

/** An edge without groups, unless the parts have some. */
export async function liveFabric(parts: FakeEngineParts = {}): Promise<LiveFabric> {
  const edge = await liveEdge({}, { groups: [], ...parts });
  const { url } = edge.listening;
  const virtscale = (text: string, more: Partial<CommandLine> = {}) =>
    run(text, { ...more, env: { VIRTSCALE_URL: url, ...more.env } });
  return { ...edge, url, virtscale };
}

/** Files for one test; the path of each by its name. */
export function folder(files: Readonly<Record<string, string | Uint8Array>>): (name: string) => string {
  const path = mkdtempSync(join(tmpdir(), 'virtscale-cli-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return (name) => join(path, name);
}
