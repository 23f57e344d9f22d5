// The same VMs as virtscale's by a shell loop over virsh, from what virtscale defined: the peer of create-100.
// Not here: virtscale's own way (create-bench).

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { macAddress } from '../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { diskXml } from '../src/adapters/hypervisor/libvirt/volume-xml.ts';
import { DomainXmlFlags } from '../src/libvirt/index.ts';
import { asked, inTurn, POOL, type PrivateHosts } from './private-hosts.ts';

const SCRIPT = join(import.meta.dirname, 'create-loop.sh');
const PREFIX = 'loop-';
const DELETES_AT_A_TIME = 2;
const COMPLAINTS_SHOWN = 4000;

/** A domain that virtscale made on one of the hosts, as it is defined there. */
export interface Template {
  readonly name: string;
  readonly uuid: string;
  readonly address: string;
  readonly xml: string;
}

export async function templateOn(uri: string, name: string, address: string): Promise<Template> {
  return asked(uri, async (client) => {
    const domain = await client.domainByName(name);
    return { name, uuid: domain.uuid, address, xml: await client.domainXml(domain, DomainXmlFlags.INACTIVE) };
  });
}

/** Writes the files of domains and their disks beforehand. `templates`: one per host. Returns their folder. */
export async function writeDomainFiles(
  hosts: PrivateHosts,
  templates: readonly Template[],
  count: number,
): Promise<string> {
  const folder = join(hosts.files.folder, `loop-${randomUUID()}`);
  for (const kind of ['domains', 'volumes']) await mkdir(join(folder, kind), { recursive: true });
  const digits = String(count).length;
  for (let index = 0; index < count; index += 1) {
    const at = index % hosts.all.length;
    const [template, host] = [templates[at], hosts.all[at]];
    if (template === undefined || host === undefined) throw new Error(`host ${at} has no template`);
    const name = `${PREFIX}${String(index + 1).padStart(digits, '0')}`;
    const address = `${host.forwardPrefix}.${Math.floor(index / hosts.all.length) + 1}`;
    await writeFile(join(folder, 'domains', `${name}.xml`), likeTemplate(template, name, address));
    await writeFile(join(folder, 'volumes', `${name}.xml`), diskXml(name, hosts.image, hosts.image.bytes));
  }
  return folder;
}

/**
 * Without virtscale's metadata: a daemon that sees it would take the domain for its own. And without the seed for cloud-init, which
 * the loop does not make: it has that much less to do.
 */
function likeTemplate(
  { address: before, name: named, uuid: was, xml }: Template,
  name: string,
  address: string,
): string {
  const uuid = randomUUID();
  return xml
    .replace(/<metadata>.*<\/metadata>/s, '')
    .replace(/<disk\b.*?<\/disk>/gs, (disk) => (disk.includes('.seed.iso') ? '' : disk))
    .replaceAll(named, name)
    .replaceAll(macAddress(was), macAddress(uuid))
    .replaceAll(was, uuid)
    .replaceAll(`tcp:${before}:`, `tcp:${address}:`);
}

/** Milliseconds from the start of the shell to its end, when all domains run. */
export async function runShellLoop(
  hosts: PrivateHosts,
  folder: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number> {
  const uris = hosts.all.map(({ embedded }) => embedded.uri);
  const startedMs = performance.now();
  const child = spawn(SCRIPT, [POOL, folder, ...uris], {
    stdio: ['ignore', 'inherit', 'pipe'],
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = `${complaints}${chunk}`.slice(-COMPLAINTS_SHOWN);
  });
  const [status] = await once(child, 'close');
  const tookMs = performance.now() - startedMs;
  if (status !== 0) throw new Error(`the shell loop ended with status ${status}: ${complaints}`);
  return tookMs;
}

/** Ends and removes what the loop made. */
export async function removeLoopDomains(hosts: PrivateHosts): Promise<void> {
  await Promise.all(
    hosts.all.map(({ embedded }) =>
      asked(embedded.uri, async (client) => {
        const domains = (await client.listDomains()).filter(({ name }) => name.startsWith(PREFIX));
        await inTurn(domains, DELETES_AT_A_TIME, async (domain) => {
          if (domain.id >= 0) await client.destroyDomain(domain);
          await client.undefineDomain(domain);
        });
        const pool = await client.lookupPoolByName(POOL);
        await client.refreshPool(pool);
        const volumes = (await client.listVolumes(pool)).filter(({ name }) => name.startsWith(`vs-${PREFIX}`));
        await inTurn(volumes, DELETES_AT_A_TIME, (volume) => client.deleteVolume(volume));
      }),
    ),
  );
}
