// Two VMs on two private hosts share a network that leaves the machine nowhere, reach each other by ssh and compute pi together by MPI.
// Not here: clusters as the daemon makes them.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { multicastGroup } from '../../src/adapters/hypervisor/libvirt/cluster-cards.ts';
import { type ClusterNode, type ClusterNodes, startClusterNodes } from '../support/cluster-nodes.ts';

const PI = `
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv) {
  const long n = 1000000;
  int rank, size, length;
  char name[MPI_MAX_PROCESSOR_NAME];
  double sum = 0, pi;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Get_processor_name(name, &length);
  for (long i = rank; i < n; i += size) { double x = (i + 0.5) / n; sum += 4 / (1 + x * x) / n; }
  MPI_Reduce(&sum, &pi, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  printf("rank %d of %d on %s\\n", rank, size, name);
  if (rank == 0) printf("pi is %.9f\\n", pi);
  return MPI_Finalize();
}
`;
const MPI_LIMIT_MS = 60_000;

describe('a cluster network', () => {
  let cluster: ClusterNodes;
  let first: ClusterNode;
  let second: ClusterNode;

  beforeAll(async () => {
    cluster = await startClusterNodes(2);
    [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
  });
  afterAll(() => cluster?.stop());

  test('the nodes reach each other, and nothing is sent but on the loopback interface', async () => {
    expect(await first.sh(`ping -c 3 -i 0.2 ${second.address}`)).toContain('3 packets received');
    const { address } = multicastGroup(cluster.networkId);
    const hex = address
      .split('.')
      .reverse()
      .map((byte) => Number(byte).toString(16).padStart(2, '0'))
      .join('');
    // Indented lines are groups of the interface above them.
    let on = '';
    const members: string[] = [];
    for (const line of (await readFile('/proc/net/igmp', 'utf8')).split('\n')) {
      if (/^\d/.test(line)) on = line.split(/\s+/)[1] ?? '';
      else if (line.trim().toLowerCase().startsWith(hex)) members.push(on);
    }
    expect(members).toEqual(['lo']);
  });

  test('with one key, each is reached from the other by its name', async () => {
    const made = 'dropbearkey -t ed25519 -f /root/.ssh/id_dropbear 2>/dev/null | grep ^ssh-';
    const publicKey = (await first.sh(made)).trim().split('\n').at(-1) ?? '';
    const key = Buffer.from((await first.sh('base64 </root/.ssh/id_dropbear')).trim(), 'base64');
    const hosts = ['127.0.0.1 localhost', ...cluster.nodes.map(({ address, name }) => `${address} ${name}`)];
    const [type, material] = publicKey.split(' ');
    const known = cluster.nodes.map(({ name }) => `${name} ${type} ${material}\n`).join('');
    for (const node of cluster.nodes) {
      await node.sh('cat >/etc/hosts', { input: Buffer.from(`${hosts.join('\n')}\n`) });
      await node.sh(`hostname ${node.name}`);
      await node.sh('umask 077; cat >/root/.ssh/id_dropbear', { input: key });
      // One key for all hosts too: each is known beforehand, under whatever name it is called.
      await node.sh('cp /root/.ssh/id_dropbear /etc/dropbear/dropbear_ed25519_host_key');
      await node.sh('cat >/root/.ssh/authorized_keys', { input: Buffer.from(`${publicKey}\n`) });
      await node.sh('cat >/root/.ssh/known_hosts', { input: Buffer.from(known) });
    }
    expect(await first.sh('ssh node2 hostname')).toBe('node2\n');
    expect(await second.sh('ssh node1 "hostname; exit 3" || echo $?')).toBe('node1\n3\n');
  });

  test('a program that was compiled there computes pi on both', async () => {
    await first.sh('mkdir -p /root/pi; cat >/root/pi/pi.c; cd /root/pi && mpicc pi.c -o pi', {
      input: Buffer.from(PI),
      timeoutMs: MPI_LIMIT_MS,
    });
    await first.sh('cd /root; tar c pi | ssh node2 "tar x"', { timeoutMs: MPI_LIMIT_MS });
    const line = 'cd /root/pi && timeout 40 mpirun -hosts node1,node2 -np 2 ./pi';
    const said = (await first.sh(line, { timeoutMs: MPI_LIMIT_MS })).trim().split('\n').sort();
    expect(said).toEqual(['pi is 3.141592654', 'rank 0 of 2 on node1', 'rank 1 of 2 on node2']);
  });

  test('each line has its rank, and the status is that of the rank that failed', async () => {
    await first.sh("mkdir -p /etc/virtscale; printf 'node1:1\\nnode2:1\\n' >/etc/virtscale/nodes");
    const mpirun = 'timeout 40 mpirun -f /etc/virtscale/nodes -n 2 -prepend-rank';
    const said = await first.sh(`${mpirun} hostname 2>/dev/null`, { timeoutMs: MPI_LIMIT_MS });
    expect(said.trim().split('\n').sort()).toEqual(['[0] node1', '[1] node2']);
    const failing = `${mpirun} sh -c 'exit $((OMPI_COMM_WORLD_RANK * 7))' 2>/dev/null; echo "ended with $?"`;
    expect(await first.sh(failing, { timeoutMs: MPI_LIMIT_MS })).toContain('ended with 7\n');
  });

  test('when mpirun is killed, no rank is left on any node', async () => {
    // mpirun and its launcher have the rank's words in theirs.
    const count = "ps -o args | grep -c '[s]leep 543' || true";
    const until = async (node: ClusterNode, wanted: (n: number) => boolean): Promise<void> => {
      const endMs = cluster.clock.nowMs() + MPI_LIMIT_MS;
      for (let n = Number(await node.sh(count)); !wanted(n); n = Number(await node.sh(count))) {
        if (cluster.clock.nowMs() > endMs) throw new Error(`${n} processes of the ranks on ${node.name}`);
      }
    };
    const mpirun = 'mpirun -f /etc/virtscale/nodes -n 2 -prepend-rank sleep 543';
    await first.sh(`setsid ${mpirun} </dev/null >/dev/null 2>&1 & echo $! >/run/mpirun-pid`);
    await until(second, (n) => n > 0);
    await first.sh('kill -KILL $(cat /run/mpirun-pid)');
    for (const node of cluster.nodes) await until(node, (n) => n === 0);
  });

  test('what a program has started ends with it when nobody waits any more', async () => {
    const { hypervisor, uuid } = first;
    const giveUp = new AbortController();
    const beat = (name: string): string => `while :; do echo >>/tmp/${name}; sleep 0.2; done`;
    const line = `(${beat('child')}) & ${beat('parent')}`;
    const running = hypervisor.guest.exec(uuid, ['sh', '-c', line], {}, giveUp.signal).catch((fault: unknown) => fault);
    const grows = async (name: string): Promise<boolean> => {
      const counted = await first.sh(`wc -c </tmp/${name} || echo 0; sleep 0.7; wc -c </tmp/${name} || echo 0`);
      const [before, after] = counted.split('\n').filter((word) => /^\d+$/.test(word));
      return before !== after;
    };
    const until = async (name: string, wanted: boolean): Promise<void> => {
      const endMs = cluster.clock.nowMs() + 20_000;
      while ((await grows(name)) !== wanted) {
        if (cluster.clock.nowMs() > endMs) throw new Error(`the ${name} ${wanted ? 'never began' : 'goes on'}`);
      }
    };
    for (const name of ['parent', 'child']) await until(name, true);
    giveUp.abort();
    expect(await running).toMatchObject({ kind: 'aborted' });
    for (const name of ['parent', 'child']) await until(name, false);
  });

  test('a node that was saved goes on where it was, and is reached again', async () => {
    const { hypervisor, uuid } = second;
    await hypervisor.save(uuid, new AbortController().signal);
    expect(await first.sh(`ping -c 1 -W 1 ${second.address} || true`)).toContain(' 0 packets received');
    await hypervisor.start(uuid, new AbortController().signal);
    await cluster.untilAgent(second);
    expect(await first.sh(`ping -c 10 -W 1 ${second.address}`)).toMatch(/, [1-9]\d* packets received/);
    expect(await first.sh('ssh node2 hostname')).toBe('node2\n');
  });
});
