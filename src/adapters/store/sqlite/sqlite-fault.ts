// What SQLite's errors mean to the daemon: `Fault`s with advice for what the world does to a file, everything else a bug.
// Not here: deciding what is retried. Result codes: https://sqlite.org/rescode.html

import { Fault } from '../../../ports/fault.ts';

const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** The primary result code of an error thrown by `node:sqlite`; undefined for any other error. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/** Advice for a file that cannot be used: nothing is ever overwritten, and nothing is lost that libvirt does not know. */
export function damagedAdvice(file: string): string {
  return (
    `Nothing was changed. Move ${file} (and ${file}-wal, if there is one) away, or put a backup in its place, and start again: ` +
    'the VMs keep running, and a daemon that starts with an empty state finds them again by their metadata. ' +
    'Events and decisions of the past are in the old file only.'
  );
}

/** The `Fault` that this error of `node:sqlite` is; the error itself when the world is not to blame for it. */
export function sqliteFault(error: unknown, file: string): unknown {
  if (error instanceof Fault) return error;
  const text = error instanceof Error ? error.message : String(error);
  switch (sqliteCode(error)) {
    case SQLITE_FULL:
      return new Fault('refused', `no space left for ${file}: ${text}`, {
        advice: `Free space on the file system of ${file}; nothing of this change was kept, and it is tried again in the next turn.`,
        cause: error,
      });
    case SQLITE_IOERR:
      return new Fault('refused', `cannot read or write ${file}: ${text}`, {
        advice: `Look at the disk and the quota under ${file} (dmesg, df, quota); nothing of this change was kept.`,
        cause: error,
      });
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new Fault('refused', `the database ${file} is damaged: ${text}`, {
        advice: damagedAdvice(file),
        cause: error,
      });
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return new Fault('refused', `no right to write ${file}: ${text}`, {
        advice: `The daemon's user must own ${file} and its folder, or give another --state-dir.`,
        cause: error,
      });
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new Fault('busy', `${file} is held by another program: ${text}`, {
        advice: `End the program that holds ${file} (fuser names it); it is tried again in the next turn.`,
        cause: error,
      });
    default:
      return error;
  }
}
