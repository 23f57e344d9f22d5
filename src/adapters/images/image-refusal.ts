// Why a file is not taken for a disk image. Not here: finding out.

/**
 * - `absent`, `unreadable`, `not-a-file`: it cannot be read as a file at all.
 * - `foreign`: it is something else; the advice says what to do with it.
 * - `bad-size`: no disk has this size.
 * - `damaged`: what it says about itself cannot be true. `truncated`: a part of it is missing.
 * - `backing-file`, `data-file`: it would make QEMU open another file of the host. `encrypted`: it needs a key.
 * - `unsupported`: a variant that virtscale does not take.
 */
export type ImageRefusalKind =
  | 'absent'
  | 'unreadable'
  | 'not-a-file'
  | 'foreign'
  | 'bad-size'
  | 'damaged'
  | 'truncated'
  | 'backing-file'
  | 'data-file'
  | 'encrypted'
  | 'unsupported';

export interface ImageRefusal {
  readonly kind: ImageRefusalKind;
  /** Goes on after the file's name: `is an ELF program`. */
  readonly reason: string;
  /** What to do about it, where there is something. */
  readonly advice?: string;
}

export function refusal(kind: ImageRefusalKind, reason: string, advice?: string): ImageRefusal {
  return { kind, reason, ...(advice !== undefined && { advice }) };
}
