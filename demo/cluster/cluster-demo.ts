// `npm run demo -- --cluster`: a virtual cluster on two embedded hosts, as its users see it. Leaves a transcript and a plot.
// Not here: the commands (cluster-story).

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stopEmbeddedHost } from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { DaemonApi } from '../daemon-api.ts';
import { startDaemon } from '../daemon-process.ts';
import { serveArguments, writeDemoFiles } from '../demo-config.ts';
import { writePlot } from '../plots/render.ts';
import { speedUpPlot } from '../plots/speed-up-plot.ts';
import { type ClusterResult, clusterStory } from './cluster-story.ts';
import { Transcript } from './transcript.ts';

const HOSTS = ['east', 'west'] as const;
const CONFIG = `# Two embedded hosts: two libvirtds with their QEMUs, as if they were two machines.
hosts:
  - { name: ${HOSTS[0]}, embedded: true, network: { forward: 127.0.1 } }
  - { name: ${HOSTS[1]}, embedded: true, network: { forward: 127.0.2 } }
images:
  - { name: mpi, built: mpi }
users: { signUp: true }
`;
const LIMIT_MS = 600_000;
/** The image is built first: some 20 s, and 90 MB of packages. */
const READY_MS = 240_000;
/** What one emulated CPU computes in some seconds. */
const STEPS = { normal: 200_000_000, fast: 30_000_000 };

export interface ClusterDemoOptions {
  readonly out: string;
  readonly port: number;
  readonly fast: boolean;
}

export async function clusterDemo({ out, port, fast }: ClusterDemoOptions, signal: AbortSignal): Promise<boolean> {
  await mkdir(out, { recursive: true });
  const files = await writeDemoFiles({ config: CONFIG });
  const base = `http://127.0.0.1:${port}`;
  const broken = new AbortController();
  const any = AbortSignal.any([signal, broken.signal, AbortSignal.timeout(LIMIT_MS)]);
  const transcript = new Transcript(join(out, 'cluster.txt'), base, any);
  const logs = { log: join(files.folder, 'log.ndjson'), errors: join(files.folder, 'stderr.txt') };
  const daemon = await startDaemon(serveArguments(files, port), logs);
  void daemon.ended.then((how) => broken.abort(new Error(how)));
  try {
    const person = (name: string) => ({ name, home: join(files.folder, name) });
    const people = { root: person('root'), ann: person('ann'), bob: person('bob') };
    for (const { home } of Object.values(people)) await mkdir(home);
    await new DaemonApi(base).ready(READY_MS, any);
    const result = await clusterStory(transcript, people, fast ? STEPS.fast : STEPS.normal);
    await writeFile(join(out, 'cluster.json'), `${JSON.stringify(result, null, 2)}\n`);
    await writePlot(out, 'cluster-speed-up', speedUpPlot(result));
    console.log(screen(result, out));
    return true;
  } catch (error) {
    console.error(`\nthe story did not happen: ${any.aborted ? String(any.reason) : String(error)}`);
    return false;
  } finally {
    await transcript.close();
    await daemon.stop();
    for (const name of HOSTS) await stopEmbeddedHost(join(files.stateDir, name));
    await rm(files.folder, { recursive: true, force: true });
  }
}

function screen({ pi, runs }: ClusterResult, out: string): string {
  const [first] = runs;
  const lines = runs.map(({ nodes, seconds }) => {
    const times = first === undefined ? '' : `${(first.seconds / seconds).toFixed(2)} times as fast as one`;
    return `  ${nodes} ${nodes === 1 ? 'node ' : 'nodes'}  ${seconds.toFixed(2)} s   ${times}`;
  });
  return ['', `pi is ${pi}`, ...lines, '', `transcript and plot: ${out}/cluster.txt, cluster-speed-up.png`].join('\n');
}
