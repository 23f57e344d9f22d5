/**
 * The one table of procedures: name → program, number, argument and result types. Types of calls follow from it.
 * Adding a call is adding a row in procedures/; nothing else is written per call.
 */
import type { TypeOf } from './bytes/xdr.ts';
import { connectionProcedures } from './procedures/connection.ts';
import { domainProcedures } from './procedures/domain.ts';
import { domainTuningProcedures } from './procedures/domain-tuning.ts';
import { eventProcedures, messages } from './procedures/event.ts';
import { networkProcedures } from './procedures/network.ts';
import type { StreamDirection } from './procedures/procedure.ts';
import { qemuProcedures } from './procedures/qemu.ts';
import { snapshotProcedures } from './procedures/snapshot.ts';
import { storageProcedures } from './procedures/storage.ts';

export { messages };

export const procedures = {
  ...connectionProcedures,
  ...domainProcedures,
  ...domainTuningProcedures,
  ...snapshotProcedures,
  ...storageProcedures,
  ...networkProcedures,
  ...eventProcedures,
  ...qemuProcedures,
} as const;

/** Every call this client knows, named as in libvirt without the `REMOTE_PROC_` in front. */
export type ProcedureName = keyof typeof procedures;

/** The arguments of a call, as an object. */
export type ArgsOf<N extends ProcedureName> = TypeOf<(typeof procedures)[N]['args']>;

/** The result of a call, as an object; empty when the call returns nothing. */
export type RetOf<N extends ProcedureName> = TypeOf<(typeof procedures)[N]['ret']>;

/** Calls that open a stream in one of the given directions. */
export type StreamProcedureName<D extends StreamDirection> = {
  [N in ProcedureName]: (typeof procedures)[N]['stream'] extends D ? N : never;
}[ProcedureName];

/** Every message this client can decode. */
export type MessageName = keyof typeof messages;

/** The body of a message. */
export type BodyOf<M extends MessageName> = TypeOf<(typeof messages)[M]['body']>;
