// XML of the storage pool and of overlay volumes: written, and read back to see what is really there.
// Not here: the order in which they are made, checked and deleted (overlay-disks).

import type { Image } from '../../../core/model.ts';
import { element } from './xml-text.ts';
import { childOf, parseXml } from './xml-tree.ts';

const PREFIX = 'vs-';
const SUFFIX = '.qcow2';

/** The form by which disks of ours are known in a pool. */
export function volumeName(vmName: string): string {
  return `${PREFIX}${vmName}${SUFFIX}`;
}

export function vmNameOf(volume: string): string | undefined {
  const long = volume.length > PREFIX.length + SUFFIX.length;
  return long && volume.startsWith(PREFIX) && volume.endsWith(SUFFIX)
    ? volume.slice(PREFIX.length, -SUFFIX.length)
    : undefined;
}

export function poolXml(name: string, path: string): string {
  return element('pool', { type: 'dir' }, element('name', {}, name), element('target', {}, element('path', {}, path)))
    .xml;
}

export function poolPathOf(xml: string): string | undefined {
  return childOf(parseXml(xml), 'target', 'path')?.text;
}

/** Without a capacity the overlay is as large as its image. */
export function overlayXml(vmName: string, image: Image, capacityGiB: number | undefined): string {
  return element(
    'volume',
    {},
    element('name', {}, volumeName(vmName)),
    capacityGiB === undefined ? undefined : element('capacity', { unit: 'GiB' }, capacityGiB),
    element('target', {}, element('format', { type: 'qcow2' })),
    element('backingStore', {}, element('path', {}, image.path), element('format', { type: image.format })),
  ).xml;
}

export interface VolumeFacts {
  readonly path: string | undefined;
  readonly format: string | undefined;
  readonly capacityBytes: number;
  readonly backingPath: string | undefined;
  readonly backingFormat: string | undefined;
}

export function readVolume(xml: string): VolumeFacts {
  const volume = parseXml(xml);
  return {
    path: childOf(volume, 'target', 'path')?.text,
    format: childOf(volume, 'target', 'format')?.attributes['type'],
    capacityBytes: Number(childOf(volume, 'capacity')?.text ?? 0),
    backingPath: childOf(volume, 'backingStore', 'path')?.text,
    backingFormat: childOf(volume, 'backingStore', 'format')?.attributes['type'],
  };
}
