// Forks that share a network: each wakes with its link down, gets its card's address and one of its own by DHCP, and then serves.
// A host in namespaces of its own. Needs root; where there is none this file says so and tests nothing.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import { macAddress } from '../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { GuestAgent } from '../../src/adapters/hypervisor/libvirt/guest-agent.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { LibvirtClient } from '../../src/libvirt/index.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { type HostBed, startHostBed } from '../bed/host-bed.ts';
import { canHoldHosts } from '../bed/requirements.ts';
import { identityOf } from '../contracts/hypervisor-forks.ts';
import { BED_CLIENT, type HttpAnswer } from '../support/bed-client.ts';
import { BOOT_LIMIT_MS, eventually } from '../support/bed-eventually.ts';
import { bedImage, bedSpec, remove } from '../support/bed-guest.ts';

const never = new AbortController().signal;
const verdict = await canHoldHosts();
const reason = verdict.ok || verdict.lacks === 'programs' ? undefined : verdict.reason;
if (reason !== undefined) console.warn(`\n*** test/real/fork-on-bridge.test.ts TESTS NOTHING HERE: ${reason} ***\n`);

describe('forks on a bridge', () => {
  if (reason === undefined) onBridge();
  else it(`NOT TESTED: this machine cannot hold hosts: ${reason}`, () => expect(reason).not.toBe(''));
});

function onBridge(): void {
  let bed: HostBed;
  let hypervisor: LibvirtHypervisor;
  let client: LibvirtClient;

  beforeAll(async () => {
    bed = await startHostBed({ hosts: 1 });
    const uri = bed.hosts[0]?.uris.unix ?? '';
    client = new LibvirtClient({ uri });
    hypervisor = new LibvirtHypervisor({
      host: 'h1',
      uri,
      clock: new SystemClock(),
      pool: { name: 'virtscale' },
      network: { kind: 'bridge', name: 'br0' },
      accel: { kind: 'qemu', reason: 'for the test' },
    });
  });
  afterAll(async () => {
    await Promise.all([hypervisor?.close(), client?.close()]);
    await bed?.stop();
  });

  const ask = async (address: string): Promise<HttpAnswer> => {
    const command = [process.execPath, BED_CLIENT, 'http', `http://${address}/`, '20000'] as const;
    return JSON.parse(await bed.ctl(command, { timeoutMs: BOOT_LIMIT_MS })) as HttpAnswer;
  };

  it('serve from addresses of their own, beside each other, and stop and start as any VM', async () => {
    const built = await bedImage();
    const { flavor, ready = { agent: true } } = bedSpec(built, 1);
    const { key } = await hypervisor.makeTemplate(
      { image: built.image, flavor, ready },
      async (endpoint) => endpoint !== undefined && (await ask(endpoint.address)).status === 200,
      never,
    );
    const specs = [1, 2].map((id): VmSpec => ({ ...bedSpec(built, id), template: key }));
    const agent = new GuestAgent(client);
    const addresses: string[] = [];
    for (const spec of specs) {
      await hypervisor.createDisk(spec, never);
      expect(await hypervisor.define(spec, never)).toEqual({});
      await hypervisor.fork(spec, never);
      expect(await client.domainXml(await client.domainByUuid(spec.uuid))).toContain("<link state='down'/>");
      await eventually('its own', async () => {
        await hypervisor.personalise(spec.uuid, identityOf(spec), never);
        return true;
      });
      expect(await client.domainXml(await client.domainByUuid(spec.uuid))).not.toContain("<link state='down'/>");
      const endpoint = await eventually('address', () => hypervisor.endpoint(spec.uuid, 80, never));
      addresses.push(endpoint.address);
      expect(await ask(endpoint.address)).toEqual({ status: 200, body: { server: spec.name } });
      const card = { path: '/bin/cat', args: ['/sys/class/net/eth0/address'], output: true };
      expect((await agent.run(spec.uuid, card, { timeoutMs: 20_000 })).output.trim()).toBe(macAddress(spec.uuid));
    }
    expect(new Set(addresses).size).toBe(2);
    // The first still answers from its own beside the second.
    expect(await ask(addresses[0] ?? '')).toMatchObject({ body: { server: specs[0]?.name } });
    for (const spec of specs) await remove(hypervisor, spec, never);
    await hypervisor.removeTemplate(key, never);
    expect(await hypervisor.listTemplates(never)).toEqual([]);
  });
}
