// The clients' side of a balancer: whom does it send them to? Not here: the balancers (real-haproxy, real-nginx).

import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FrontAddress {
  readonly host: string;
  readonly port: number;
}

/** One request on a connection of its own: what was answered, or `status 503`, or an error's code. */
export function askFront({ host, port }: FrontAddress, path = '/', agent?: Agent): Promise<string> {
  return new Promise((resolve) => {
    const request = get(
      { host, port, path, agent: agent ?? false, signal: AbortSignal.timeout(10_000) },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          body += text;
        });
        response.on('error', () => resolve('cut-off'));
        response.on('end', () => resolve(response.statusCode === 200 ? body : `status ${response.statusCode}`));
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Who answers now, sorted, each once: of as many requests as show every server of a small backend. */
export async function whoAnswers(front: FrontAddress): Promise<readonly string[]> {
  const answers = await Promise.all(Array.from({ length: 12 }, () => askFront(front)));
  return [...new Set(answers)].sort();
}

/** Load from several clients at once until it is stopped; everything that was answered is counted by what it was. */
export class SteadyLoad {
  readonly counts = new Map<string, number>();
  readonly #agent = new Agent({ keepAlive: true });
  readonly #clients: Promise<void>[];
  #on = true;

  constructor(front: FrontAddress, clients = 6) {
    this.#clients = Array.from({ length: clients }, async () => {
      while (this.#on) {
        const answer = await askFront(front, '/', this.#agent);
        this.counts.set(answer, (this.counts.get(answer) ?? 0) + 1);
      }
    });
  }

  count(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  /** Everything that was not answered by one of these. */
  failures(...names: readonly string[]): readonly string[] {
    return [...this.counts.keys()].filter((answer) => !names.includes(answer));
  }

  /** Resolves when `name` has answered a request from now on; rejects after `timeoutMs`. */
  async servedBy(name: string, timeoutMs: number): Promise<void> {
    const before = this.count(name);
    const endMs = performance.now() + timeoutMs;
    while (this.count(name) === before) {
      if (performance.now() > endMs) throw new Error(`${name} answered nothing within ${timeoutMs} ms`);
      await sleep(1);
    }
  }

  async stop(): Promise<void> {
    this.#on = false;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }
}
