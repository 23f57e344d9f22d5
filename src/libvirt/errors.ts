/**
 * The faults of this room: what libvirt answered ({@link LibvirtError}) and what became of the connection
 * ({@link ConnectionError}). Error numbers are in error-codes.ts.
 */
import { ErrorCode } from './error-codes.ts';
import type { RemoteError } from './structs.ts';

const codeNames = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** The daemon answered with an error. The call was received and did not (wholly) succeed. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  /** libvirt's `virErrorNumber`; see {@link ErrorCode}. */
  readonly code: number;
  /** libvirt's `virErrorDomain`: the part of libvirt that raised it (7 RPC, 10 QEMU, 18 storage, …). */
  readonly domain: number;
  /** 1 warning, 2 error. */
  readonly level: number;
  /** The call that was answered so, when known. */
  readonly procedure: string | undefined;

  constructor(error: Pick<RemoteError, 'code' | 'domain' | 'level' | 'message'>, procedure?: string) {
    super(error.message ?? `libvirt error ${codeNames.get(error.code) ?? error.code}`);
    this.code = error.code;
    this.domain = error.domain;
    this.level = error.level;
    this.procedure = procedure;
  }

  /** The code's name as in `VIR_ERR_…`, or `UNKNOWN_<number>` when this client does not know it. */
  get codeName(): string {
    return codeNames.get(this.code) ?? `UNKNOWN_${this.code}`;
  }
}

/**
 * - `refused`: nobody listens there, or we may not use the socket
 * - `unreachable`: no such host, no route, no such socket
 * - `timed-out`: a deadline passed (connecting, a call, keepalive)
 * - `closed`: the connection ended
 * - `protocol`: the peer broke the protocol or a limit of it
 * - `auth`: the daemon wants an authentication we cannot give, or refused ours
 * - `busy`: too many calls were waiting; this one was not sent
 */
export type ConnectionErrorKind = 'refused' | 'unreachable' | 'timed-out' | 'closed' | 'protocol' | 'auth' | 'busy';

/** Something happened to the connection rather than to the object asked for. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly kind: ConnectionErrorKind;
  /** True when a call had been sent and nothing is known of its result: look before doing it again. */
  readonly outcomeUnknown: boolean;

  constructor(
    kind: ConnectionErrorKind,
    message: string,
    options: { readonly outcomeUnknown?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.outcomeUnknown = options.outcomeUnknown ?? false;
  }
}

/** More or fewer bytes came from the source of an upload than were announced; the upload was aborted. */
export class StreamLengthError extends Error {
  override readonly name = 'StreamLengthError';
  readonly expectedBytes: number;
  /** Bytes the source gave before the upload was aborted. */
  readonly actualBytes: number;

  constructor(expectedBytes: number, actualBytes: number) {
    super(`the source gave ${actualBytes > expectedBytes ? 'more' : `only ${actualBytes}`} of ${expectedBytes} bytes`);
    this.expectedBytes = expectedBytes;
    this.actualBytes = actualBytes;
  }
}

/** Whether `error` is libvirt's, and (when codes are given) one of these. */
export const isLibvirtError = (error: unknown, ...codes: readonly number[]): error is LibvirtError =>
  error instanceof LibvirtError && (codes.length === 0 || codes.includes(error.code));
