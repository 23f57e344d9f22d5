// XML of snapshots: written, read back, and the paths of a VM's disk in it and in its domain replaced. Pure text.
// Not here: when they are taken (libvirt-snapshots), the files (snapshot-files).
//
// libvirt keeps no metadata of others in a snapshot, but a description. Ours ends in a line of its own:
// `[virtscale operation=ID state=running consistency=filesystem file=vs-web-1.qcow2]`. The file that the disk was is said there too, since
// libvirt 9 writes another one into the snapshots below one whose metadata it deletes, as if it had merged their files.

import type { Consistency, Snapshot, SnapshotKind } from '../../../core/snapshot.ts';
import { element } from './xml-text.ts';
import { childOf, parseXml, type XmlElement } from './xml-tree.ts';

/** A disk that the guest may write on. */
export interface DiskFile {
  /** As the guest's bus names it, e.g. "vda". */
  readonly target: string;
  /** Absent: it is no file. */
  readonly path?: string;
  readonly format?: string;
  /** What lies below it, nearest first, as far as the XML tells. */
  readonly below: readonly string[];
}

export interface SnapshotMark {
  readonly operation: string;
  readonly state: Snapshot['state'];
  readonly consistency: Consistency;
  /** Of the one disk, without its folder; absent: there are several, or it is not ours. */
  readonly file?: string;
}

export interface ReadSnapshot {
  readonly snapshot: Snapshot;
  /** The writable disks of the VM when it was taken. What an external one froze. */
  readonly disks: readonly DiskFile[];
  readonly memoryPath?: string;
  /** libvirt has put another file in the place of the one that stands here in `disks`. */
  readonly isWrong: boolean;
}

const MARK =
  /(?:^|\n)\[virtscale operation=(\S+) state=(running|paused|stopped) consistency=(\w+)(?: file=([\w.-]+))?\]$/;

export interface NewSnapshot {
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly description?: string;
  readonly mark: SnapshotMark;
  readonly disks: readonly DiskFile[];
  /** External: the files that are made, by target. */
  readonly layers: ReadonlyMap<string, string>;
  readonly memoryPath?: string;
}

export function snapshotXml(wanted: NewSnapshot): string {
  const { description, disks, kind, layers, mark, memoryPath, name } = wanted;
  const { consistency, file, operation, state } = mark;
  const where = file === undefined ? '' : ` file=${file}`;
  const line = `[virtscale operation=${operation} state=${state} consistency=${consistency}${where}]`;
  return element(
    'domainsnapshot',
    {},
    element('name', {}, name),
    element('description', {}, description === undefined ? line : `${description}\n${line}`),
    kind === 'internal'
      ? undefined
      : element('memory', memoryPath === undefined ? { snapshot: 'no' } : { snapshot: 'external', file: memoryPath }),
    element(
      'disks',
      {},
      ...disks.map(({ target }) => {
        const layer = layers.get(target);
        if (layer === undefined) return element('disk', { name: target, snapshot: kind });
        const file = [element('driver', { type: 'qcow2' }), element('source', { file: layer })];
        return element('disk', { name: target, snapshot: kind }, ...file);
      }),
    ),
  ).xml;
}

export function readSnapshot(xml: string, isCurrent: boolean): ReadSnapshot {
  const top = parseXml(xml);
  const said = (...path: readonly string[]): string | undefined => childOf(top, ...path)?.text;
  const memory = childOf(top, 'memory')?.attributes;
  const ownDisks = (childOf(top, 'disks')?.children ?? []).map(({ attributes }) => attributes['snapshot']);
  const isExternal = memory?.['snapshot'] === 'external' || ownDisks.includes('external');
  const text = said('description') ?? '';
  const [line, operation, markedState, markedConsistency, file] = MARK.exec(text) ?? [];
  const description = (line === undefined ? text : text.slice(0, -line.length)).trim();
  const hasMemory = memory?.['snapshot'] === 'internal' || memory?.['snapshot'] === 'external';
  const state = (markedState as Snapshot['state'] | undefined) ?? stateOf(said('state'));
  const parent = said('parent', 'name');
  const memoryPath = memory?.['file'];
  const told = disksOf(childOf(top, 'inactiveDomain') ?? childOf(top, 'domain'));
  const disks = file === undefined ? told : told.map((disk) => onOtherFile(disk, file));
  return {
    snapshot: {
      name: said('name') ?? '',
      ...(parent !== undefined && { parent }),
      isCurrent,
      kind: isExternal ? 'external' : 'internal',
      hasMemory,
      state,
      consistency: isConsistency(markedConsistency)
        ? markedConsistency
        : hasMemory || state === 'stopped'
          ? 'application'
          : 'crash',
      createdAt: new Date(Number(said('creationTime') ?? 0) * 1000).toISOString().replace('.000Z', 'Z'),
      ...(description !== '' && { description }),
      ...(operation !== undefined && { operation }),
    },
    disks,
    isWrong: disks.some(({ path }, index) => path !== told[index]?.path),
    ...(memoryPath !== undefined && { memoryPath }),
  };
}

function onOtherFile(disk: DiskFile, file: string): DiskFile {
  const folder = disk.path?.slice(0, disk.path.lastIndexOf('/') + 1);
  return folder === undefined || disk.path === folder + file ? disk : { ...disk, path: folder + file, below: [] };
}

/** Disk-only ones are of VMs that ran: libvirt says of one that was off that it was off. */
function stateOf(text: string | undefined): Snapshot['state'] {
  if (text === 'shutoff') return 'stopped';
  return text === 'paused' ? 'paused' : 'running';
}

function isConsistency(text: string | undefined): text is Consistency {
  return text === 'application' || text === 'filesystem' || text === 'crash';
}

/** The disks of a domain's XML that a guest may write on; a CD or a seed image is none. */
export function domainDisks(xml: string): readonly DiskFile[] {
  return disksOf(parseXml(xml));
}

function disksOf(domain: XmlElement | undefined): readonly DiskFile[] {
  const disks = childOf(domain, 'devices')?.children.filter(({ name }) => name === 'disk') ?? [];
  return disks.flatMap((disk) => {
    const { device = 'disk' } = disk.attributes;
    if (device === 'cdrom' || device === 'floppy' || childOf(disk, 'readonly') !== undefined) return [];
    const path = childOf(disk, 'source')?.attributes['file'];
    const format = childOf(disk, 'driver')?.attributes['type'];
    return [
      {
        target: childOf(disk, 'target')?.attributes['dev'] ?? '',
        ...(path !== undefined && { path }),
        ...(format !== undefined && { format }),
        below: filesIn(childOf(disk, 'backingStore')),
      },
    ];
  });
}

/** Of every `source`, nearest first. */
function filesIn(element: XmlElement | undefined): readonly string[] {
  if (element === undefined) return [];
  const own = element.name === 'source' ? (element.attributes['file'] ?? []) : [];
  return [own, ...element.children.map(filesIn)].flat();
}

/** Not what a snapshot says of a disk in one tag. */
const DISK = /<disk\b(?:[^>]*[^/])?>[\s\S]*?<\/disk>/g;
const BACKING = /\n?[ \t]*<backingStore\b[\s\S]*<\/backingStore>/;

/**
 * The same domain with its disk `target` on another file. What libvirt had written of what lay below is left out: it looks itself.
 * The XML is libvirt's own, so its form is known.
 */
export function onFile(xml: string, target: string, path: string): string {
  const source = element('source', { file: path }).xml;
  return xml.replace(DISK, (disk) => {
    if (!new RegExp(`<target dev=(['"])${target}\\1`).test(disk)) return disk;
    return disk.replace(BACKING, '').replace(/<source\b[^>]*?(\/>|>[\s\S]*?<\/source>)/, () => source);
  });
}

/** The same snapshot with its disk on another file of the same content, in its definitions and in our mark. */
export function snapshotOnFile(xml: string, target: string, path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return onFile(xml, target, path).replace(
    /(\[virtscale [^\]\n]* file=)[\w.-]+\]/,
    (_, before: string) => `${before}${file}]`,
  );
}

/** As a mark may say it: not a name that would not stand in one. */
export function markedFile(disks: readonly DiskFile[]): string | undefined {
  const [disk, ...others] = disks;
  const file = disk?.path?.slice(disk.path.lastIndexOf('/') + 1);
  return others.length === 0 && file !== undefined && /^[\w.-]+$/.test(file) ? file : undefined;
}
