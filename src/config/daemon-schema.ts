// The form of virtscale.yaml. Not here: defaults, precedence and what parts say about each other (daemon-file).

import { z } from 'zod';
import type { Flavor } from '../core/model.ts';
import { LOG_LEVELS, type NetworkConfig } from './daemon-config.ts';
import { durationBetween, name, oneOf, refuse, sizeBetween, strict, textUpTo, wholeBetween } from './schemas.ts';

const PATH_MAX = 1000;
const filePath = textUpTo(PATH_MAX);

const uri = textUpTo(500).superRefine((text, context) => {
  const match = /^([a-z][a-z0-9]*)(?:\+([a-z0-9]+))?:\/\/([^/?#]*)(\/[^?#]*)?(\?[^#]*)?$/i.exec(text);
  const ways = 'qemu:///system, qemu:///session, qemu+unix:///system?socket=PATH or qemu+tcp://HOST/system';
  if (match === null) refuse(context, [], `is not a libvirt URI; write ${ways}`);
  else if (match[1]?.toLowerCase() !== 'qemu')
    refuse(context, [], `only QEMU hosts are supported, not ${match[1]}; write ${ways}`);
  else if (!(match[2] === undefined ? match[3] === '' : /^(unix|tcp)$/i.test(match[2]))) {
    refuse(context, [], `transport ${match[2] ?? 'tls'} is not supported yet; write ${ways}`);
  } else if (match[4] === undefined || match[4] === '/')
    refuse(context, [], `needs /system or /session; write ${ways}`);
});

const forwardPrefix = textUpTo(20).refine(
  (text) => /^127(\.\d{1,3}){2}$/.test(text) && text.split('.').every((part) => Number(part) <= 255),
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
  pool: strict({ name: textUpTo(100), path: filePath.optional() }).optional(),
  network: network.optional(),
}).superRefine((raw, context) => {
  if ((raw.uri !== undefined) === (raw.embedded === true)) {
    const has = raw.uri === undefined ? 'neither' : 'both';
    refuse(context, [], `needs either uri or embedded: true; it has ${has}`);
  }
  if (raw.embedded !== true) return;
  if (raw.pool !== undefined) refuse(context, ['pool'], 'an embedded host has a pool of its own; leave this out');
  if (raw.network !== undefined && raw.network.kind !== 'forward') {
    refuse(context, ['network'], 'an embedded host can only forward ports: network: { forward: 127.0.1 }');
  }
});

const image = strict({
  name,
  path: filePath,
  format: oneOf(['qcow2', 'raw']).optional(),
  kernel: filePath.optional(),
  initrd: filePath.optional(),
  args: textUpTo(2000).optional(),
}).superRefine((raw, context) => {
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
}).transform(
  (raw): Flavor => ({
    name: raw.name,
    vcpus: raw.vcpus,
    memoryMiB: raw.memory,
    ...(raw.disk !== undefined && { diskGiB: raw.disk / MIB_PER_GIB }),
  }),
);

export const daemonSchema = strict({
  /** Checked with the other sources of it. */
  listen: z.unknown().optional(),
  allowRemote: z.boolean().optional(),
  stateDir: filePath.optional(),
  policies: filePath.optional(),
  poll: durationBetween('200ms', '1m').optional(),
  hosts: z.array(host).min(1, { error: 'must list at least one host' }).max(1000).optional(),
  images: z.array(image).max(1000).optional(),
  flavors: z.array(flavor).min(1, { error: 'must list at least one flavor' }).max(1000).optional(),
  log: strict({ level: oneOf(LOG_LEVELS).optional() }).optional(),
  events: strict({ keep: wholeBetween(1000, 10_000_000).optional() }).optional(),
});

export type RawDaemon = z.output<typeof daemonSchema>;
