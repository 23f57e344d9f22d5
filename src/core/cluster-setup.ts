// What a node of a cluster is told so that all nodes are one system: its name, the others' names and addresses, the key they share.
// Pure text, for a shell. Not here: telling it (engine/cluster-setup), the card and its address, which the guest has from its start.

import { type Cluster, nodeName, nodeVmName } from './cluster.ts';

/** A node as the others know it. */
export interface KnownNode {
  readonly number: number;
  /** On the cluster's network. */
  readonly address: string;
  readonly vcpus: number;
}

/** Ours among the lines of authorized_keys, whatever the key. */
const MARK = 'virtscale-cluster';
/** A line that no content of ours can be. */
const END = 'END_OF_VIRTSCALE_TEXT';

/** The comment of a cluster's key: by it the key is found again where it is replaced. */
export function keyComment(name: string): string {
  return `${name}@${MARK}`;
}

/**
 * A script for /bin/sh, run as root; running it again changes nothing. Where its programs are missing it fails and says which. mpirun reads
 * `/etc/virtscale/nodes`: NAME:VCPUS a line.
 */
export function setupScript(
  cluster: Pick<Cluster, 'name' | 'sshKey' | 'node'>,
  own: number,
  nodes: readonly KnownNode[],
): string {
  const hosts = nodes.map(({ address, number }) => `${address} ${nodeName(number)} ${nodeVmName(cluster, number)}`);
  const slots = nodes.map(({ number, vcpus }) => `${nodeName(number)}:${vcpus}`);
  const keys = [cluster.sshKey.publicKey, ...(cluster.node.sshKeys ?? [])];
  return [
    'set -e',
    'umask 022',
    'mkdir -p /etc/virtscale /root/.ssh',
    'chmod 700 /root/.ssh',
    file('/etc/hostname', [nodeName(own)]),
    `hostname ${nodeName(own)}`,
    file('/etc/hosts', ['127.0.0.1 localhost', '::1 localhost', ...hosts]),
    file('/etc/virtscale/nodes', slots),
    'umask 077',
    file('/root/.ssh/id_ed25519', [cluster.sshKey.privateKey.trimEnd()]),
    file('/root/.ssh/config', ['Host node*', '  StrictHostKeyChecking accept-new']),
    file('/root/.ssh/keys.virtscale', keys),
    // Keys that people have added stay.
    'touch /root/.ssh/authorized_keys',
    'grep -vxF -f /root/.ssh/keys.virtscale /root/.ssh/authorized_keys > /root/.ssh/keys.others || true',
    `grep -v '@${MARK}$' /root/.ssh/keys.others > /root/.ssh/keys.kept || true`,
    'cat /root/.ssh/keys.kept /root/.ssh/keys.virtscale > /root/.ssh/authorized_keys.new',
    'mv /root/.ssh/authorized_keys.new /root/.ssh/authorized_keys',
    'rm -f /root/.ssh/keys.virtscale /root/.ssh/keys.others /root/.ssh/keys.kept',
    // With dropbear the key is the hosts' own too: each knows all others beforehand.
    'if command -v dropbearconvert > /dev/null; then',
    'dropbearconvert openssh dropbear /root/.ssh/id_ed25519 /root/.ssh/id_dropbear 2> /dev/null',
    'mkdir -p /etc/dropbear',
    'cp /root/.ssh/id_dropbear /etc/dropbear/dropbear_ed25519_host_key',
    file(
      '/root/.ssh/known_hosts',
      nodes.flatMap((node) => knownHosts(cluster, node)),
    ),
    'fi',
    '',
  ].join('\n');
}

/** By whatever name a node is called. */
function knownHosts(cluster: Pick<Cluster, 'name' | 'sshKey'>, { address, number }: KnownNode): readonly string[] {
  const [type, key] = cluster.sshKey.publicKey.split(' ');
  return [nodeName(number), nodeVmName(cluster, number), address].map((name) => `${name} ${type} ${key}`);
}

function file(path: string, lines: readonly string[]): string {
  return [`cat > ${path} <<'${END}'`, ...lines, END].join('\n');
}
