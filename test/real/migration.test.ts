// A VM that serves while it moves between two real hosts, and what is left when things die meanwhile.
// More kills by command: node test/real/migration-kills.ts --runs 50. Not here: the engine's cases (test/engine/migrations.test.ts).

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Endpoint } from '../../src/core/model.ts';
import { MigrationBed } from './migration-bed.ts';
import { killRun, seeded } from './migration-kills.ts';

const KILLS = 4;
/** A request is tried again, wherever the VM is then, until this is over. */
const REQUEST_MS = 5_000;
const TRY_MS = 300;
let bed: MigrationBed;
let id: number;

beforeAll(async () => {
  bed = await MigrationBed.start();
  id = await bed.launch();
}, 120_000);
afterAll(() => bed?.stop());

interface Client {
  readonly requests: number;
  readonly failed: number;
  /** The longest time between two answers. */
  readonly longestPauseMs: number;
}

/** Asks one request after the other, each on a connection of its own, at the endpoint that the events tell. */
function startClient(): { stop(): Promise<Client> } {
  const over = new AbortController();
  const endpointNow = (): Endpoint | undefined => bed.engine.vm(id)?.record.endpoint;
  const run = async (): Promise<Client> => {
    let [requests, failed, longestPauseMs, answeredAtMs] = [0, 0, 0, performance.now()];
    while (!over.signal.aborted) {
      requests += 1;
      if (await answered(endpointNow)) {
        longestPauseMs = Math.max(longestPauseMs, performance.now() - answeredAtMs);
        answeredAtMs = performance.now();
      } else failed += 1;
      await sleep(2);
    }
    return { requests, failed, longestPauseMs: Math.round(longestPauseMs) };
  };
  const running = run();
  return {
    stop: () => {
      over.abort();
      return running;
    },
  };
}

async function answered(endpointNow: () => Endpoint | undefined): Promise<boolean> {
  const untilMs = performance.now() + REQUEST_MS;
  while (performance.now() < untilMs) {
    const endpoint = endpointNow();
    if (endpoint !== undefined && (await ask(endpoint, endpointNow))) return true;
    await sleep(2);
  }
  return false;
}

/** Gives up sooner when the VM turns out to be elsewhere by now. */
async function ask({ address, port }: Endpoint, endpointNow: () => Endpoint | undefined): Promise<boolean> {
  const gone = new AbortController();
  const watch = setInterval(() => {
    if (endpointNow()?.address !== address) gone.abort();
  }, 5);
  try {
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(TRY_MS)]);
    const answer = await fetch(`http://${address}:${port}/healthz`, { signal, headers: { connection: 'close' } });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  } finally {
    clearInterval(watch);
  }
}

test('a VM under load moves there and back: no request fails, and the pause is told', {
  timeout: 120_000,
}, async () => {
  const downtimes: number[] = [];
  const stop = bed.engine.log.subscribe((event) => {
    if (event.type === 'vm.migrated' && event.downtimeMs !== undefined) downtimes.push(event.downtimeMs);
  });
  const before = bed.engine.vm(id)?.record;
  const reports: string[] = [];
  for (const way of ['there', 'back']) {
    const client = startClient();
    await sleep(500);
    const operation = await bed.ended(await bed.migrate(id));
    await sleep(500);
    const { failed, longestPauseMs, requests } = await client.stop();
    const downtimeMs = downtimes.at(-1) ?? 0;
    reports.push(
      `${way}: ${requests} requests, ${failed} failed, longest pause ${longestPauseMs} ms, libvirt says ${downtimeMs} ms`,
    );
    expect(operation.state).toBe('succeeded');
    expect(failed).toBe(0);
    // Between the two lies libvirt's wait for the source's QEMU to end, and a busy machine's slowness.
    expect(longestPauseMs).toBeLessThan(downtimeMs + REQUEST_MS);
  }
  stop();
  process.stderr.write(`${reports.join('\n')}\n`);
  expect(bed.engine.vm(id)?.record).toMatchObject({ host: before?.host, uuid: before?.uuid });
  expect(downtimes).toHaveLength(2);
});

test('a move can be watched and called off: the VM runs on where it was', { timeout: 60_000 }, async () => {
  const from = bed.engine.vm(id)?.record.host;
  const begun = await bed.engine.migrations.migrate(id, { bandwidthMiBps: 1 }, { owner: 'alice' });
  if (!begun.ok) throw new Error(begun.reason);
  const operationId = begun.value.operation.id;
  let seen: number | undefined;
  for (let tries = 0; tries < 500 && seen === undefined; tries += 1) {
    seen = (await bed.engine.operation(operationId))?.progress?.total;
    await sleep(20);
  }
  expect(seen).toBeGreaterThan(0);
  await bed.engine.cancel(operationId);
  expect((await bed.ended(operationId)).state).toBe('cancelled');
  expect(bed.engine.vm(id)?.record.host).toBe(from);
});

test('what cannot move says why: a VM with a snapshot', { timeout: 60_000 }, async () => {
  const record = bed.engine.vm(id)?.record;
  const host = bed.hosts.find(({ name }) => name === record?.host);
  if (record === undefined || host === undefined) throw new Error('the VM is nowhere');
  const domain = await host.client.domainByUuid(record.uuid);
  const snapshot = await host.client.createSnapshot(domain, '<domainsnapshot><name>before</name></domainsnapshot>');
  let refused = await bed.engine.migrations.migrate(id, {}, { owner: 'alice' });
  // While the snapshot was taken it stood still, and the last poll may have seen just that.
  for (let tries = 0; tries < 50 && !refused.ok && refused.reason.includes('is paused'); tries += 1) {
    await sleep(200);
    refused = await bed.engine.migrations.migrate(id, {}, { owner: 'alice' });
  }
  await host.client.deleteSnapshot(snapshot);
  expect(refused).toMatchObject({
    ok: false,
    refused: 'conflict',
    reason: expect.stringContaining('snapshots (before)'),
  });
});

test('killed at random moments: never two copies, never none', { timeout: 180_000 }, async () => {
  const random = seeded(Number(process.env['SEED'] ?? 20));
  for (let run = 1; run <= KILLS; run += 1) {
    const done = await killRun(bed, id, random);
    process.stderr.write(
      `${done.victim} killed after ${done.afterMs} ms: ${done.outcome} on ${done.host}, settled in ${done.settledMs} ms\n`,
    );
    expect(done.problems).toEqual([]);
  }
});
