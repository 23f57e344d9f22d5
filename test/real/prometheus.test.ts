// A real Prometheus scrapes a small target in this process and answers queries through the adapter.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PrometheusSource } from '../../src/adapters/prometheus/prometheus-source.ts';
import { isFault } from '../../src/ports/fault.ts';

const never = new AbortController().signal;
const START_MAX_MS = 60_000;
let folder: string;
let target: Server;
let child: ChildProcess;
let source: PrometheusSource;
let said = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'prometheus-'));
  let requests = 0;
  target = createServer((_request, response) => {
    requests += 50;
    const text = `# TYPE web_requests_total counter\nweb_requests_total{vm="a"} ${requests}\nweb_requests_total{vm="b"} ${requests * 2}\n`;
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    response.end(`${text}# TYPE queue_length gauge\nqueue_length 17\n`);
  });
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const address = target.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const config = join(folder, 'prometheus.yml');
  const jobs = `  - job_name: web\n    static_configs: [{ targets: ['127.0.0.1:${address.port}'] }]\n`;
  await writeFile(config, `global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n${jobs}`);
  const port = await freePort();
  const flags = [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`];
  child = spawn('prometheus', [...flags, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.on('error', (error) => (said += error.message));
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < 10_000) said += chunk;
  });
  source = new PrometheusSource({ url: `http://127.0.0.1:${port}` });
  // Two scrapes: from then on a rate can be told.
  await eventually(() => source.value('sum(rate(web_requests_total[5s])) > 0', never));
});

afterAll(async () => {
  if (child.pid !== undefined && child.exitCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    if ((await Promise.race([ended, setTimeout(10_000, 'late')])) === 'late') child.kill('SIGKILL');
  }
  await new Promise((resolve) => target.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + START_MAX_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isFault(error) || child.exitCode !== null || performance.now() > untilMs) {
        throw new Error(`Prometheus did not come up: ${said}`, { cause: error });
      }
      await setTimeout(200);
    }
  }
}

it('one number is the value, and it is young', async () => {
  const { value, ageMs } = await source.value('queue_length', never);
  expect(value).toBe(17);
  expect(ageMs).toBeLessThan(5000);
  expect((await source.value('scalar(queue_length) * 2', never)).value).toBe(34);
  const rate = await source.value('sum(rate(web_requests_total[5s]))', never);
  expect(rate.value).toBeGreaterThan(50);
  expect(rate.value).toBeLessThan(500);
});

it('a long query goes by POST', async () => {
  const query = `queue_length + 0 * (${Array.from({ length: 200 }, () => 'queue_length').join(' + ')})`;
  expect(query.length).toBeGreaterThan(2000);
  expect((await source.value(query, never)).value).toBe(17);
});

it('what is no single number is a fault that says why', async () => {
  const faults: readonly (readonly [string, string, RegExp])[] = [
    ['web_requests_total', 'refused', /2 series/],
    ['no_such_thing', 'gone', /no series/],
    ['queue_length / 0', 'refused', /\+Inf/],
    ['0 * queue_length / 0', 'refused', /NaN/],
    ['queue_length[1m]', 'refused', /matrix/],
    ['sum((', 'refused', /parse error/],
  ];
  for (const [query, kind, message] of faults) {
    await expect(source.value(query, never)).rejects.toMatchObject({ kind, message: expect.stringMatching(message) });
  }
});
