// A domain's XML read for what must be known to move it, and rewritten for the host it moves to. Pure.
// Not here: asking for it (migration), which volumes are made at the target (migration-target).

import type { Endpoint } from '../../../core/model.ts';
import type { MigrationSource } from '../../../ports/migration.ts';
import type { GuestNetwork } from './domain-xml.ts';
import { escapeXml } from './xml-text.ts';
import { childOf, parseXml } from './xml-tree.ts';

export interface MovedDisk {
  readonly target: string;
  /** File name in the pool's folder. */
  readonly volume: string;
  readonly isReadOnly: boolean;
}

/** What stands in the way of moving a domain of this XML, in words for people; else its disks. */
export function disksOf(xml: string, folder: string): { readonly problem: string } | { readonly disks: MovedDisk[] } {
  const domain = parseXml(xml);
  const devices = childOf(domain, 'devices');
  if (devices === undefined) return { disks: [] };
  const own = devices.children.find(({ name }) => name === 'hostdev' || name === 'filesystem');
  if (own !== undefined) return { problem: `it uses something of its host (${own.name}), which cannot move along` };
  const disks: MovedDisk[] = [];
  for (const disk of devices.children.filter(({ name }) => name === 'disk')) {
    const file = childOf(disk, 'source')?.attributes['file'];
    const target = childOf(disk, 'target')?.attributes['dev'] ?? '?';
    // An empty drive.
    if (childOf(disk, 'source') === undefined) continue;
    const volume = file?.startsWith(`${folder}/`) ? file.slice(folder.length + 1) : undefined;
    if (volume === undefined || volume.includes('/')) {
      return { problem: `its disk ${target} is not a file in the pool ${folder}` };
    }
    disks.push({ target, volume, isReadOnly: childOf(disk, 'readonly') !== undefined });
  }
  return { disks };
}

/** What the two hosts must have in common for the guest to find its network again. */
export function networkText(network: GuestNetwork): string {
  return network.kind === 'forward' ? 'forward' : `${network.kind} ${network.name}`;
}

/**
 * The same domain for another host: its files under that host's folder, and its forwarded port at `endpoint`. Nothing else may differ, or
 * libvirt refuses: its check is of all that the guest can see.
 */
export function xmlForTarget(
  xml: string,
  { folder }: Pick<MigrationSource, 'folder'>,
  at: { readonly folder: string; readonly endpoint?: Endpoint },
): string {
  const moved = xml.replaceAll(`'${escapeXml(folder)}/`, `'${escapeXml(at.folder)}/`);
  const { endpoint } = at;
  if (endpoint === undefined) return moved;
  const where = `${endpoint.address}:${endpoint.port}`;
  return moved
    .replace(/(hostfwd=tcp:)[\d.]+:\d+(-:)/, `$1${where}$2`)
    .replace(
      /(<virtscale:endpoint\s+)address=(["'])[^"']*\2\s+port=(["'])\d+\3/,
      `$1address="${endpoint.address}" port="${endpoint.port}"`,
    );
}
