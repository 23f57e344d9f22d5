// The daemon's configuration and the group's policy for the demo, as files a user could have written.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GROUP, IN_PERCENT, OUT_PERCENT, type Pace } from './pace.ts';

export interface DemoFiles {
  readonly config: string;
  readonly policies: string;
  readonly stateDir: string;
}

const CONFIG = `# An embedded host: a libvirtd and its QEMUs that belong to virtscale alone.
hosts:
  - { name: local, embedded: true }
`;

export function policyText(pace: Pace): string {
  const { outFor, outCooldown, inFor, inCooldown, drainGrace } = pace.policy;
  return `group: ${GROUP}
min: 1
max: 2
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
drain: { grace: ${drainGrace} }
shutdown: { deadline: 10s }
scale:
  - { name: hot, type: threshold, metric: cpu, above: ${OUT_PERCENT}, for: ${outFor}, add: 1, cooldown: ${outCooldown} }
  - { name: idle, type: threshold, metric: cpu, below: ${IN_PERCENT}, for: ${inFor}, remove: 1, cooldown: ${inCooldown} }
`;
}

/** Writes both into `folder`; the daemon's state goes beside them. */
export async function writeDemoFiles(folder: string, pace: Pace): Promise<DemoFiles> {
  const files = {
    config: join(folder, 'virtscale.yaml'),
    policies: join(folder, 'policies'),
    stateDir: join(folder, 's'),
  };
  await mkdir(files.policies, { recursive: true });
  await writeFile(files.config, CONFIG);
  await writeFile(join(files.policies, `${GROUP}.yaml`), policyText(pace));
  return files;
}
