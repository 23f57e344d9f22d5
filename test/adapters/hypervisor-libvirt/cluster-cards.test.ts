// Cards on cluster networks as text: the same for the same VM and network wherever it is, and nowhere else than they should be.

import { describe, expect, test } from 'vitest';
import {
  checkClusterNetworks,
  clusterKernelArgs,
  clusterLinkOf,
  clusterMac,
  clusterNetworkConfig,
  multicastGroup,
} from '../../../src/adapters/hypervisor/libvirt/cluster-cards.ts';
import { domainXml, macAddress } from '../../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { readMetadata } from '../../../src/adapters/hypervisor/libvirt/vm-metadata.ts';
import type { ClusterNetwork } from '../../../src/core/model.ts';
import type { VmSpec } from '../../../src/ports/hypervisor.ts';

const UUID = '7b0c5a8e-3f0d-4a53-9a33-0a6d6f1c0001';
const NETWORKS: readonly ClusterNetwork[] = [{ id: 'c-1', address: '10.88.7.2', prefixBits: 24 }];
const SPEC: VmSpec = {
  name: 'c1-node2',
  uuid: UUID,
  image: { name: 'mpi', path: '/i', format: 'qcow2', direct: { kernel: '/k', initrd: '/r', args: 'quiet' } },
  flavor: { name: 'node', vcpus: 1, memoryMiB: 256 },
  networks: NETWORKS,
  metadata: { id: 2, owner: 'o', operation: 'd-1', image: 'mpi', flavor: 'node' },
};
const FORWARD = { kind: 'forward', addressPrefix: '127.0.1', port: 8080, kernelArgs: 'virtscale.ip=x' } as const;
const xmlOf = (options: Partial<Parameters<typeof domainXml>[1]>): string =>
  domainXml(SPEC, { accel: 'qemu', network: FORWARD, diskPath: '/d', ...options });

describe('cluster cards', () => {
  test('with forwarded ports they are on a multicast group that stays on the machine, beside the forwarded card', () => {
    const xml = xmlOf({ endpoint: { address: '127.0.1.1', port: 8080 } });
    const { address, port } = multicastGroup('c-1');
    expect(xml).toContain('hostfwd=tcp:127.0.1.1:8080-:80');
    expect(xml).toContain(`socket,id=cluster0,mcast=${address}:${port},localaddr=127.0.0.1`);
    expect(xml).toContain(`mac=${clusterMac(UUID, 'c-1')},romfile=,bus=pcie.0,addr=0x11`);
    expect(xml).toContain(`quiet virtscale.ip=x virtscale.net=${clusterMac(UUID, 'c-1')}/10.88.7.2/24/9000<`);
    expect(xml).not.toContain('<interface');
  });

  test('with a bridge they are on it, and so they are where somebody says', () => {
    const bridge = { kind: 'bridge', name: 'br0' } as const;
    const cards = (xml: string): number => xml.match(/<interface type='bridge'>/g)?.length ?? 0;
    expect(cards(xmlOf({ network: bridge }))).toBe(2);
    const own = xmlOf({ network: bridge, clusterLink: { kind: 'network', name: 'cluster' } });
    expect(cards(own)).toBe(1);
    expect(own).toContain("<source network='cluster'/>");
    expect(clusterLinkOf(FORWARD, bridge)).toBe(bridge);
  });

  test('in a LAN a whole frame must fit into a datagram; on a bridge the guest keeps its own size', () => {
    const lan = { kind: 'multicast', localAddress: '192.0.2.7' } as const;
    expect(clusterKernelArgs(UUID, NETWORKS, lan)).toMatch(/\/24\/1458$/);
    expect(clusterKernelArgs(UUID, NETWORKS, { kind: 'bridge', name: 'b' })).toMatch(/\/24$/);
  });

  test('they are read back from the metadata', () => {
    const [metadata = ''] = /<virtscale:vm .*<\/virtscale:vm>/s.exec(xmlOf({})) ?? [];
    expect(readMetadata(metadata.replaceAll('virtscale:', ''))).toMatchObject({ id: 2, networks: NETWORKS });
  });

  test('cloud-init is told of the first card too', () => {
    const config = clusterNetworkConfig(UUID, macAddress(UUID), NETWORKS, clusterLinkOf(FORWARD));
    expect(config).toEqual({
      version: 2,
      ethernets: {
        first: { match: { macaddress: macAddress(UUID) }, dhcp4: true },
        cluster0: { match: { macaddress: clusterMac(UUID, 'c-1') }, addresses: ['10.88.7.2/24'], mtu: 9000 },
      },
    });
  });

  test('nothing that is no network gets into a command line', () => {
    const [good] = NETWORKS as [ClusterNetwork];
    const bad: Partial<ClusterNetwork>[] = [{ id: 'a,b' }, { id: '' }, { address: '10.1' }, { prefixBits: 31 }];
    for (const change of bad)
      expect(() => checkClusterNetworks([{ ...good, ...change }])).toThrow(/no cluster network/);
    expect(() => checkClusterNetworks([good, good])).toThrow(/one card/);
    expect(() => checkClusterNetworks([good])).not.toThrow();
  });

  test('networks have groups of their own', () => {
    const groups = Array.from({ length: 500 }, (_, n) => JSON.stringify(multicastGroup(`c-${n}`)));
    expect(new Set(groups).size).toBe(500);
    for (const group of groups) expect(group).toMatch(/"239\.19[2-5]\./);
  });
});
