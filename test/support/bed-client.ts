// A client inside a bed's network, where the tests themselves are not: a program of its own, run by `ip netns exec`.
//   node bed-client.ts libvirt URI        what a LibvirtClient sees there, as JSON
//   node bed-client.ts http URL LIMIT_MS  the first answer, asked for until the limit, as JSON
// Not here: expectations.
import { setTimeout as sleep } from 'node:timers/promises';
import { LibvirtClient } from '../../src/libvirt/index.ts';

/** What `libvirt URI` prints. */
export interface SeenByClient {
  readonly hostname: string;
  readonly libvirt: number;
  readonly domains: readonly string[];
  readonly volumes: readonly string[];
}

/** What `http URL` prints. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

export const BED_CLIENT = import.meta.filename;

const CONNECT_LIMIT_MS = 4_000;
const ASK_LIMIT_MS = 500;

async function askLibvirt(uri: string): Promise<SeenByClient> {
  const client = new LibvirtClient({ uri, connectTimeoutMs: CONNECT_LIMIT_MS });
  try {
    const domains = await client.listDomains();
    const volumes = await client.listVolumes(await client.lookupPoolByName('virtscale'));
    return {
      hostname: await client.hostname(),
      libvirt: await client.libVersion(),
      domains: domains.map(({ name }) => name).sort(),
      volumes: volumes.map(({ name }) => name).sort(),
    };
  } finally {
    await client.close();
  }
}

async function askHttp(url: string, limitMs: number): Promise<HttpAnswer> {
  for (const deadline = performance.now() + limitMs; ; await sleep(20)) {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(ASK_LIMIT_MS) });
      return { status: answer.status, body: await answer.json() };
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

if (process.argv[1] === BED_CLIENT) {
  const [what, address = '', limitMs = '5000'] = process.argv.slice(2);
  const answer = what === 'http' ? await askHttp(address, Number(limitMs)) : await askLibvirt(address);
  console.log(JSON.stringify(answer));
}
