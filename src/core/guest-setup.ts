// What people may tell a guest through cloud-init, checked before anything is made. Pure. Not here: the files it becomes (adapters/images).

import type { CloudInit, Image } from './model.ts';
import { readSshKey } from './ssh-key.ts';

/** What a request or a policy says; the host name is the VM's. */
export type GuestSetup = Omit<CloudInit, 'hostname'>;

export const SSH_KEYS_MAX = 50;
export const USER_DATA_MAX_BYTES = 64 * 1024;
/** What cloud-init knows how to read; it ignores everything else without a word. */
const USER_DATA = /^(?:#cloud-config\b|#!|#include\b|## template: jinja\b|Content-Type: multipart\/|MIME-Version:)/i;

/** Why this is no public key for a guest, to go on after its name; undefined when it is one. */
export function sshKeyProblem(key: string): string | undefined {
  const read = readSshKey(key);
  return read.ok ? undefined : read.reason;
}

/** Why cloud-init would not take this. */
export function userDataProblem(text: string): string | undefined {
  if (Buffer.byteLength(text) > USER_DATA_MAX_BYTES) return `may have at most ${USER_DATA_MAX_BYTES} bytes`;
  if (USER_DATA.test(text)) return undefined;
  return 'must begin with #cloud-config, #!, #include or a MIME header: cloud-init ignores others';
}

/**
 * What a new VM is told. Every guest that boots from its own disk is: a stock image without a seed switches cloud-init off, and
 * then has neither a name nor host keys. One whose kernel is given from outside has no cloud-init, unless somebody asks for it.
 */
export function guestSetup(
  name: string,
  image: Image | undefined,
  setup: GuestSetup | undefined,
): CloudInit | undefined {
  if (setup === undefined && (image === undefined || image.direct !== undefined)) return undefined;
  // A host name has no dots and underscores of its own.
  const hostname = name.replace(/[^A-Za-z0-9-]/g, '-');
  return { hostname, sshKeys: [], ...setup };
}
