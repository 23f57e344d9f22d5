/** image.json: what the guest image is made of and how it is started. */
export interface GuestImageManifest {
  readonly format: number;
  readonly name: string;
  readonly kernelVersion: string;
  /** File names inside the image's folder. */
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
  /** The kernel command line; with QEMU's user-mode network add `userNetworkArgs` (a fixed address, no DHCP). */
  readonly kernelArgs: string;
  readonly userNetworkArgs: string;
  readonly memoryMiB: { readonly least: number; readonly suggested: number };
  readonly httpPort: number;
  /** The packages it was made from, as file names. */
  readonly builtFrom: readonly string[];
  /** SHA-256 over the image's sources: another hash means it must be built again. */
  readonly sources: string;
  /** SHA-256 of each file, by file name. */
  readonly files: Readonly<Record<string, string>>;
}

export interface GuestImage extends GuestImageManifest {
  /** Absolute path of the folder. */
  readonly dir: string;
  /** False when a finished image of the same sources was there already. */
  readonly built: boolean;
}

/** `mpi`: also ssh, Open MPI and a C compiler, for the nodes of virtual clusters. */
export type GuestImageKind = 'backend' | 'mpi';

export interface BuildGuestImageOptions {
  outDir: string;
  /** Default `backend`. */
  kind?: GuestImageKind;
  log?: (line: string) => void;
  signal?: AbortSignal;
}

/** See build.mjs. Rejects with an Error that says which program, package or step was missing. */
export function buildGuestImage(options: BuildGuestImageOptions): Promise<GuestImage>;

/** SHA-256 (hex) over the image's sources: another hash is another image, which must not replace one that disks refer to. */
export function sourceHash(): string;
