// Finds the addresses of a guest that libvirt, its agent or the host's ARP table know of, and the one to reach it by.
// Not here: forwarded ports, which are known beforehand (the domain's metadata).

import { isIPv4, isIPv6 } from 'node:net';
import {
  type CallOptions,
  type Domain,
  type DomainInterface,
  InterfaceAddressesSource,
  IpAddressType,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import type { GuestAddress } from '../../../ports/hypervisor.ts';

/** An agent that is connected answers in some ms; one that hangs is not waited for. */
const AGENT_TIMEOUT_MS = 2000;

const SOURCES = [
  ['agent', InterfaceAddressesSource.AGENT],
  ['lease', InterfaceAddressesSource.LEASE],
  ['arp', InterfaceAddressesSource.ARP],
] as const;

/** What each source knows, one entry for each address and source; all are asked at once, and none is waited for long. */
export async function guestAddresses(
  client: LibvirtClient,
  domain: Domain,
  options: CallOptions,
): Promise<readonly GuestAddress[]> {
  const ask = async ([source, number]: (typeof SOURCES)[number]): Promise<readonly GuestAddress[]> => {
    try {
      const interfaces = await client.interfaceAddresses(domain, number, { ...options, timeoutMs: AGENT_TIMEOUT_MS });
      return interfaces.flatMap((each) => addressesOf(each, source));
    } catch (error) {
      if (isLibvirtError(error) || isTimeout(error)) return [];
      throw error;
    }
  };
  const found = (await Promise.all(SOURCES.map(ask))).flat();
  const seen = new Set<string>();
  return found.filter(({ address, source }) => {
    const key = `${source} ${address}`;
    return seen.has(key) ? false : seen.add(key);
  });
}

function addressesOf(
  { addrs, hwaddr, name }: DomainInterface,
  source: GuestAddress['source'],
): readonly GuestAddress[] {
  return addrs
    .filter(({ addr }) => !isLoopback(addr))
    .map(({ addr }) => ({ address: addr, source, ...(name && { interface: name }), ...(hwaddr && { mac: hwaddr }) }));
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** Undefined while nobody knows: no lease yet, no agent yet, not running. `except`: cards (lower case) that clients cannot reach it by. */
export async function guestAddress(
  client: LibvirtClient,
  domain: Domain,
  options: CallOptions,
  except: ReadonlySet<string> = new Set(),
): Promise<string | undefined> {
  for (const source of [InterfaceAddressesSource.LEASE, InterfaceAddressesSource.AGENT]) {
    const timeoutMs = source === InterfaceAddressesSource.AGENT ? AGENT_TIMEOUT_MS : options.timeoutMs;
    try {
      const all = await client.interfaceAddresses(domain, source, { ...options, timeoutMs });
      const found = reachable(all.filter(({ hwaddr }) => !except.has(hwaddr?.toLowerCase() ?? '')));
      if (found !== undefined) return found;
    } catch (error) {
      // "Not supported", "agent not connected", "not running": this source knows nothing yet. A broken connection is told.
      if (isLibvirtError(error)) continue;
      if (source === InterfaceAddressesSource.AGENT && isTimeout(error)) continue;
      throw error;
    }
  }
  return undefined;
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'kind' in error && error.kind === 'timed-out';
}

/** The first IPv4 address that another machine could use, else the first such IPv6 one. */
export function reachable(interfaces: readonly DomainInterface[]): string | undefined {
  const all = interfaces.filter(({ name }) => name !== 'lo').flatMap(({ addrs }) => addrs);
  const v4 = all.find(
    ({ addr, type }) => type === IpAddressType.IPV4 && isIPv4(addr) && !/^(127|169\.254)\./.test(addr),
  );
  const v6 = all.find(
    ({ addr, type }) => type === IpAddressType.IPV6 && isIPv6(addr) && !/^(::1$|fe[89ab])/i.test(addr),
  );
  return v4?.addr ?? v6?.addr;
}
