/** The client that reconnects: when it connects, waits, fails at once, and what its verbs make of the calls. */
import { describe, expect, it } from 'vitest';
import type { ClientStatus, LibvirtClient } from '../../src/libvirt/client.ts';
import { ErrorCode } from '../../src/libvirt/error-codes.ts';
import { ConnectionError, isLibvirtError } from '../../src/libvirt/errors.ts';
import { formatVersion } from '../../src/libvirt/verbs/host.ts';
import { type FakeCall, fakeDomain } from '../support/fake-libvirtd.ts';
import { clientOf, failureOf, startDaemon } from './support.ts';

const fast = { backoffMinMs: 1, backoffMaxMs: 5 };

/** Resolves when the client's state is `state`. */
const reach = (client: LibvirtClient, state: ClientStatus['state']): Promise<void> =>
  new Promise((resolve) => {
    if (client.status.state === state) resolve();
    else {
      const stop = client.onStateChange((status) => {
        if (status.state !== state) return;
        stop();
        resolve();
      });
    }
  });

describe('connecting', () => {
  it('happens on first use, once for all who wait', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const client = clientOf(daemon);
    expect(client.status).toEqual({ state: 'idle' });
    expect(await Promise.all([client.hostname(), client.hostname(), client.hostname()])).toEqual(['h', 'h', 'h']);
    expect(daemon.connections).toHaveLength(1);
    expect(client.status).toEqual({ state: 'connected' });
  });

  it('happens again when the connection is lost, and calls under way are not repeated', async () => {
    const daemon = await startDaemon();
    let starts = 0;
    daemon.on('DOMAIN_CREATE_WITH_FLAGS', ({ connection }) => {
      starts += 1;
      connection.socket.destroy();
    });
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const client = clientOf(daemon, fast);
    const error = await failureOf(client.createDomain(fakeDomain(1)));
    expect(error).toMatchObject({ kind: 'closed', outcomeUnknown: true });
    await reach(client, 'connected');
    await expect(client.hostname()).resolves.toBe('h');
    expect(starts).toBe(1);
    expect(daemon.connections).toHaveLength(2);
  });

  it('that failed makes calls fail at once with the reason, until it has succeeded', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    await daemon.down();
    const client = clientOf(daemon, { backoffMinMs: 40, backoffMaxMs: 40 });
    const first = await failureOf(client.hostname());
    expect(first).toMatchObject({ kind: 'unreachable', outcomeUnknown: false });
    expect(client.status).toMatchObject({ state: 'backoff', retryInMs: 40 });
    const began = performance.now();
    expect(await failureOf(client.hostname())).toMatchObject({ kind: 'unreachable', outcomeUnknown: false });
    expect(performance.now() - began).toBeLessThan(30);
    await daemon.listen();
    await reach(client, 'connected');
    await expect(client.hostname()).resolves.toBe('h');
  });

  it('is tried ever less often, within its limits and with jitter', async () => {
    const daemon = await startDaemon();
    await daemon.down();
    const pauses: number[] = [];
    let random = 1;
    const client = clientOf(daemon, { backoffMinMs: 2, backoffMaxMs: 20, random: () => random });
    client.onStateChange((status) => {
      if (status.state === 'backoff') pauses.push(status.retryInMs);
      if (pauses.length === 5) random = 0;
    });
    await failureOf(client.hostname());
    while (pauses.length < 6) await reach(client, 'connecting').then(() => reach(client, 'backoff'));
    expect(pauses.slice(0, 6)).toEqual([4, 8, 16, 20, 20, 2]);
  });

  it('to a daemon that hangs up at once counts as failed: no busy loop', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_OPEN', (call) => {
      call.reply({});
      call.connection.socket.end();
    });
    const client = clientOf(daemon, { backoffMinMs: 60_000, backoffMaxMs: 60_000 });
    const states: string[] = [];
    client.onStateChange(({ state }) => states.push(state));
    await failureOf(client.hostname());
    await reach(client, 'backoff');
    expect(states).toEqual(['connecting', 'connected', 'backoff']);
    expect(daemon.connections).toHaveLength(1);
  });

  it('is not waited for longer than the call may take, nor after its abort', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_OPEN', () => undefined);
    const client = clientOf(daemon);
    const late = await failureOf(client.hostname({ timeoutMs: 20 }));
    expect(late).toMatchObject({ kind: 'timed-out', outcomeUnknown: false });
    const reason = new Error('never mind');
    const controller = new AbortController();
    const waiting = failureOf(client.hostname({ signal: controller.signal }));
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    await client.close();
  });

  it('ends with close(): calls that wait, and later ones, are refused', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_OPEN', () => undefined);
    const client = clientOf(daemon);
    const waiting = failureOf(client.hostname());
    const peer = await daemon.connection();
    await peer.until(() => peer.calls('CONNECT_OPEN').length === 1);
    await client.close();
    expect(await waiting).toMatchObject({ kind: 'closed', outcomeUnknown: false });
    expect(await failureOf(client.hostname())).toMatchObject({ kind: 'closed', outcomeUnknown: false });
    expect(client.status).toEqual({ state: 'closed' });
    await peer.until(() => peer.socket.destroyed);
  });
});

describe('verbs', () => {
  it('query many domains four at a time, in order, with an error where there is one', async () => {
    const daemon = await startDaemon();
    let open = 0;
    let most = 0;
    daemon.on('DOMAIN_GET_INFO', (call) => {
      open += 1;
      most = Math.max(most, open);
      setImmediate(() => {
        open -= 1;
        const number = call.args.dom.id;
        if (number === 13) call.fail({ code: ErrorCode.NO_DOMAIN });
        else call.reply({ state: 1, maxMem: 8n, memory: 4n, nrVirtCpu: 2, cpuTime: BigInt(number) });
      });
    });
    const client = clientOf(daemon);
    const doms = Array.from({ length: 50 }, (_, number) => fakeDomain(number));
    const results = await client.domainsInfo(doms);
    expect(most).toBe(4);
    expect(results.map(({ domain }) => domain)).toEqual(doms);
    expect(results[7]?.info).toEqual({ state: 1, maxMemoryKiB: 8, memoryKiB: 4, vcpus: 2, cpuTimeNs: 7n });
    expect(isLibvirtError(results[13]?.error, ErrorCode.NO_DOMAIN)).toBe(true);
    expect(results.filter(({ error }) => error !== undefined)).toHaveLength(1);
  });

  it('query many domains of a daemon that hangs within one deadline', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const client = clientOf(daemon);
    const began = performance.now();
    const results = await client.domainsInfo(
      Array.from({ length: 600 }, (_, number) => fakeDomain(number)),
      { timeoutMs: 60 },
    );
    expect(performance.now() - began).toBeLessThan(600);
    const errors = results.map(({ error }) => error instanceof ConnectionError && [error.kind, error.outcomeUnknown]);
    expect(errors.slice(0, 5)).toEqual([...Array(4).fill(['timed-out', true]), ['timed-out', false]]);
    expect(errors).toHaveLength(600);
  });

  it('ask in two steps for what has a size of its own', async () => {
    const daemon = await startDaemon();
    const sizes: number[] = [];
    const all = [
      { field: 'user', value: 5n },
      { field: 'idle', value: 9n },
    ];
    const answer = (call: FakeCall<'NODE_GET_CPU_STATS'> | FakeCall<'NODE_GET_MEMORY_STATS'>): void => {
      sizes.push(call.args.nparams);
      call.reply({ params: call.args.nparams === 0 ? [] : all, nparams: 2 });
    };
    daemon.on('NODE_GET_CPU_STATS', answer);
    daemon.on('NODE_GET_MEMORY_STATS', answer);
    const client = clientOf(daemon);
    expect(await client.nodeCpuStats()).toEqual({ user: 5n, idle: 9n });
    expect(await client.nodeMemoryStats()).toEqual({ user: 5, idle: 9 });
    expect(sizes).toEqual([0, 2, 0, 2]);
  });

  it('give statistics by name, not waiting for stuck domains unless told to', async () => {
    const daemon = await startDaemon();
    const asked: unknown[] = [];
    daemon.on('CONNECT_GET_ALL_DOMAIN_STATS', (call) => {
      asked.push(call.args);
      const params = [{ field: 'cpu.time', value: { type: 'ullong' as const, value: 3n } }];
      call.reply({ retStats: [{ dom: fakeDomain(1), params }] });
    });
    const client = clientOf(daemon);
    expect(await client.allDomainStats({ stats: 2 })).toEqual([{ domain: fakeDomain(1), params: { 'cpu.time': 3n } }]);
    await client.allDomainStats({ doms: [fakeDomain(1)], stats: 1, flags: 0 });
    expect(asked).toEqual([
      { doms: [], stats: 2, flags: 0x2000_0000 },
      { doms: [fakeDomain(1)], stats: 1, flags: 0 },
    ]);
  });

  it('send a migration with the wire types libvirt wants', async () => {
    const daemon = await startDaemon();
    let asked: FakeCall<'DOMAIN_MIGRATE_PERFORM3_PARAMS'>['args'] | undefined;
    daemon.on('DOMAIN_MIGRATE_PERFORM3_PARAMS', (call) => {
      asked = call.args;
      call.reply({ cookie_out: new Uint8Array(0) });
    });
    const params = { migrate_uri: 'tcp:127.0.0.2', bandwidth: 9n, disks_port: 7, migrate_disks: ['vda', 'vdb'] };
    await clientOf(daemon).migrateP2p(fakeDomain(1), { destUri: 'qemu+tcp://b/session', params, flags: 9 });
    expect(asked).toMatchObject({ dconnuri: 'qemu+tcp://b/session', flags: 11, cookie_in: new Uint8Array(0) });
    expect(asked?.params).toEqual([
      { field: 'migrate_uri', value: { type: 'string', value: 'tcp:127.0.0.2' } },
      { field: 'bandwidth', value: { type: 'ullong', value: 9n } },
      { field: 'disks_port', value: { type: 'int', value: 7 } },
      { field: 'migrate_disks', value: { type: 'string', value: 'vda' } },
      { field: 'migrate_disks', value: { type: 'string', value: 'vdb' } },
    ]);
  });

  it('format libvirt’s version numbers', () => {
    expect([9_000_000, 11_003_001, 7_002_022].map(formatVersion)).toEqual(['9.0.0', '11.3.1', '7.2.22']);
  });
});
