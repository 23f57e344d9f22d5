// The names by which volumes of ours are known in a pool: they say what a volume is, and no two kinds share a form.
// Not here: what is in them (volume-xml), when they are made and deleted (vm-disks, placed-images, console-logs).

const PREFIX = 'vs-';
const DISK = '.qcow2';
const SEED = '.seed.iso';
const CONSOLE = '.console.log';

/** The form by which disks of ours are known in a pool. */
export function volumeName(vmName: string): string {
  return `${PREFIX}${vmName}${DISK}`;
}

export function vmNameOf(volume: string): string | undefined {
  const long = volume.length > PREFIX.length + DISK.length;
  return long && volume.startsWith(PREFIX) && volume.endsWith(DISK)
    ? volume.slice(PREFIX.length, -DISK.length)
    : undefined;
}

export function seedName(vmName: string): string {
  return `${PREFIX}${vmName}${SEED}`;
}

export function consoleName(vmName: string): string {
  return `${PREFIX}${vmName}${CONSOLE}`;
}

/** virtlogd renames a full log to `….0`, and that to `….1`. */
export function isConsoleOf(volume: string, vmName: string): boolean {
  const name = consoleName(vmName);
  return volume.startsWith(name) && /^(\.\d+)?$/.test(volume.slice(name.length));
}

export function isConsole(volume: string): boolean {
  return volume.startsWith(PREFIX) && volume.endsWith(CONSOLE);
}

const SNAPSHOT_PART = /^vs-(.+)\.([0-9a-f]{8})\.(layer|memory)$/;

/** What an external snapshot brings: the disk that is written on from then on, and the memory of that moment. `id` is eight hex digits. */
export function snapshotPart(vmName: string, id: string, part: 'layer' | 'memory'): string {
  return `${PREFIX}${vmName}.${id}.${part}`;
}

/** Whose snapshot's file this is; undefined for anything else. */
export function readSnapshotPart(
  volume: string,
): { readonly vmName: string; readonly id: string; readonly part: 'layer' | 'memory' } | undefined {
  const [, vmName, id, part] = SNAPSHOT_PART.exec(volume) ?? [];
  if (vmName === undefined || id === undefined || (part !== 'layer' && part !== 'memory')) return undefined;
  return { vmName, id, part };
}

/** One try to bring an image: its volume, and the marker that says that it lies there whole. */
export interface ImageTry {
  readonly sha256: string;
  readonly fileBytes: number;
  /** Bytes on disk below which the volume has lost some; 0 where the file system compresses, and nothing can be told. */
  readonly allocatedBytes: number;
  /** Eight hex digits, new for each try. */
  readonly id: string;
}

const BASE = /^vs-image-([0-9a-f]{16})\.([0-9a-f]{8})\.base$/;
const MARKER = /^vs-image-([0-9a-f]{64})\.([0-9]{1,16})\.([0-9]{1,16})\.([0-9a-f]{8})\.ok$/;

export function baseName(sha256: string, tryId: string): string {
  return `vs-image-${sha256.slice(0, 16)}.${tryId}.base`;
}

export function markerName({ allocatedBytes, fileBytes, id, sha256 }: ImageTry): string {
  return `vs-image-${sha256}.${fileBytes}.${allocatedBytes}.${id}.ok`;
}

export function readMarker(volume: string): ImageTry | undefined {
  const [, sha256, fileBytes, allocatedBytes, id] = MARKER.exec(volume) ?? [];
  if (sha256 === undefined || id === undefined) return undefined;
  return { sha256, fileBytes: Number(fileBytes), allocatedBytes: Number(allocatedBytes), id };
}

/** Whether this is the volume of some try to bring that image. */
export function isBaseOf(volume: string, sha256: string): boolean {
  return BASE.exec(volume)?.[1] === sha256.slice(0, 16);
}

/** The first digits of the image's checksum, for the volume of a placed image. */
export function imageOfBase(volume: string): string | undefined {
  return BASE.exec(volume)?.[1];
}

/** One try to make a template: its files, and the marker that says that they lie there whole. */
export interface TemplateTry {
  readonly key: string;
  /** Length of the saved memory, and how much of it lies on disk. */
  readonly memoryBytes: number;
  readonly allocatedBytes: number;
  /** Eight hex digits, new for each try. */
  readonly id: string;
}

const TEMPLATE_PART =
  /^virtscale-template-([0-9a-f]{16})\.([0-9a-f]{8})\.(qcow2|seed\.iso|console\.log(?:\.\d+)?|memory|[0-9a-f]{8}\.slot)$/;
const TEMPLATE_MARKER = /^virtscale-template-([0-9a-f]{16})\.([0-9]{1,16})\.([0-9]{1,16})\.([0-9a-f]{8})\.ok$/;

/** Also the name of its domain while it is being made. */
export function templateName(key: string): string {
  return `virtscale-template-${key}`;
}

export type TemplatePart = 'qcow2' | 'seed.iso' | 'console.log' | 'memory';

export function templatePart(key: string, tryId: string, part: TemplatePart): string {
  return `${templateName(key)}.${tryId}.${part}`;
}

/** A copy of a template's memory that takes the head of one VM after another; `id` is eight hex digits. */
export function slotName(key: string, tryId: string, id: string): string {
  return `${templateName(key)}.${tryId}.${id}.slot`;
}

/** Of which template and which try this is a file; undefined for anything else. */
export function readTemplatePart(
  volume: string,
): { readonly key: string; readonly id: string; readonly isSlot: boolean } | undefined {
  const [, key, id, part] = TEMPLATE_PART.exec(volume) ?? [];
  if (key === undefined || id === undefined || part === undefined) return undefined;
  return { key, id, isSlot: part.endsWith('.slot') };
}

export function templateMarker({ allocatedBytes, id, key, memoryBytes }: TemplateTry): string {
  return `${templateName(key)}.${memoryBytes}.${allocatedBytes}.${id}.ok`;
}

export function readTemplateMarker(volume: string): TemplateTry | undefined {
  const [, key, memoryBytes, allocatedBytes, id] = TEMPLATE_MARKER.exec(volume) ?? [];
  if (key === undefined || id === undefined) return undefined;
  return { key, memoryBytes: Number(memoryBytes), allocatedBytes: Number(allocatedBytes), id };
}

/** Volumes of ours that lie over nothing. */
export function holdsNoDisk(volume: string): boolean {
  if (MARKER.test(volume) || BASE.test(volume) || TEMPLATE_MARKER.test(volume)) return true;
  const isOurs = volume.startsWith(PREFIX) || TEMPLATE_PART.test(volume);
  return isOurs && /(\.seed\.iso|\.console\.log(\.\d+)?|\.memory|\.slot)$/.test(volume);
}
