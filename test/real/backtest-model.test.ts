// The backtest's model of a VM beside real ones: the same load, once on the real daemon with real VMs, once on the virtual clock.
// Not here: the model itself (core/backtest/play), its figures (test/core/backtest).

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LoadClient } from '../../demo/load-client.ts';
import type { RequestRecord } from '../../demo/request-record.ts';
import { parsePolicy } from '../../src/config/policy-file.ts';
import { besideModel, type RecordedRun } from '../../src/core/backtest/beside.ts';
import type { LoggedEvent } from '../../src/core/events.ts';
import type { Policy } from '../../src/core/policy.ts';
import { TestDaemon } from '../support/daemon.ts';

/** Costs about 10 ms on an emulated vCPU. */
const LOAD_N = 28;
const POLL_MS = 1000;
/** Far below the bound of the policy: nothing may be launched while this is measured. */
const MEASURE_PER_SECOND = 15;
const MEASURE_MS = 6_000;
/** Shares of what one VM carries, and for how long. */
const COURSE = [
  { share: 0.1, ms: 8_000 },
  { share: 0.6, ms: 16_000 },
  { share: 0.1, ms: 15_000 },
] as const;

/** What a VM is really used at lies far from both bounds: 10, 60, 30 and 5 %. */
const POLICY = `
group: web
min: 1
max: 2
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
capacity: { fork: true }
drain: { grace: 2s }
shutdown: { deadline: 5s }
scale:
  - { name: hot, type: threshold, metric: cpu, above: 40, for: 3s, add: 1, cooldown: 5s }
  - { name: idle, type: threshold, metric: cpu, below: 18, for: 5s, remove: 1, cooldown: 5s }
`;

const records: RequestRecord[] = [];
const events: LoggedEvent[] = [];
let daemon: TestDaemon;
let client: LoadClient;

beforeAll(async () => {
  daemon = await TestDaemon.prepare(POLICY);
  await daemon.start();
  client = new LoadClient({
    eventsUrl: `${daemon.url.replace('http', 'ws')}/v1/events`,
    group: 'web',
    timeoutMs: 20_000,
    onEvent: (event) => events.push(event),
    onRequest: (record) => records.push(record),
  });
  await client.connected(20_000);
  await daemon.eventually('a template', async () => events.find(({ type }) => type === 'template.ready'));
  await daemon.inService(1);
});

afterAll(async () => {
  await client?.close();
  await daemon?.remove();
});

/** What VMs that are held up cannot take at once is not sent: in the model, too, it does not queue up. */
function load(perSecond: number): void {
  client.setLoad({ mode: 'high', n: LOAD_N, perSecond, maxOutstanding: 16 });
}

/** Requests per second that keep a VM's vCPU busy all the time: by the CPU time it takes, so that a busy machine tells the same. */
async function capacityOfOne(): Promise<number> {
  const [vm] = await daemon.inService(1);
  const cpuSeconds = (): Promise<number> =>
    daemon.asked(
      async (asked) => Number((await asked.domainInfo(await asked.domainByUuid(vm?.uuid ?? ''))).cpuTimeNs) / 1e9,
    );
  load(MEASURE_PER_SECOND);
  await sleep(1000);
  const [first, from] = [records.length, await cpuSeconds()];
  await sleep(MEASURE_MS);
  const [last, to] = [records.length, await cpuSeconds()];
  client.setLoad(undefined);
  await client.idle();
  return (last - first) / (to - from);
}

function policy(): Policy {
  const read = parsePolicy(POLICY, 'web.yaml', { anyName: true, images: [], flavors: [] });
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.policy;
}

/** Rows of one poll from the moment on; VMs serve from `vm.launched` to whatever takes them out of service. */
function recordedSince(sinceMs: number, seconds: number): RecordedRun {
  const rps = new Float64Array(seconds);
  for (const { sentAtMs } of records) {
    const row = Math.floor((sentAtMs - sinceMs) / POLL_MS);
    if (row >= 0 && row < seconds) rps[row] = (rps[row] ?? 0) + 1;
  }
  const serving = [{ t: 0, vms: 1 }];
  for (const event of events) {
    const t = (Date.parse(event.at) - sinceMs) / 1000;
    const by = event.type === 'vm.launched' ? 1 : event.type === 'vm.draining' || event.type === 'vm.lost' ? -1 : 0;
    if (t > 0 && by !== 0) serving.push({ t, vms: (serving.at(-1)?.vms ?? 0) + by });
  }
  return { trace: { name: 'run', t: Float64Array.from(rps, (_, i) => i), rps }, serving };
}

test('low, high and low again: the model has its second VM when the real group had it, and for as long', async () => {
  const capacityRps = await capacityOfOne();
  await sleep(3000);
  const sinceMs = Date.now();
  for (const { share, ms } of COURSE) {
    load(share * capacityRps);
    await sleep(ms);
  }
  client.setLoad(undefined);
  await client.idle();
  const run = recordedSince(sinceMs, Math.floor(COURSE.reduce((sum, { ms }) => sum + ms, 0) / POLL_MS));
  const launched = events.findLast((event) => event.type === 'vm.launched');
  const bootMs = launched?.launchMs ?? 0;
  const sizing = { capacityRps, targetPercent: 50 };
  const beside = besideModel(run, policy(), { sizing, bootMs, pollMs: POLL_MS });
  const {
    apart,
    farthest,
    realFirstFall = 0,
    realFirstRise = 0,
    realVmSeconds,
    modelledFirstFall = Number.NaN,
    modelledFirstRise = Number.NaN,
    modelledVmSeconds,
  } = beside;
  console.log(
    `one VM carries ${capacityRps.toFixed(0)} requests/s and forks in ${bootMs} ms; real | model: second VM at ${realFirstRise} | ${modelledFirstRise} s, ` +
      `gone at ${realFirstFall} | ${modelledFirstFall} s, ${realVmSeconds} | ${modelledVmSeconds} VM-seconds; apart ${(100 * apart).toFixed(0)} % of the time`,
  );
  expect(records.filter(({ status }) => status !== '200')).toEqual([]);
  expect(farthest).toBeLessThanOrEqual(1);
  expect(Math.abs(realFirstRise - modelledFirstRise)).toBeLessThanOrEqual(2);
  expect(Math.abs(realFirstFall - modelledFirstFall)).toBeLessThanOrEqual(2);
  expect(Math.abs(realVmSeconds - modelledVmSeconds)).toBeLessThanOrEqual(0.15 * realVmSeconds);
});
