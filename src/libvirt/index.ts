/**
 * A libvirt client in pure TypeScript: speaks libvirt's remote protocol over a socket, needs no libvirt here.
 * This is its whole public surface.
 */
export { XdrError } from './bytes/cursor.ts';
export { type ClientStatus, LibvirtClient, type LibvirtClientOptions } from './client.ts';
export { Connection, type ConnectOptions } from './connection.ts';
export * from './constants.ts';
export { ErrorCode } from './error-codes.ts';
export {
  ConnectionError,
  type ConnectionErrorKind,
  isLibvirtError,
  LibvirtError,
  StreamLengthError,
} from './errors.ts';
export { type DomainEvent, type DomainEventType, domainEventTypes, type Resync } from './events.ts';
export type { ArgsOf, ProcedureName, RetOf } from './procedures.ts';
export type { CallOptions } from './session.ts';
export type { TransferOptions } from './stream.ts';
export type {
  Domain,
  DomainInterface,
  DomainSnapshot,
  ParamValue,
  StoragePool,
  StorageVolume,
  TypedParam,
} from './structs.ts';
export { UriError } from './uri.ts';
export type { DomainInfo, DomainInfoResult, DomainStats } from './verbs/domain.ts';
export type { JobStats, MigrateParams } from './verbs/guest.ts';
export { formatVersion, type NodeInfo } from './verbs/host.ts';
export type { ByteRange, PoolInfo, VolumeInfo } from './verbs/storage.ts';
