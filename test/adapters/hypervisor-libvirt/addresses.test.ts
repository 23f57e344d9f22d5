// Which loopback address a VM gets, and which of a guest's addresses clients are sent to.

import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { canBind, freeAddress } from '../../../src/adapters/hypervisor/libvirt/forward-addresses.ts';
import { reachable } from '../../../src/adapters/hypervisor/libvirt/guest-address.ts';

test('the smallest that nobody has and that can be bound', async () => {
  const taken = new Set(['127.0.1.1', '127.0.1.3']);
  const free = await freeAddress('127.0.1', 8080, taken, async ({ address }) => address !== '127.0.1.2');
  expect(free).toEqual({ address: '127.0.1.4', port: 8080 });
});

test('when all are taken it is refused, with what to do', async () => {
  const all = new Set(Array.from({ length: 254 }, (_, n) => `127.0.1.${n + 1}`));
  await expect(freeAddress('127.0.1', 8080, all, async () => true)).rejects.toMatchObject({
    kind: 'refused',
    advice: expect.stringContaining('prefix'),
  });
  all.delete('127.0.1.254');
  expect(await freeAddress('127.0.1', 8080, all, async () => true)).toEqual({ address: '127.0.1.254', port: 8080 });
});

test('an address where somebody listens cannot be bound, its neighbour can', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.77.9.1', resolve));
  const { port } = server.address() as { port: number };
  expect(await canBind({ address: '127.77.9.1', port })).toBe(false);
  expect(await canBind({ address: '127.77.9.2', port })).toBe(true);
  // Trying leaves nothing behind.
  expect(await canBind({ address: '127.77.9.2', port })).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await canBind({ address: '127.77.9.1', port })).toBe(true);
});

test('a guest is reached by IPv4 before IPv6, never by loopback or link-local', () => {
  const nic = (name: string, ...addrs: [number, string][]) => ({
    name,
    hwaddr: undefined,
    addrs: addrs.map(([type, addr]) => ({ type, addr, prefix: 24 })),
  });
  expect(reachable([])).toBeUndefined();
  expect(reachable([nic('lo', [0, '127.0.0.1'])])).toBeUndefined();
  expect(reachable([nic('eth0', [1, 'fe80::1'], [0, '169.254.1.1'])])).toBeUndefined();
  expect(reachable([nic('eth0', [1, 'fe80::1'], [1, '2001:db8::1'])])).toBe('2001:db8::1');
  expect(reachable([nic('eth0', [1, '2001:db8::1']), nic('eth1', [0, '10.0.0.5'])])).toBe('10.0.0.5');
});
