// `npm run bed -- embedded 3`, `npm run bed -- hosts 3`: a test bed for use by hand, up until Ctrl-C; then nothing of it is left.
// Exit status 2 when the arguments make no sense, 1 when the bed cannot be had.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bedImage } from '../support/bed-guest.ts';
import { startEmbeddedBed } from './embedded-bed.ts';
import { startHostBed } from './host-bed.ts';
import { POOL } from './host-settings.ts';
import { canHoldHosts } from './requirements.ts';
import { type ListedHost, table, virtscaleYaml } from './virtscale-yaml.ts';

const USAGE = `usage: npm run bed -- embedded [HOSTS]          unprivileged libvirtds side by side (1 to 16 hosts, default 3)
       npm run bed -- hosts [HOSTS] [OPTIONS]   whole hosts in namespaces of their own; root only (1 to 4, default 3)
         --host-cpu PERCENT   of one CPU, for each host with all its VMs
         --vm-cpu PERCENT     of one CPU, for each VM`;

interface Bed {
  stop(): Promise<void>;
  /** For people, on the screen; also writes the bed's virtscale.yaml. */
  describe(): Promise<string>;
}

interface Arguments {
  readonly kind: 'embedded' | 'hosts';
  readonly hosts: number;
  readonly hostPercent: number | undefined;
  readonly vmPercent: number | undefined;
}

function readArguments(): Arguments | undefined {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: { 'host-cpu': { type: 'string' }, 'vm-cpu': { type: 'string' } },
    });
    const [kind, count = '3', ...rest] = positionals;
    const hosts = Number(count);
    if ((kind !== 'embedded' && kind !== 'hosts') || rest.length > 0) return undefined;
    if (!Number.isInteger(hosts) || hosts < 1 || hosts > (kind === 'hosts' ? 4 : 16)) return undefined;
    const [hostPercent, vmPercent] = [values['host-cpu'], values['vm-cpu']].map((text) =>
      text === undefined ? undefined : Number(text),
    );
    if ([hostPercent, vmPercent].some((percent) => percent !== undefined && !(percent >= 1 && percent <= 10_000))) {
      return undefined;
    }
    return { kind, hosts, hostPercent, vmPercent };
  } catch {
    return undefined;
  }
}

async function embeddedBed(hosts: number, signal: AbortSignal): Promise<Bed> {
  const { image, userNetworkArgs } = await bedImage();
  const bed = await startEmbeddedBed({ hosts, signal, log: console.log });
  const describe = async (): Promise<string> => {
    const listed = bed.hosts.map(
      ({ name, host, forwardPrefix }): ListedHost => ({
        name,
        uri: host.uri,
        pool: { name: POOL, path: host.poolDir },
        network: { forward: forwardPrefix },
      }),
    );
    const rows = bed.hosts.map(({ name, host, forwardPrefix }) => [name, host.uri, `${forwardPrefix}.N`]);
    const config = await writeConfig(bed.dir, virtscaleYaml(bed.dir, listed, image, userNetworkArgs));
    return `${table([['host', 'URI', 'VMs answer on'], ...rows])}

${config.text}
A daemon on this bed: npm start -- --config ${config.path}`;
  };
  return { describe, stop: bed.stop };
}

async function hostBed({ hosts, hostPercent, vmPercent }: Arguments, signal: AbortSignal): Promise<Bed> {
  const verdict = await canHoldHosts();
  if (!verdict.ok) throw new Error(`no bed of whole hosts here: ${verdict.reason}`);
  const quotas = { ...(hostPercent !== undefined && { hostPercent }), ...(vmPercent !== undefined && { vmPercent }) };
  const { image } = await bedImage();
  const bed = await startHostBed({ hosts, quotas, signal, log: console.log });
  const describe = async (): Promise<string> => {
    const listed = bed.hosts.map(
      ({ name, poolDir, uris }): ListedHost => ({
        name,
        uri: uris.unix,
        pool: { name: POOL, path: poolDir },
        network: { bridge: 'br0' },
      }),
    );
    const rows = bed.hosts.flatMap(({ name, address, uris }) =>
      Object.values(uris).map((uri, index) => (index === 0 ? [name, address, uri] : ['', '', uri])),
    );
    const config = await writeConfig(bed.dir, virtscaleYaml(bed.dir, listed, image));
    const inside = `ip netns exec ${bed.controlSpace}`;
    return `${table([['host', 'address', 'URIs'], ...rows])}
CPU quotas: ${bed.quotas.inForce ? 'in force, by ' : ''}${bed.quotas.reason}

${config.text}
The unix sockets can be reached from everywhere on this machine. Addresses of 10.77.0.0/24, the VMs' as well, only from inside:
  ${inside} COMMAND
A daemon on this bed: ${inside} npm start -- --config ${config.path}`;
  };
  return { describe, stop: bed.stop };
}

async function writeConfig(dir: string, text: string): Promise<{ readonly path: string; readonly text: string }> {
  const path = join(dir, 'virtscale.yaml');
  await mkdir(join(dir, 'policies'));
  await writeFile(path, text);
  return { path, text: `# ${path}\n${text}` };
}

async function main(): Promise<number> {
  const args = readArguments();
  if (args === undefined) {
    console.error(USAGE);
    return 2;
  }
  const stop = new AbortController();
  const asked = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stop.abort(new Error('told to stop'));
      asked.resolve();
    });
  }
  // Signals alone keep no process alive.
  const awake = setInterval(() => undefined, 60_000);
  try {
    const bed = await (args.kind === 'embedded' ? embeddedBed(args.hosts, stop.signal) : hostBed(args, stop.signal));
    try {
      console.log(`\n${await bed.describe()}\n\nUp until Ctrl-C.`);
      await asked.promise;
    } finally {
      console.log('Removing everything ...');
      await bed.stop();
    }
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    clearInterval(awake);
  }
}

process.exitCode = await main();
