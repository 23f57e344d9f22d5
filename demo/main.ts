// `npm run demo`: plays the load story on real VMs and leaves plots, logs and a summary.
// Exit status 0 only when the story really happened. Not here: installing what is missing (scripts/run.mjs).

import { rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { stopEmbeddedHost } from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import { clusterDemo } from './cluster/cluster-demo.ts';
import { DaemonApi } from './daemon-api.ts';
import { type DaemonProcess, freePort, startDaemon } from './daemon-process.ts';
import { BALANCER, configText, type DemoFiles, policyText, serveArguments, writeDemoFiles } from './demo-config.ts';
import { Front, socketIn } from './front.ts';
import { machineText } from './live-text.ts';
import { clearOutput } from './output-folder.ts';
import { FAST_PACE, GROUP, IN_PERCENT, KILL_MS, NORMAL_PACE, OUT_PERCENT } from './pace.ts';
import { cpuPlot } from './plots/cpu-plot.ts';
import { writePlot } from './plots/render.ts';
import { responseTimePlot } from './plots/response-time-plot.ts';
import { runSteps } from './progress.ts';
import { type Replayed, replayed } from './replay.ts';
import { resultScreen } from './result-screen.ts';
import { Story } from './story.ts';
import { summarise, type Verdict } from './summary.ts';
import { timelineOf } from './timeline.ts';

const USAGE = `npm run demo -- [--haproxy | --cluster] [--fast] [--keep] [--out DIR] [--port N]

  --haproxy   clients know only a HAProxy in front; one VM is killed by hand, and nobody notices
  --cluster   the story of a virtual cluster: two users, four nodes on two hosts, an MPI program
  --fast      a shorter story, under 90 s
  --keep      leave the daemon and the VMs running for a look around
  --out DIR   where plots, logs and the summary go (default: output-log)
  --port N    the daemon's port on 127.0.0.1 (default: a free one)
`;

interface DemoOptions {
  readonly cluster: boolean;
  readonly haproxy: boolean;
  readonly fast: boolean;
  readonly keep: boolean;
  readonly out: string;
  readonly port: number;
}

async function demo(options: DemoOptions, signal: AbortSignal): Promise<boolean> {
  const pace = options.fast ? FAST_PACE : NORMAL_PACE;
  await clearOutput(options.out);
  const files = await writeDemoFiles({
    ...(options.haproxy && { config: (folder: string) => configText(socketIn(folder)) }),
    policy: { group: GROUP, text: policyText(pace, options.haproxy ? BALANCER : undefined) },
  });
  const limitMs = pace.limitMs + (options.haproxy ? KILL_MS : 0);
  const front = options.haproxy ? await startFront(files) : undefined;
  const broken = new AbortController();
  const limit = AbortSignal.timeout(limitMs);
  const storySignal = AbortSignal.any([signal, limit, broken.signal]);
  const base = `http://127.0.0.1:${options.port}`;
  const story = new Story({
    base,
    api: new DaemonApi(base),
    pace,
    outputFolder: options.out,
    hostDir: files.hostDir,
    ...(front && { front }),
    signal: storySignal,
  });
  let daemon: DaemonProcess | undefined;
  let failure: unknown;
  let again: Replayed | undefined;
  let keep = false;
  try {
    daemon = await startDaemon(serveArguments(files, options.port), {
      log: join(options.out, 'autoscaler.ndjson'),
      errors: join(files.folder, 'stderr.txt'),
    });
    void daemon.ended.then((how) => broken.abort(new Error(how)));
    await runSteps(story.steps(), process.stdout.isTTY);
    keep = options.keep;
  } catch (error) {
    failure = storySignal.aborted ? storySignal.reason : error;
    if (limit.aborted) failure = new Error(`the story was not over after ${limitMs / 1000} s`);
  } finally {
    await story.close();
    if (keep) {
      daemon?.leave();
      front?.leave();
    } else {
      await front?.stop();
      again = await stopEverything(daemon, files);
    }
  }
  const verdict = await writeResults(story, options.out, again);
  console.log(resultScreen(verdict, failure, options.out));
  if (keep && daemon !== undefined) console.log(lookAround(base, daemon, files, front));
  return verdict.summary.ok && failure === undefined;
}

async function startFront(files: DemoFiles): Promise<Front> {
  try {
    return await Front.start(files.folder, await freePort());
  } catch (error) {
    await rm(files.folder, { recursive: true, force: true });
    throw error;
  }
}

/** Says what the daemon's own record of its decisions is worth. */
async function stopEverything(daemon: DaemonProcess | undefined, files: DemoFiles): Promise<Replayed> {
  const inTime = await daemon?.stop();
  if (inTime === false) console.error('the daemon did not end after SIGTERM and was killed');
  const again = await replayed(files.stateDir);
  await stopEmbeddedHost(files.hostDir);
  await rm(files.folder, { recursive: true, force: true });
  return again;
}

async function writeResults(story: Story, out: string, again: Replayed | undefined): Promise<Verdict> {
  const { frontReport: report, host, journal, killed, requests, spans } = story;
  const verdict = summarise({
    threshold: OUT_PERCENT,
    events: journal.events,
    requests,
    ...(host?.accel !== undefined && { accel: host.accel }),
    ...(host?.libvirtVersion !== undefined && { libvirt: host.libvirtVersion }),
    ...(host?.qemuVersion !== undefined && { qemu: host.qemuVersion }),
    ...(story.stillThere !== undefined && { stillThere: story.stillThere }),
    ...(again && { replayed: again }),
    ...(story.isBehindFront && { front: { ...(killed && { killed }), ...(report && { report }) } }),
  });
  const timeline = timelineOf(journal.events);
  const machine = machineText(host);
  const arrival = timeline.out?.launchedAt;
  await writeFile(join(out, 'summary.json'), `${JSON.stringify(verdict.summary, null, 2)}\n`);
  await writePlot(
    out,
    'cpu',
    cpuPlot({
      ...{ samples: story.cpu.samples, timeline, spans, machine },
      ...{ outPercent: OUT_PERCENT, inPercent: IN_PERCENT },
      ...(killed && { killed: { vm: killed.vm.name, atMs: killed.atMs } }),
    }),
  );
  await writePlot(
    out,
    'response-time',
    responseTimePlot({
      requests,
      machine,
      ...(arrival !== undefined && {
        arrival: { atMs: Date.parse(arrival), vm: timeline.out?.vm?.name ?? 'the second VM' },
      }),
    }),
  );
  return verdict;
}

function lookAround(base: string, daemon: DaemonProcess, files: DemoFiles, front: Front | undefined): string {
  const node = relative(process.cwd(), process.execPath);
  return `
Everything keeps running (--keep). To look around:
  ${base}/v1/groups/${GROUP}   the group, its VMs, the latest decision
  ${base}/metrics         for Prometheus
  ${node} src/cli.ts status --url ${base}
To stop:
  ${node} demo/stop.ts ${daemon.pid} ${files.folder}${front === undefined ? '' : ` && kill ${front.pid}`}`;
}

function readOptions(): DemoOptions | undefined {
  const { values } = parseArgs({
    options: {
      cluster: { type: 'boolean', default: false },
      haproxy: { type: 'boolean', default: false },
      fast: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      out: { type: 'string', default: 'output-log' },
      port: { type: 'string', default: '0' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`--port ${values.port}: wanted 1 to 65535`);
  const { cluster, fast, haproxy, keep } = values;
  if (cluster && (haproxy || keep)) throw new Error('--cluster goes with --fast, --out and --port only');
  return { cluster, haproxy, fast, keep, out: resolve(values.out), port };
}

async function main(): Promise<number> {
  let options: DemoOptions | undefined;
  try {
    options = readOptions();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options === undefined) {
    console.log(USAGE);
    return 0;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (!interrupted.signal.aborted) console.error(styleText('yellow', `\n${name}: stopping everything…`));
      interrupted.abort(new Error(`interrupted by ${name}`));
    });
  }
  const port = options.port === 0 ? await freePort() : options.port;
  const play = options.cluster ? clusterDemo : demo;
  return (await play({ ...options, port }, interrupted.signal)) ? 0 : 1;
}

process.exitCode = await main();
