/**
 * The shape of one row of the procedure table: program, number, arguments, result. The rows are in the files beside it.
 */
import { type Fields, type ObjectOf, struct, type XdrType } from '../bytes/xdr.ts';

/** Program numbers; all have version 1. */
export const Program = { remote: 0x2000_8086, qemu: 0x2000_8087, keepalive: 0x6b65_6570 } as const;

/** Which way the data stream goes that a call opens. */
export type StreamDirection = 'up' | 'down' | 'both';

/** A call: `priority` ones are served by libvirt's priority workers too, so a stuck QEMU does not hold them. */
export interface Procedure<Args, Ret, Stream extends StreamDirection | undefined = undefined> {
  readonly program: number;
  readonly number: number;
  readonly args: XdrType<Args>;
  readonly ret: XdrType<Ret>;
  readonly priority: boolean;
  readonly stream: Stream;
}

/** A message the daemon sends unasked. */
export interface Message<Body> {
  readonly program: number;
  readonly number: number;
  readonly body: XdrType<Body>;
}

const row =
  (program: number, priority: boolean) =>
  <const A extends Fields, const R extends Fields>(
    number: number,
    args: A,
    ret: R,
  ): Procedure<ObjectOf<A>, ObjectOf<R>> => ({
    program,
    number,
    args: struct(args),
    ret: struct(ret),
    priority,
    stream: undefined,
  });

/** A call that may have to wait for the domain's QEMU. */
export const call = row(Program.remote, false);

/** A call the daemon answers without QEMU's help (or that ends QEMU). */
export const fast = row(Program.remote, true);

/** A call of the QEMU program. */
export const qemuCall = row(Program.qemu, false);

/** A call that opens a data stream. */
export const streamCall = <const A extends Fields, const R extends Fields, const D extends StreamDirection>(
  number: number,
  args: A,
  ret: R,
  stream: D,
): Procedure<ObjectOf<A>, ObjectOf<R>, D> => ({
  program: Program.remote,
  number,
  args: struct(args),
  ret: struct(ret),
  priority: false,
  stream,
});

/** A message of the remote program, or of `program`. */
export const message = <const B extends Fields>(
  number: number,
  body: B,
  program: number = Program.remote,
): Message<ObjectOf<B>> => ({ program, number, body: struct(body) });
