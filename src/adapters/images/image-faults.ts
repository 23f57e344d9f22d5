// What goes wrong with images, as `Fault`s: refusals of the header check, errors of the file system, cancelling.
// Not here: looking into an image (image-header.ts).

import { Fault } from '../../ports/fault.ts';
import type { ImageRefusal } from './image-refusal.ts';

export function refusedImage(name: string, { reason, advice }: ImageRefusal): Fault {
  return new Fault('refused', `the image ${name} ${reason}`, advice === undefined ? {} : { advice });
}

/** When `signal` has aborted: the `Fault` that it was aborted with by ourselves (a deadline), else `aborted`. */
export function abortFault(name: string, signal: AbortSignal): Fault {
  if (signal.reason instanceof Fault) return signal.reason;
  return new Fault('aborted', `the image ${name} was cancelled`, { cause: signal.reason });
}

export function noSpace(name: string, folder: string, cause?: unknown): Fault {
  return new Fault('refused', `no space left for the image ${name} in ${folder}`, {
    advice: 'Free space there, or give another --state-dir; nothing of the image was kept.',
    cause,
  });
}

/** The `Fault` that an error of the file system is; the error itself when it is none of those. */
export function fileFault(error: unknown, name: string, folder: string): unknown {
  if (error instanceof Fault || !(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
  switch (error.code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return noSpace(name, folder, error);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new Fault('refused', `no right to write the image ${name} into ${folder}: ${error.message}`, {
        advice: `The daemon's user must own ${folder}, or give another --state-dir.`,
        cause: error,
      });
    default:
      return new Fault('refused', `cannot read or write the image ${name} in ${folder}: ${error.message}`, {
        advice: `Look at the disk under ${folder} (dmesg, df); nothing of the image was kept.`,
        cause: error,
      });
  }
}
