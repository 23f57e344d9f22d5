// Nodes on private real hosts with one cluster network, of the image with ssh and MPI, as a virtual cluster's are. Not here: the cluster.

import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '../../src/adapters/clock/system-clock.ts';
import {
  type EmbeddedHost,
  startEmbeddedHost,
  stopEmbeddedHost,
} from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { ensureGuestImage } from '../../src/adapters/hypervisor/embedded/guest-image.ts';
import { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import type { ExecOptions } from '../../src/ports/guest-commands.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';

/** Shared by all tests of this machine and user. */
const IMAGES = `/tmp/virtscale-test-images-${process.getuid?.() ?? 0}`;
const AGENT_PATIENCE_MS = 60_000;
const LOOK_MS = 50;
const never = new AbortController().signal;

export interface ClusterNode {
  readonly name: string;
  readonly address: string;
  readonly uuid: string;
  readonly hypervisor: LibvirtHypervisor;
  /** Runs a line of shell; all it wrote. Throws when it ends otherwise than well. */
  sh(line: string, options?: Omit<ExecOptions, 'onOutput'>): Promise<string>;
}

export interface ClusterNodes {
  readonly networkId: string;
  readonly nodes: readonly ClusterNode[];
  readonly clock: SystemClock;
  untilAgent(node: ClusterNode): Promise<void>;
  stop(): Promise<void>;
}

/** One node on each of `count` hosts, up and with an agent that answers. */
export async function startClusterNodes(count: number, log?: (line: string) => void): Promise<ClusterNodes> {
  const clock = new SystemClock();
  const networkId = randomUUID();
  const folders: string[] = [];
  const nodes: ClusterNode[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map(({ hypervisor }) => hypervisor.close()));
    for (const folder of folders) {
      await stopEmbeddedHost(folder);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  };
  const untilAgent = async ({ hypervisor, name, uuid }: ClusterNode): Promise<void> => {
    const endMs = clock.nowMs() + AGENT_PATIENCE_MS;
    while (!(await hypervisor.agentAnswers(uuid, 1000, never))) {
      if (clock.nowMs() > endMs) throw new Error(`no agent in ${name} within ${AGENT_PATIENCE_MS} ms`);
      await clock.sleep(LOOK_MS);
    }
  };
  try {
    const image = await ensureGuestImage({ dir: IMAGES, kind: 'mpi', ...(log && { log }) });
    const file = (name: string): string => join(image.dir, name);
    const direct = { kernel: file(image.kernel), initrd: file(image.initrd), args: image.kernelArgs };
    const disk = { name: 'mpi', path: file(image.disk), format: 'qcow2', direct } as const;
    for (let n = 1; n <= count; n += 1) {
      const stateDir = await mkdtemp('/tmp/vsc-');
      folders.push(stateDir);
      await chmod(stateDir, 0o777);
      const host = await startEmbeddedHost({ stateDir, name: `h${n}` });
      const hypervisor = hypervisorOn(host, n, image.userNetworkArgs, clock);
      const [address, uuid] = [`10.88.7.${n}`, randomUUID()];
      const spec: VmSpec = {
        name: `c1-node${n}`,
        uuid,
        image: disk,
        flavor: { name: 'node', vcpus: 1, memoryMiB: image.memoryMiB.suggested },
        networks: [{ id: networkId, address, prefixBits: 24 }],
        metadata: { id: n, owner: 'o', operation: 'd-1', image: 'mpi', flavor: 'node' },
      };
      nodes.push(nodeOf(hypervisor, spec, address));
      await hypervisor.createDisk(spec, never);
      await hypervisor.define(spec, never);
      await hypervisor.start(uuid, never);
    }
    await Promise.all(nodes.map(untilAgent));
    return { networkId, nodes, clock, untilAgent, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function hypervisorOn(host: EmbeddedHost, n: number, kernelArgs: string, clock: SystemClock): LibvirtHypervisor {
  return new LibvirtHypervisor({
    host: host.name,
    uri: host.uri,
    clock,
    pool: { name: 'virtscale', path: host.poolDir },
    network: { kind: 'forward', addressPrefix: `127.79.${n}`, port: 8080, kernelArgs },
    accel: { kind: host.accel, reason: host.accelReason },
  });
}

function nodeOf(hypervisor: LibvirtHypervisor, { uuid }: VmSpec, address: string): ClusterNode {
  const name = `node${address.split('.').at(-1)}`;
  const sh: ClusterNode['sh'] = async (line, options = {}) => {
    let text = '';
    const onOutput: ExecOptions['onOutput'] = ({ bytes }) => {
      text += Buffer.from(bytes).toString();
    };
    const result = await hypervisor.guest.exec(uuid, ['sh', '-c', line], { ...options, onOutput }, never);
    if ('exitCode' in result && result.exitCode === 0) return text;
    throw new Error(`${name}: ${line} ended with ${JSON.stringify(result)}: ${text}`);
  };
  return { name, address, uuid, hypervisor, sh };
}
