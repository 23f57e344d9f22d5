// The form of virtscale.yaml. Not here: defaults, precedence and what parts say about each other (daemon-file).

import { z } from 'zod';
import type { Flavor } from '../core/model.ts';
import { DEFAULT_REBALANCE, type RebalanceSettings } from '../core/rebalance.ts';
import type { Quota } from '../core/user.ts';
import { balancer } from './balancer-schema.ts';
import { LOG_LEVELS, type NetworkConfig, type RecordConfig, WITHOUT_TOKEN } from './daemon-config.ts';
import { readImageSource } from './image-source.ts';
import { daemonPlacement, hostPlacement } from './placement-schema.ts';
import {
  durationBetween,
  httpUrl,
  isBlock,
  name,
  oneOf,
  refuse,
  shown,
  sizeBetween,
  strict,
  textUpTo,
  wholeBetween,
  within,
} from './schemas.ts';

const PATH_MAX = 1000;
const BALANCERS_MAX = 100;
const filePath = textUpTo(PATH_MAX);

const TRANSPORTS = /^(unix|tcp|tls|ssh)$/i;
/** What libvirt has and this client has not, with what to write instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  libssh: 'write qemu+ssh://…, which runs the ssh of this machine',
  libssh2: 'write qemu+ssh://…, which runs the ssh of this machine',
  ext: 'write qemu+ssh://…?command=PROGRAM for a program that stands in for ssh',
};

// The form only, so that a mistake is told with its line; what the parameters mean is the libvirt client's to know.
// libvirt's test driver is for trying things out.
const uri = textUpTo(500).superRefine((text, context) => {
  const match = /^([a-z][a-z0-9]*)(?:\+([a-z0-9]+))?:\/\/([^/?#]*)(\/[^?#]*)?(\?[^#]*)?$/i.exec(text);
  const [, driver = '', transport, authority = '', path = ''] = match ?? [];
  const ways = 'qemu:///system, qemu+ssh://USER@HOST/system, qemu+tls://HOST/system or qemu+unix:///system?socket=PATH';
  if (match === null) refuse(context, [], `is not a libvirt URI; write ${ways}`);
  else if (!/^(qemu|test)$/i.test(driver)) {
    refuse(context, [], `only QEMU hosts are supported, not ${driver}; write ${ways}`);
  } else if (transport !== undefined && !TRANSPORTS.test(transport)) {
    const instead = INSTEAD[transport.toLowerCase()] ?? `write ${ways}`;
    refuse(context, [], `transport ${transport} is not supported; ${instead}`);
  } else if (transport?.toLowerCase() === 'unix' && authority !== '') {
    refuse(context, [], 'a unix socket has no host; write qemu+ssh://USER@HOST/system for another machine');
  } else if (/^-|@-/.test(authority)) refuse(context, [], "a user or host does not begin with '-'");
  else if (/^[^@]*:[^@]*@/.test(authority)) {
    refuse(context, [], 'a password in a URI is never used; give ssh a key: qemu+ssh://USER@HOST/system?keyfile=PATH');
  } else if (driver.toLowerCase() === 'qemu' && !/^\/(system|session)$/.test(path))
    refuse(context, [], `needs /system or /session; write ${ways}`);
});

const forwardPrefix = textUpTo(20).refine(
  (text) => /^127(\.(0|[1-9]\d{0,2})){2}$/.test(text) && text.split('.').every((part) => Number(part) <= 255),
  { error: 'must be three numbers of 127.0.0.0/8, such as 127.0.1; VMs answer on 127.0.1.N', abort: true },
);

const network = strict({
  forward: forwardPrefix.optional(),
  network: textUpTo(100).optional(),
  bridge: textUpTo(15).optional(),
}).transform((raw, context): NetworkConfig => {
  const given = Object.values(raw).filter((value) => value !== undefined);
  if (given.length === 1) {
    if (raw.forward !== undefined) return { kind: 'forward', prefix: raw.forward };
    if (raw.network !== undefined) return { kind: 'network', name: raw.network };
    if (raw.bridge !== undefined) return { kind: 'bridge', name: raw.bridge };
  }
  refuse(context, [], 'needs exactly one of forward, network and bridge');
  return z.NEVER;
});

const host = strict({
  name,
  uri: uri.optional(),
  embedded: z.boolean().optional(),
  pool: strict({ name: textUpTo(100), path: filePath.optional(), shared: name.optional() }).optional(),
  migrationUri: uri.optional(),
  network: network.optional(),
  ...hostPlacement,
}).superRefine((raw, context) => {
  if ((raw.uri !== undefined) === (raw.embedded === true)) {
    const has = raw.uri === undefined ? 'neither' : 'both';
    refuse(context, [], `needs either uri or embedded: true; it has ${has}`);
  }
  if (raw.embedded !== true) return;
  if (raw.migrationUri !== undefined) refuse(context, ['migrationUri'], 'is known of an embedded host; leave this out');
  if (raw.pool !== undefined) refuse(context, ['pool'], 'an embedded host has a pool of its own; leave this out');
  if (raw.network !== undefined && raw.network.kind !== 'forward') {
    refuse(context, ['network'], 'an embedded host can only forward ports: network: { forward: 127.0.1 }');
  }
});

/** The form only: what a path is relative to, is known when the file is. */
const imageSource = textUpTo(PATH_MAX).superRefine((text, context) => {
  const source = readImageSource(text, '/');
  if (!source.ok) refuse(context, [], source.reason);
});

const sha256 = textUpTo(PATH_MAX)
  .refine((text) => /^[\da-f]{64}$/i.test(text), { error: 'must be 64 hex digits, as sha256sum prints them' })
  .transform((text) => text.toLowerCase());

const image = strict({
  name,
  path: filePath.optional(),
  source: imageSource.optional(),
  built: oneOf(['backend', 'mpi']).optional(),
  sha256: sha256.optional(),
  format: oneOf(['qcow2', 'raw']).optional(),
  kernel: filePath.optional(),
  initrd: filePath.optional(),
  args: textUpTo(2000).optional(),
}).superRefine((raw, context) => {
  const from = (['path', 'source', 'built'] as const).filter((key) => raw[key] !== undefined);
  if (from.length !== 1) {
    const which =
      'path (it lies on every host already), source (virtscale brings it there) or built (virtscale builds it)';
    refuse(context, [], `needs one of ${which}; it has ${from.length === 0 ? 'none' : from.join(' and ')}`);
  }
  if (raw.built !== undefined) {
    const more = (['sha256', 'format', 'kernel', 'initrd', 'args'] as const).find((key) => raw[key] !== undefined);
    if (more !== undefined) refuse(context, [more], 'is known of an image that virtscale builds; leave this out');
    return;
  }
  if (raw.path === undefined && raw.source !== undefined) {
    const direct = (['kernel', 'initrd', 'args'] as const).find((key) => raw[key] !== undefined);
    if (direct !== undefined) refuse(context, [direct], 'goes with path only: no kernel is brought to the hosts');
    return;
  }
  if (raw.source === undefined && raw.sha256 !== undefined) {
    refuse(context, ['sha256'], 'goes with source only: what lies on the hosts is not read');
  }
  if ((raw.kernel === undefined) !== (raw.initrd === undefined)) {
    refuse(context, [], 'kernel and initrd go together: give both, or neither to boot from the disk');
  }
  if (raw.args !== undefined && raw.kernel === undefined) {
    refuse(context, ['args'], 'args are the arguments of kernel, which is missing');
  }
});

const MIB_PER_GIB = 1024;

const flavor = strict({
  name,
  vcpus: wholeBetween(1, 256),
  memory: sizeBetween(16, 16 * MIB_PER_GIB * MIB_PER_GIB),
  disk: sizeBetween(1, 64 * MIB_PER_GIB * MIB_PER_GIB)
    .refine((mib) => mib % MIB_PER_GIB === 0, { error: 'must be whole GiB, such as 10G' })
    .optional(),
  maxVcpus: wholeBetween(1, 256).optional(),
  maxMemory: sizeBetween(16, 16 * MIB_PER_GIB * MIB_PER_GIB).optional(),
  spareNics: wholeBetween(0, 16).optional(),
})
  .superRefine((raw, context) => {
    if ((raw.maxVcpus ?? raw.vcpus) < raw.vcpus) refuse(context, ['maxVcpus'], 'must not be less than vcpus');
    if ((raw.maxMemory ?? raw.memory) < raw.memory) refuse(context, ['maxMemory'], 'must not be less than memory');
  })
  .transform(
    (raw): Flavor => ({
      name: raw.name,
      vcpus: raw.vcpus,
      memoryMiB: raw.memory,
      ...(raw.disk !== undefined && { diskGiB: raw.disk / MIB_PER_GIB }),
      ...(raw.maxVcpus !== undefined && { maxVcpus: raw.maxVcpus }),
      ...(raw.maxMemory !== undefined && { maxMemoryMiB: raw.maxMemory }),
      ...(raw.spareNics !== undefined && { spareNics: raw.spareNics }),
    }),
  );

/** As it stands in the Host header, without a port. */
const hostName = textUpTo(253).refine((text) => /^[0-9A-Za-z._-]+$/.test(text), {
  error: 'must be a host name, without a port',
});

const quota = strict({
  vms: wholeBetween(0, 1_000_000).optional(),
  vcpus: wholeBetween(0, 1_000_000).optional(),
  memory: sizeBetween(0, 1024 * MIB_PER_GIB * MIB_PER_GIB).optional(),
  disk: sizeBetween(0, 1024 * MIB_PER_GIB * MIB_PER_GIB).optional(),
  snapshots: wholeBetween(0, 1_000_000).optional(),
}).transform(
  ({ vms, vcpus, memory, disk, snapshots }): Quota => ({
    ...(vms !== undefined && { vms }),
    ...(vcpus !== undefined && { vcpus }),
    ...(memory !== undefined && { memoryMiB: memory }),
    ...(disk !== undefined && { diskGiB: disk / MIB_PER_GIB }),
    ...(snapshots !== undefined && { snapshots }),
  }),
);

/** Queries go to paths below it. */
const prometheusUrl = httpUrl
  .refine((text) => !text.includes('?'), { error: 'must have no query in it: write the address alone', abort: true })
  .transform((text) => text.replace(/\/+$/, ''));

const BYTES_PER_MIB = 1024 * 1024;
const recordBlock = strict({ keep: sizeBetween(1, MIB_PER_GIB * MIB_PER_GIB) }).transform(
  ({ keep }): RecordConfig => ({ keepBytes: keep * BYTES_PER_MIB }),
);

/** `record: off`, or `record: { keep: 256M }`. */
const record = z.unknown().transform((value, context): RecordConfig => {
  if (value === 'off' || value === false) return 'off';
  if (!isBlock(value)) {
    refuse(context, [], `must be off, or { keep: SIZE } such as { keep: 256M }, not ${shown(value)}`);
    return z.NEVER;
  }
  return within(recordBlock, value, context);
});

const percentage = wholeBetween(1, 100);

/** `rebalance: {}` with the defaults, or with words of one's own. */
const rebalance = strict({
  above: percentage.optional(),
  for: durationBetween('1s', '1d').optional(),
  gain: percentage.optional(),
  cooldown: durationBetween('1s', '30d').optional(),
  atATime: wholeBetween(1, 100).optional(),
}).transform(
  ({ above, atATime, cooldown, for: forMs, gain }): RebalanceSettings => ({
    above: above === undefined ? DEFAULT_REBALANCE.above : above / 100,
    forMs: forMs ?? DEFAULT_REBALANCE.forMs,
    gain: gain === undefined ? DEFAULT_REBALANCE.gain : gain / 100,
    cooldownMs: cooldown ?? DEFAULT_REBALANCE.cooldownMs,
    atATime: atATime ?? DEFAULT_REBALANCE.atATime,
  }),
);

export const daemonSchema = strict({
  /** Checked with the other sources of it. */
  listen: z.unknown().optional(),
  withoutToken: oneOf(WITHOUT_TOKEN).optional(),
  allowRemote: z
    .undefined({ error: 'is gone: any address may be listened on; withoutToken says who needs no token' })
    .optional(),
  stateDir: filePath.optional(),
  policies: filePath.optional(),
  poll: durationBetween('200ms', '1m').optional(),
  hosts: z.array(host).min(1, { error: 'must list at least one host' }).max(1000).optional(),
  images: z.array(image).max(1000).optional(),
  flavors: z.array(flavor).min(1, { error: 'must list at least one flavor' }).max(1000).optional(),
  placement: daemonPlacement.optional(),
  rebalance: rebalance.optional(),
  names: z.array(hostName).max(100).optional(),
  quota: quota.optional(),
  users: strict({ signUp: z.boolean().optional(), quota: quota.optional() }).optional(),
  log: strict({ level: oneOf(LOG_LEVELS).optional() }).optional(),
  events: strict({ keep: wholeBetween(1000, 10_000_000).optional() }).optional(),
  prometheus: strict({ url: prometheusUrl, timeout: durationBetween('100ms', '4s').optional() }).optional(),
  balancers: z
    .array(balancer)
    .max(BALANCERS_MAX, { error: `has more than ${BALANCERS_MAX} balancers` })
    .optional(),
  record: record.optional(),
});

export type RawDaemon = z.output<typeof daemonSchema>;
