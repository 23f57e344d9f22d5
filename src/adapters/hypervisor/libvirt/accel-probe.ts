// Finds out whether a guest really runs under KVM on a host that is only reached through libvirt: a boot sector that powers
// itself off. Libvirt's capabilities do not tell: /dev/kvm can exist and hang every guest. Nothing is left behind.

import { randomUUID } from 'node:crypto';
import {
  type Domain,
  DomainCreateFlags,
  LibvirtClient,
  type LibvirtClientOptions,
  type StoragePool,
  type StorageVolume,
} from '../../../libvirt/index.ts';
import { bootSector } from '../boot-sector.ts';
import { element } from './xml-text.ts';

export interface AccelVerdict {
  readonly kind: 'kvm' | 'qemu';
  /** In words for people. */
  readonly reason: string;
}

/** The sector takes 0.1 s; emulation needs 0.6 s in all. A KVM that needs longer is none to run guests on. */
const RUN_LIMIT_MS = 3_000;
/** With a broken /dev/kvm, libvirt itself can take a minute to create a domain. It is not worth waiting for. */
const PROBE_LIMIT_MS = 20_000;
/** virDomainEventStoppedDetailType: the guest powered itself off. Anything else is a QEMU that died or was ended. */
const STOPPED_SHUTDOWN = 0;
const FLOPPY_BYTES = 512;

type DomainType = 'kvm' | 'qemu';
type Run = { readonly ran: true; readonly ms: number } | { readonly ran: false; readonly how: string };

/**
 * Probes once, on a connection of its own, so that its end takes the probe's guest with it whatever happens. Never rejects but
 * when `signal` aborts: where the probe cannot be made, emulation is what is known to work. The last argument is for tests on
 * machines without KVM: which domain types play the control and the one that is tried.
 */
export async function probeAccel(
  options: LibvirtClientOptions,
  poolName: string,
  signal: AbortSignal,
  [control, tried]: readonly [DomainType, DomainType] = ['qemu', 'kvm'],
): Promise<AccelVerdict> {
  const client = new LibvirtClient(options);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PROBE_LIMIT_MS)]);
  try {
    return await probe(client, poolName, limit, control, tried);
  } catch (error) {
    signal.throwIfAborted();
    const how = error instanceof Error ? error.message : String(error);
    return { kind: 'qemu', reason: `KVM could not be tried: ${limit.aborted ? 'the probe took too long' : how}` };
  } finally {
    await client.close();
  }
}

async function probe(
  client: LibvirtClient,
  poolName: string,
  signal: AbortSignal,
  controlType: DomainType,
  triedType: DomainType,
): Promise<AccelVerdict> {
  const offered = await client
    .domainCapabilities({ arch: 'x86_64', machine: 'pc', virtType: triedType }, { signal })
    .then(() => true)
    .catch(() => false);
  if (!offered) return { kind: 'qemu', reason: 'libvirt offers no KVM on this host' };
  const pool = await client.lookupPoolByName(poolName, { signal });
  const floppy = await makeFloppy(client, pool, signal);
  try {
    const path = await client.volumePath(floppy, { signal });
    // The control tells a broken KVM from a host that is merely slow, or on which no guest starts at all.
    const control = await runOnce(client, controlType, path, signal);
    if (!control.ran)
      return { kind: 'qemu', reason: `KVM was not tried: the probe failed under emulation (${control.how})` };
    const kvm = await runOnce(client, triedType, path, signal);
    return kvm.ran
      ? { kind: 'kvm', reason: `a probe guest ran under KVM in ${kvm.ms} ms` }
      : { kind: 'qemu', reason: `libvirt offers KVM, but a probe guest does not run under it (${kvm.how})` };
  } finally {
    await client.deleteVolume(floppy).catch(() => undefined);
  }
}

async function makeFloppy(client: LibvirtClient, pool: StoragePool, signal: AbortSignal): Promise<StorageVolume> {
  const name = `virtscale-probe-${randomUUID()}.img`;
  const size = element('capacity', { unit: 'bytes' }, FLOPPY_BYTES);
  const target = element('target', {}, element('format', { type: 'raw' }));
  const volume = await client.createVolume(
    pool,
    element('volume', {}, element('name', {}, name), size, target).xml,
    0,
    {
      signal,
    },
  );
  const sector = bootSector();
  await client.uploadVolume(volume, { offset: 0, length: sector.length }, toIterable(sector), { signal });
  return volume;
}

async function* toIterable(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

async function runOnce(client: LibvirtClient, type: DomainType, floppy: string, signal: AbortSignal): Promise<Run> {
  const uuid = randomUUID();
  const watching = new AbortController();
  const limit = AbortSignal.any([signal, watching.signal]);
  const events = client.events(['lifecycle'], { signal: limit })[Symbol.asyncIterator]();
  // The subscription's first item: from now on nothing is missed.
  await events.next();
  const begun = performance.now();
  let domain: Domain | undefined;
  const late = setTimeout(() => watching.abort(), RUN_LIMIT_MS + (type === 'qemu' ? RUN_LIMIT_MS : 0));
  try {
    domain = await client.createDomainXml(probeXml(type, uuid, floppy), DomainCreateFlags.START_AUTODESTROY, {
      signal,
    });
    for (let item = await events.next(); item.done !== true; item = await events.next()) {
      const event = item.value;
      if (event.type !== 'lifecycle' || event.domain.uuid !== uuid || event.event !== 'stopped') continue;
      if (event.detail === STOPPED_SHUTDOWN) return { ran: true, ms: Math.round(performance.now() - begun) };
      return { ran: false, how: 'QEMU died' };
    }
    signal.throwIfAborted();
    return { ran: false, how: `it did not finish in ${RUN_LIMIT_MS / 1000} s` };
  } catch (error) {
    signal.throwIfAborted();
    return { ran: false, how: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(late);
    watching.abort();
    if (domain) await client.destroyDomain(domain).catch(() => undefined);
  }
}

function probeXml(type: DomainType, uuid: string, floppy: string): string {
  const disk = element(
    'disk',
    { type: 'file', device: 'floppy' },
    element('driver', { name: 'qemu', type: 'raw' }),
    element('source', { file: floppy }),
    element('target', { dev: 'fda', bus: 'fdc' }),
    element('readonly'),
  );
  return element(
    'domain',
    { type },
    element('name', {}, `virtscale-probe-${uuid}`),
    element('uuid', {}, uuid),
    element('memory', { unit: 'MiB' }, 16),
    element('vcpu', {}, 1),
    element('os', {}, element('type', { arch: 'x86_64', machine: 'pc' }, 'hvm'), element('boot', { dev: 'fd' })),
    element('features', {}, element('acpi')),
    type === 'kvm' ? element('cpu', { mode: 'host-model' }) : undefined,
    element('on_poweroff', {}, 'destroy'),
    element('on_reboot', {}, 'destroy'),
    element('on_crash', {}, 'destroy'),
    element(
      'devices',
      {},
      disk,
      element('controller', { type: 'usb', model: 'none' }),
      element('memballoon', { model: 'none' }),
    ),
  ).xml;
}
