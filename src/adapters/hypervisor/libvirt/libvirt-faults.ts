// What libvirt's answers and broken connections mean to the engine: retry, look again, give up, and what a person can do.
// The numbers are libvirt's (virErrorNumber); texts are matched only where libvirt says everything with one number.

import {
  ConnectionError,
  ErrorCode,
  isLibvirtError,
  LibvirtError,
  UriError,
  XdrError,
} from '../../../libvirt/index.ts';
import { Fault, type FaultKind } from '../../../ports/fault.ts';

interface Meaning {
  readonly kind: FaultKind;
  readonly advice?: string;
}

const NO_RIGHT: Meaning = {
  kind: 'refused',
  advice: 'Add the user that virtscale runs as to the group libvirt (usermod -aG libvirt USER) and log in again.',
};
const GONE_QUIET: Meaning = {
  kind: 'unreachable',
  advice: 'Check that the host is up and that libvirtd (or virtqemud) runs on it.',
};

/** By libvirt's text, first match wins: for errors that come as INTERNAL_ERROR, OPERATION_FAILED or SYSTEM_ERROR. */
const BY_TEXT: readonly (readonly [RegExp, Meaning])[] = [
  [
    /no space left|disk quota exceeded|not enough free space/i,
    { kind: 'refused', advice: 'Free space on the file system of the storage pool, or point `pool` at another one.' },
  ],
  [
    /failed to get .*lock|is another process using/i,
    { kind: 'conflict', advice: 'Another VM has this disk open; stop that one. A disk is never opened by two VMs.' },
  ],
  [
    /could not set up host forwarding rule/i,
    {
      kind: 'conflict',
      advice: 'Another program listens on that address and port; stop it or change the address prefix.',
    },
  ],
  [
    /image is not in qcow2 format|could not read (l1|refcount|qcow2)|invalid qcow2|unsupported qcow2|image is corrupt|bad magic/i,
    {
      kind: 'refused',
      advice: 'The image is not what its format says; look with `qemu-img check`, and build or download it again.',
    },
  ],
  [
    /already (exists|defined) with uuid|is already defined|name .* already in use/i,
    { kind: 'conflict', advice: 'Another domain has that name or uuid; rename or remove it if it is not needed.' },
  ],
  [
    /cannot allocate memory|cannot set up guest memory|unable to map backing store for guest ram/i,
    { kind: 'refused', advice: 'The host has not enough free memory for this flavor.' },
  ],
  [
    /permission denied/i,
    {
      kind: 'refused',
      advice:
        'The user that QEMU runs as must be able to read the image; images under /var/lib/libvirt/images are allowed.',
    },
  ],
  [
    /(cannot|could not|failed to) (access|open|stat).*no such file|inaccessible backing store|no such file or directory/i,
    { kind: 'refused', advice: 'Put the file where the configuration says, on that host, or correct the path.' },
  ],
  [
    /cannot find suitable emulator|no emulator|emulator .* not found|does not support virt type|could not find capabilities/i,
    { kind: 'refused', advice: 'Install QEMU on that host (Debian, Ubuntu: apt-get install qemu-system-x86).' },
  ],
  [/asynchronous jobs running|asyncjob/i, { kind: 'busy' }],
];

const BY_CODE: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [ErrorCode.OPERATION_TIMEOUT, { kind: 'busy', advice: 'The domain is held by another job; it is tried again.' }],
  [ErrorCode.RESOURCE_BUSY, { kind: 'busy' }],
  [ErrorCode.AGENT_UNRESPONSIVE, { kind: 'busy' }],
  [ErrorCode.AGENT_UNSYNCED, { kind: 'busy' }],
  [ErrorCode.AGENT_COMMAND_TIMEOUT, { kind: 'busy' }],
  [ErrorCode.DOM_EXIST, { kind: 'conflict' }],
  [ErrorCode.STORAGE_VOL_EXIST, { kind: 'conflict' }],
  [ErrorCode.AUTH_FAILED, NO_RIGHT],
  [ErrorCode.AUTH_CANCELLED, NO_RIGHT],
  [ErrorCode.AUTH_UNAVAILABLE, NO_RIGHT],
  [ErrorCode.ACCESS_DENIED, NO_RIGHT],
  [ErrorCode.OPERATION_DENIED, { kind: 'refused', advice: 'The connection is read-only; use the read-write socket.' }],
  [ErrorCode.NO_CONNECT, GONE_QUIET],
]);

/** libvirt's own daemons talk to each other: what breaks between them comes as SYSTEM or INTERNAL error of these domains. */
const CONNECTION_DOMAINS: readonly number[] = [7, 13];
const BROKEN_PIPE =
  /client socket is closed|cannot (recv|send|read|write) data|end of file|keepalive timeout|connection (reset|closed)/i;

/** Any error of the libvirt room as the engine understands it. A `Fault` stays what it is; anything else is a bug and is thrown on. */
export function faultOf(error: unknown, what: string, signal?: AbortSignal): Fault {
  if (error instanceof Fault) return error;
  if (signal?.aborted === true) return new Fault('aborted', `${what}: cancelled`, { cause: error });
  if (error instanceof LibvirtError) return fault(what, error, meaningOf(error));
  if (error instanceof ConnectionError) return fault(what, error, meaningOfBreak(error));
  if (error instanceof UriError) return fault(what, error, { kind: 'refused', advice: 'Correct the uri of the host.' });
  if (error instanceof XdrError) return fault(what, error, { kind: 'refused' });
  throw error;
}

function fault(what: string, error: Error, { advice, kind }: Meaning): Fault {
  return new Fault(kind, `${what}: ${error.message}`, { cause: error, ...(advice === undefined ? {} : { advice }) });
}

function meaningOf(error: LibvirtError): Meaning {
  const broken = CONNECTION_DOMAINS.includes(error.domain) && BROKEN_PIPE.test(error.message);
  if (broken && isLibvirtError(error, ErrorCode.INTERNAL_ERROR, ErrorCode.SYSTEM_ERROR)) return GONE_QUIET;
  if (isLibvirtError(error, ErrorCode.RPC) && /unknown procedure/i.test(error.message)) {
    return {
      kind: 'refused',
      advice: 'This libvirt is too old; virtscale needs 9.0 or later (Debian 12, Ubuntu 24.04).',
    };
  }
  const byCode = BY_CODE.get(error.code);
  if (byCode !== undefined) return byCode;
  return BY_TEXT.find(([text]) => text.test(error.message))?.[1] ?? { kind: 'refused' };
}

function meaningOfBreak(error: ConnectionError): Meaning {
  const code = errnoOf(error);
  // TLS and ssh say themselves what is wrong with keys and certificates.
  const byPolkit = error.kind === 'auth' && error.message.includes('polkit');
  if (byPolkit || code === 'EACCES' || code === 'EPERM') return NO_RIGHT;
  if (error.kind === 'auth') return { kind: NO_RIGHT.kind };
  if (code === 'ENOENT') {
    const advice =
      'No libvirt socket there: install libvirt (Debian, Ubuntu: apt-get install libvirt-daemon-system) and start it.';
    return { kind: 'unreachable', advice };
  }
  if (error.kind === 'timed-out') return { kind: 'timed-out' };
  if (error.kind === 'busy') return { kind: 'busy' };
  return GONE_QUIET;
}

function errnoOf(error: unknown): string | undefined {
  let at = error;
  for (let depth = 0; depth < 5 && at instanceof Error; depth += 1) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    at = at.cause;
  }
  return undefined;
}
