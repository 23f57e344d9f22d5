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

/** Volumes of ours that lie over nothing. */
export function holdsNoDisk(volume: string): boolean {
  if (MARKER.test(volume) || BASE.test(volume)) return true;
  return volume.startsWith(PREFIX) && /(\.seed\.iso|\.console\.log(\.\d+)?)$/.test(volume);
}
