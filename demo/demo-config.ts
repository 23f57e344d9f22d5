// The daemon's configuration and the group's policy for the demo, as files a user could have written.

import { chmod, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GROUP, IN_PERCENT, OUT_PERCENT, type Pace } from './pace.ts';

export interface DemoFiles {
  /** Holds all the others. */
  readonly folder: string;
  readonly config: string;
  readonly policies: string;
  readonly stateDir: string;
  /** The embedded host's part of it. */
  readonly hostDir: string;
}

const HOST = 'local';

const CONFIG = `# An embedded host: a libvirtd and its QEMUs that belong to virtscale alone.
hosts:
  - { name: ${HOST}, embedded: true }
`;

/** What HAProxy and the configuration call it. */
export const BALANCER = 'front';
export const BACKEND = 'web';

/** With a HAProxy whose runtime socket is that one. */
export function configText(socket: string): string {
  return `${CONFIG}
balancers:
  - { name: ${BALANCER}, type: haproxy, socket: ${socket}, backend: ${BACKEND} }
`;
}

/** `behind`: the name of a balancer. */
export function policyText(pace: Pace, behind?: string): string {
  const { outFor, outCooldown, inFor, inCooldown, drainGrace } = pace.policy;
  return `group: ${GROUP}
min: 1
max: 2
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
capacity: { fork: true }
drain: { grace: ${drainGrace} }
shutdown: { deadline: 10s }${behind === undefined ? '' : `\nbalancer: ${behind}`}
scale:
  - { name: hot, type: threshold, metric: cpu, above: ${OUT_PERCENT}, for: ${outFor}, add: 1, cooldown: ${outCooldown} }
  - { name: idle, type: threshold, metric: cpu, below: ${IN_PERCENT}, for: ${inFor}, remove: 1, cooldown: ${inCooldown} }
`;
}

/**
 * Writes both into a new folder below the system's temporary one; the daemon's state goes beside them. The path is short, for
 * sockets lie below it and have 107 bytes; it is open to all, for guests run under another account than root.
 */
export async function writeDemoFiles(
  content: {
    /** Told the folder that everything is in. */
    readonly config?: string | ((folder: string) => string);
    /** Absent: no group at all. */
    readonly policy?: { readonly group: string; readonly text: string };
  } = {},
): Promise<DemoFiles> {
  const folder = await mkdtemp(join(tmpdir(), 'vs-'));
  await chmod(folder, 0o755);
  const files = demoFilesIn(folder);
  await mkdir(files.policies);
  const { config = CONFIG } = content;
  await writeFile(files.config, typeof config === 'string' ? config : config(folder));
  const { policy } = content;
  if (policy !== undefined) await writeFile(join(files.policies, `${policy.group}.yaml`), policy.text);
  return files;
}

/** Where the files lie in a folder that `writeDemoFiles` made. */
export function demoFilesIn(folder: string): DemoFiles {
  return {
    folder,
    config: join(folder, 'virtscale.yaml'),
    policies: join(folder, 'policies'),
    stateDir: join(folder, 's'),
    hostDir: join(folder, 's', HOST),
  };
}

/** The command line of a daemon on these files. */
export function serveArguments(files: DemoFiles, port: number): readonly string[] {
  return [
    'serve',
    ...['--config', files.config],
    ...['--state-dir', files.stateDir],
    ...['--policies', files.policies],
    ...['--listen', `127.0.0.1:${port}`],
  ];
}
