/**
 * The structs of libvirt's remote protocol that several procedures share, as XDR types, and the limits on their sizes.
 * Field names are the protocol's; procedures are in procedures/.
 */

import { XdrError } from './bytes/cursor.ts';
import {
  array,
  bool,
  double,
  fixedOpaque,
  hyper,
  int,
  mapped,
  opaque,
  optional,
  string,
  struct,
  type TypeOf,
  uhyper,
  uint,
  union,
  type XdrType,
} from './bytes/xdr.ts';

/** Limits of the protocol, in bytes or items. */
export const limits = {
  stringBytes: 4_194_304,
  listItems: 16_384,
  statsParams: 262_144,
  migrateParams: 64,
  jobStatsParams: 64,
  interfaces: 2_048,
  dhcpLeases: 65_536,
  /** Where the protocol's own limit is smaller, the count is held by the message size all the same. */
  otherItems: 65_536,
} as const;

export const text = string(limits.stringBytes);
export const optionalText = optional(text);
export const bytes = opaque(limits.stringBytes);

const uuidPattern = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/** A uuid: 16 bytes on the wire, dashed lower case here. Undashed and upper case are accepted when writing. */
export const uuid: XdrType<string> = mapped(
  fixedOpaque(16),
  (raw) => {
    const hex = Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
  (value) => {
    if (!uuidPattern.test(value)) throw new XdrError(`'${value}' is not a uuid`);
    return Buffer.from(value.replaceAll('-', ''), 'hex');
  },
);

export const domain = struct({ name: text, uuid, id: int });
/** A domain as the daemon hands it out. Only `uuid` counts when it is sent back; `id` is -1 when not running. */
export type Domain = TypeOf<typeof domain>;

export const network = struct({ name: text, uuid });

export const storagePool = struct({ name: text, uuid });
export type StoragePool = TypeOf<typeof storagePool>;

export const storageVol = struct({ pool: text, name: text, key: text });
/** A volume; the daemon finds it by pool name and volume name. */
export type StorageVolume = TypeOf<typeof storageVol>;

export const domainSnapshot = struct({ name: text, dom: domain });
export type DomainSnapshot = TypeOf<typeof domainSnapshot>;

export const domainCheckpoint = struct({ name: text, dom: domain });
export const secret = struct({ uuid, usageType: int, usageID: text });
export const nodeDevice = struct({ name: text });

const typedParamValue = union({
  int: [1, int],
  uint: [2, uint],
  llong: [3, hyper],
  ullong: [4, uhyper],
  double: [5, double],
  boolean: [6, bool],
  string: [7, text],
});

export const typedParam = struct({ field: text, value: typedParamValue });
/** A named value with its wire type, as libvirt's statistics, tuning and migration calls use. */
export type TypedParam = TypeOf<typeof typedParam>;

/** The value of a typed parameter without its wire type. */
export type ParamValue = TypedParam['value']['value'];

/** Typed parameters without a limit of their own. */
export const typedParams = array(typedParam, limits.otherItems);

export const statsRecord = struct({ dom: domain, params: array(typedParam, limits.statsParams) });

export const domainInterface = struct({
  name: text,
  hwaddr: optionalText,
  addrs: array(struct({ type: int, addr: text, prefix: uint }), limits.interfaces),
});
/** A guest interface and its addresses; address type 0 is IPv4, 1 is IPv6. */
export type DomainInterface = TypeOf<typeof domainInterface>;

export const nodeStat = struct({ field: text, value: uhyper });
export const memoryStat = struct({ tag: int, val: uhyper });
export const vcpuInfo = struct({ number: uint, state: int, cpu_time: uhyper, cpu: int });
export const diskError = struct({ disk: text, error: int });
export const fsInfo = struct({
  mountpoint: text,
  name: text,
  fstype: text,
  dev_aliases: array(text, limits.otherItems),
});
export const dhcpLease = struct({
  iface: text,
  expirytime: hyper,
  type: int,
  mac: optionalText,
  iaid: optionalText,
  ipaddr: text,
  prefix: uint,
  hostname: optionalText,
  clientid: optionalText,
});

export const graphicsAddress = struct({ family: int, node: text, service: text });
export const graphicsIdentity = struct({ type: text, name: text });

/** What a reply or stream packet with status ERROR carries. */
export const remoteError = struct({
  code: int,
  domain: int,
  message: optionalText,
  level: int,
  dom: optional(domain),
  str1: optionalText,
  str2: optionalText,
  str3: optionalText,
  int1: int,
  int2: int,
  net: optional(network),
});
export type RemoteError = TypeOf<typeof remoteError>;

/** Typed parameters as a record; a field that comes more than once keeps its last value. */
export const paramsToRecord = (params: readonly TypedParam[]): Record<string, ParamValue> => {
  const record: Record<string, ParamValue> = {};
  for (const { field, value } of params) record[field] = value.value;
  return record;
};
