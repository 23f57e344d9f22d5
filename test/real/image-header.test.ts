// The look into images against real qemu-img: whatever it makes is taken, with the size that it tells; cut anywhere, it is refused.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectImage } from '../../src/adapters/images/image-header.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtscale-qemu-img-'));
afterAll(() => rmSync(folder, { recursive: true }));

const { signal } = new AbortController();
const at = (name: string): string => join(folder, name);

function qemuImg(...args: readonly string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8', cwd: folder });
}

const KIB = 1024;
/** 5 MiB with something in the first and the last MiB, and in between nothing. */
writeFileSync(at('raw.img'), '');
truncateSync(at('raw.img'), 5 * KIB * KIB);
const noise = Buffer.from(Array.from({ length: 256 * KIB }, (_, index) => Math.imul(index + 1, 0x9e3779b1) >>> 24));
writeFileSync(at('noise'), noise);
execFileSync('dd', ['if=noise', 'of=raw.img', 'conv=notrunc', 'status=none'], { cwd: folder });
execFileSync('dd', ['if=noise', 'of=raw.img', 'conv=notrunc', 'status=none', 'bs=1k', 'seek=4200'], { cwd: folder });

const convert =
  (...options: readonly string[]) =>
  (name: string) =>
    void qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, 'raw.img', name);
const create = (options: string, size: string) => (name: string) =>
  void qemuImg('create', '-q', '-f', 'qcow2', ...(options === '' ? [] : ['-o', options]), name, size);

const CLUSTERS = [512, 4 * KIB, 64 * KIB, 2048 * KIB];
const MADE: readonly (readonly [string, (name: string) => void])[] = [
  ...CLUSTERS.flatMap((size) => [
    [`converted, clusters of ${size}`, convert('-o', `cluster_size=${size}`)] as const,
    [`converted, version 2, clusters of ${size}`, convert('-o', `compat=0.10,cluster_size=${size}`)] as const,
    [`compressed, clusters of ${size}`, convert('-c', '-o', `cluster_size=${size}`)] as const,
    [
      `created with metadata, clusters of ${size}`,
      create(`preallocation=metadata,cluster_size=${size}`, '1M'),
    ] as const,
    [`created with space, clusters of ${size}`, create(`preallocation=falloc,cluster_size=${size}`, '3M')] as const,
  ]),
  ['compressed with zstd', convert('-c', '-o', 'compression_type=zstd')],
  ['with extended L2 entries', convert('-o', 'extended_l2=on,cluster_size=128k')],
  [
    'with a bitmap',
    (name) => {
      create('', '10M')(name);
      qemuImg('bitmap', '--add', name, 'b');
    },
  ],
  ['empty and large', create('', '2T')],
  ['as large as can be', create('', '64T')],
  ['of odd size', create('preallocation=full', '1000448')],
  [
    'made larger, with snapshots',
    (name) => {
      convert()(name);
      qemuImg('snapshot', '-c', 'one', name);
      execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 0 300k', name], { cwd: folder, stdio: 'ignore' });
      qemuImg('snapshot', '-c', 'two', name);
      qemuImg('resize', '-q', name, '+7M');
    },
  ],
];

describe.each(MADE)('an image %s', (title, make) => {
  const name = `${title.replaceAll(/\W+/g, '-')}.qcow2`;

  it('is taken, as large as qemu-img says', async () => {
    make(name);
    const info = JSON.parse(qemuImg('info', '--output=json', name)) as Readonly<Record<string, unknown>>;
    expect(await inspectImage(at(name), { signal })).toMatchObject({
      ok: true,
      image: {
        format: 'qcow2',
        virtualBytes: info['virtual-size'],
        fileBytes: statSync(at(name)).size,
        qcow2: {
          version: title.includes('version 2') ? 2 : 3,
          clusterBytes: info['cluster-size'],
          snapshots: ((info['snapshots'] ?? []) as readonly unknown[]).length,
        },
      },
    });
  });

  it('is refused when its end is missing, unless that is nothing a guest could read', async () => {
    const whole = statSync(at(name)).size;
    for (let part = 99; part > 0; part -= 7) {
      const size = Math.floor((whole * part) / 100);
      copyFileSync(at(name), at('cut.qcow2'));
      truncateSync(at('cut.qcow2'), size);
      const result = await inspectImage(at('cut.qcow2'), { signal });
      if (result.ok)
        expect(() => qemuImg('compare', '-q', name, 'cut.qcow2'), `cut to ${size} of ${whole}`).not.toThrow();
    }
  });
});
