// XML of the storage pool and of volumes: written, and read back to see what is really there.
// Not here: the order in which they are made, checked and deleted (vm-disks, placed-images).

import type { Image } from '../../../core/model.ts';
import { element } from './xml-text.ts';
import { childOf, parseXml } from './xml-tree.ts';

export function poolXml(name: string, path: string): string {
  return element('pool', { type: 'dir' }, element('name', {}, name), element('target', {}, element('path', {}, path)))
    .xml;
}

export function poolPathOf(xml: string): string | undefined {
  return childOf(parseXml(xml), 'target', 'path')?.text;
}

/** What a disk is laid over. */
export interface Backing {
  readonly path: string;
  readonly format: Image['format'];
}

/** An overlay without a capacity is as large as what it is laid over; an empty disk needs one. */
export function diskXml(name: string, backing: Backing | undefined, capacityBytes: number | undefined): string {
  return element(
    'volume',
    {},
    element('name', {}, name),
    capacityBytes === undefined ? undefined : element('capacity', { unit: 'bytes' }, capacityBytes),
    // Without it libvirt makes the form that QEMU before 1.1 reads, which cannot be resized once it has snapshots.
    element('target', {}, element('format', { type: 'qcow2' }), element('compat', {}, '1.1')),
    backing &&
      element('backingStore', {}, element('path', {}, backing.path), element('format', { type: backing.format })),
  ).xml;
}

/** A file of so many bytes, none of them on disk yet. */
export function fileXml(name: string, bytes: number): string {
  return element(
    'volume',
    {},
    element('name', {}, name),
    element('capacity', { unit: 'bytes' }, bytes),
    element('allocation', { unit: 'bytes' }, 0),
    element('target', {}, element('format', { type: 'raw' })),
  ).xml;
}

export interface VolumeFacts {
  readonly path: string | undefined;
  readonly format: string | undefined;
  readonly capacityBytes: number;
  /** Length of the file, and how much of it lies on disk. */
  readonly physicalBytes: number;
  readonly allocationBytes: number;
  readonly backingPath: string | undefined;
  readonly backingFormat: string | undefined;
}

export function readVolume(xml: string): VolumeFacts {
  const volume = parseXml(xml);
  const bytes = (name: string): number => Number(childOf(volume, name)?.text ?? 0);
  return {
    path: childOf(volume, 'target', 'path')?.text,
    format: childOf(volume, 'target', 'format')?.attributes['type'],
    capacityBytes: bytes('capacity'),
    physicalBytes: bytes('physical'),
    allocationBytes: bytes('allocation'),
    backingPath: childOf(volume, 'backingStore', 'path')?.text,
    backingFormat: childOf(volume, 'backingStore', 'format')?.attributes['type'],
  };
}
