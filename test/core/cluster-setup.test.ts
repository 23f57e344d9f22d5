// What nodes are told, run by a real shell on files of its own: once, again, after people have added keys.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePlaces, freeSubnet } from '../../src/core/cluster.ts';
import { setupScript } from '../../src/core/cluster-setup.ts';

const run = promisify(execFile);
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'node-'));
});
afterEach(() => rm(root, { recursive: true }));

const NODES = [
  { number: 1, address: '10.64.0.1', vcpus: 2 },
  { number: 3, address: '10.64.0.3', vcpus: 1 },
];

function cluster(publicKey = 'ssh-ed25519 AAAA lab@virtscale-cluster', sshKeys: readonly string[] = []) {
  return { name: 'lab', sshKey: { publicKey, privateKey: 'line 1\nline 2\n' }, node: { flavor: 'small', sshKeys } };
}

/** In a guest's files, and with a `hostname` that changes nothing here. */
async function told(...words: Parameters<typeof setupScript>): Promise<void> {
  const script = setupScript(...words)
    .replaceAll('/etc/', `${root}/etc/`)
    .replaceAll('/root/', `${root}/root/`)
    .replaceAll(/^hostname /gm, `echo > ${root}/hostname `)
    .replaceAll('mkdir -p ', `mkdir -p ${root}/etc `);
  const file = join(root, 'script');
  await writeFile(file, script);
  await run('/bin/sh', [file]);
}

const text = (path: string) => readFile(join(root, path), 'utf8');

describe('a node', () => {
  it('knows its name, the others and the key; nobody but root reads the key', async () => {
    await told(cluster(), 3, NODES);
    expect(await text('etc/hostname')).toBe('node3\n');
    expect(await text('etc/hosts')).toBe(
      '127.0.0.1 localhost\n::1 localhost\n10.64.0.1 node1 lab-node1\n10.64.0.3 node3 lab-node3\n',
    );
    expect(await text('etc/virtscale/nodes')).toBe('node1:2\nnode3:1\n');
    expect(await text('root/.ssh/id_ed25519')).toBe('line 1\nline 2\n');
    expect((await stat(join(root, 'root/.ssh/id_ed25519'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(root, 'etc/hosts'))).mode & 0o777).toBe(0o644);
    expect(await text('root/.ssh/authorized_keys')).toBe('ssh-ed25519 AAAA lab@virtscale-cluster\n');
  });

  it('told again keeps the keys of people, and only the newest of the cluster', async () => {
    await told(cluster('ssh-ed25519 OLD lab@virtscale-cluster', ['ssh-rsa ann']), 1, NODES);
    const keys = join(root, 'root/.ssh/authorized_keys');
    await writeFile(keys, `${await readFile(keys, 'utf8')}ssh-rsa bob\n`);
    for (let again = 0; again < 2; again += 1) {
      await told(cluster('ssh-ed25519 NEW lab@virtscale-cluster', ['ssh-rsa ann']), 1, NODES);
      expect(await text('root/.ssh/authorized_keys')).toBe(
        'ssh-rsa bob\nssh-ed25519 NEW lab@virtscale-cluster\nssh-rsa ann\n',
      );
    }
  });

  it('that has not what is needed says what', async () => {
    await writeFile(join(root, 'etc'), 'no folder');
    await expect(told(cluster(), 1, NODES)).rejects.toMatchObject({ stderr: expect.stringContaining('mkdir') });
  });
});

describe('addresses', () => {
  const at = (subnet: number) => ({ id: 'c', subnet });

  it('of two networks never meet, and those of one are each free', () => {
    expect(freePlaces(at(0), 2, []).map(({ address }) => address)).toEqual(['10.64.0.1', '10.64.0.2']);
    expect(freePlaces(at(63), 1, [])[0]?.address).toBe('10.64.252.1');
    expect(freePlaces(at(64), 1, [])[0]?.address).toBe('10.65.0.1');
    expect(freePlaces(at(4095), 1022, []).at(-1)?.address).toBe('10.127.255.254');
    const taken = freePlaces(at(1), 300, []);
    expect(taken[255]?.address).toBe('10.64.5.0');
    expect(freePlaces(at(1), 1, taken.toSpliced(7, 1))).toEqual([taken[7]]);
    expect(freePlaces(at(1), 2000, [])).toHaveLength(1022);
  });

  it('the first free network is given', () => {
    expect(freeSubnet(new Set())).toBe(0);
    expect(freeSubnet(new Set([0, 2]))).toBe(1);
    expect(freeSubnet(new Set(Array.from({ length: 4096 }, (_, index) => index)))).toBeUndefined();
  });
});
