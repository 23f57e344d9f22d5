/**
 * The client against a real, private libvirtd: its QEMU driver with tiny guests that need no image, its storage driver,
 * and its test driver for what needs no QEMU.
 */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  AffectFlags,
  Connection,
  type Domain,
  DomainCreateFlags,
  type DomainEvent,
  DomainState,
  DomainStatsGroup,
  DomainUndefineFlags,
  ErrorCode,
  isLibvirtError,
  LibvirtClient,
  MetadataType,
  type Resync,
  type StoragePool,
  StreamLengthError,
} from '../../src/libvirt/index.ts';
import { startTestHost } from '../support/embedded-host.ts';

let host: Awaited<ReturnType<typeof startTestHost>>;
let client: LibvirtClient;
let pool: StoragePool;

beforeAll(async () => {
  host = await startTestHost();
  client = new LibvirtClient({ uri: host.uri });
  const path = join(host.stateDir, 'client-test');
  pool = await client.definePool(
    `<pool type='dir'><name>client-test</name><target><path>${path}</path></target></pool>`,
  );
  await client.buildPool(pool);
  await client.createPool(pool);
});

afterAll(async () => {
  if (pool !== undefined) {
    await client.destroyPool(pool);
    await client.undefinePool(pool);
  }
  await client?.close();
  await host?.stop();
});

/** Domains of this file, taken away after each test whatever became of it. */
afterEach(async () => {
  for (const dom of await client.listDomains()) {
    if (!dom.name.startsWith('client-test-')) continue;
    if (dom.id !== -1) await client.destroyDomain(dom).catch(() => undefined);
    const flags = DomainUndefineFlags.MANAGED_SAVE | DomainUndefineFlags.SNAPSHOTS_METADATA;
    await client.undefineDomain(dom, flags).catch(() => undefined);
  }
});

const xmlOf = (name: string, devices = ''): string => `
  <domain type='qemu'>
    <name>client-test-${name}</name>
    <memory unit='MiB'>32</memory>
    <vcpu>1</vcpu>
    <os><type arch='x86_64'>hvm</type></os>
    <devices>${devices}<memballoon model='none'/></devices>
  </domain>`;

const diskOf = (path: string): string => `
  <disk type='file' device='disk'>
    <driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/>
  </disk>`;

/** What an event is, in a word. */
const wordOf = (event: DomainEvent | Resync): string => (event.type === 'lifecycle' ? event.event : event.type);

/** Reads events until `word` has come. */
const wordsUpTo = async (events: AsyncIterator<DomainEvent | Resync>, word: string): Promise<string[]> => {
  const words: string[] = [];
  while (!words.includes(word)) {
    const { done, value } = await events.next();
    if (done === true) throw new Error(`the events ended without ${word}`);
    words.push(wordOf(value));
  }
  return words;
};

describe('the host', () => {
  it('tells what it is', async () => {
    expect(await client.hostname()).not.toBe('');
    expect(await client.libVersion()).toBeGreaterThanOrEqual(9_000_000);
    expect(await client.hypervisorVersion()).toBeGreaterThan(1_000_000);
    const info = await client.nodeInfo();
    expect(info.cpus).toBeGreaterThan(0);
    expect(info.model).toMatch(/^\w+$/);
    const cpu = await client.nodeCpuStats();
    expect(cpu['user']).toBeGreaterThan(0n);
    const memory = await client.nodeMemoryStats();
    expect(memory['total']).toBeGreaterThan(memory['free'] ?? Number.POSITIVE_INFINITY);
    expect(await client.freeMemory()).toBeGreaterThan(0);
    expect(await client.capabilities()).toContain('<capabilities>');
    expect(await client.domainCapabilities({ arch: 'x86_64', virtType: 'qemu' })).toContain('<domainCapabilities>');
  });
});

describe('a domain', () => {
  it('lives and dies, and every step is told', async () => {
    const events = client.events(['lifecycle'], { signal: AbortSignal.timeout(60_000) });
    expect(await wordsUpTo(events, 'resync')).toEqual(['resync']);
    const defined = await client.defineDomain(xmlOf('life'));
    expect(defined.id).toBe(-1);
    expect(await client.domainByName('client-test-life')).toEqual(defined);
    const dom = await client.createDomain(defined, DomainCreateFlags.START_PAUSED);
    expect(dom.id).toBeGreaterThan(0);
    expect((await client.domainState(dom)).state).toBe(DomainState.PAUSED);
    await client.resumeDomain(dom);
    const info = await client.domainInfo(dom);
    expect(info).toMatchObject({ state: DomainState.RUNNING, maxMemoryKiB: 32_768, vcpus: 1 });
    expect(info.cpuTimeNs).toBeGreaterThan(0n);
    await client.destroyDomain(dom);
    await client.undefineDomain(dom);
    const words = await wordsUpTo(events, 'undefined');
    for (const word of ['defined', 'started', 'suspended', 'resumed', 'stopped']) expect(words).toContain(word);
    const error = await client.domainByUuid(dom.uuid).catch((reason: unknown) => reason);
    expect(isLibvirtError(error, ErrorCode.NO_DOMAIN)).toBe(true);
    await events.return();
  });

  it('carries metadata', async () => {
    const dom = await client.defineDomain(xmlOf('meta'));
    const what = { type: MetadataType.ELEMENT, uri: 'urn:virtscale:test' };
    await expect(client.getMetadata(dom, what)).rejects.toMatchObject({ code: ErrorCode.NO_DOMAIN_METADATA });
    const element = { ...what, metadata: '<owner group="web"/>', key: 'vs', flags: AffectFlags.AFFECT_CONFIG };
    await client.setMetadata(dom, element);
    expect(await client.getMetadata(dom, what)).toBe('<owner group="web"/>');
    expect(await client.domainXml(dom)).toContain('group="web"');
  });

  it('is counted alone, with many, and in bulk', async () => {
    const numbers = Array.from({ length: 6 }, (_, number) => number);
    const paused = DomainCreateFlags.START_PAUSED;
    const doms = await Promise.all(numbers.map((number) => client.createDomainXml(xmlOf(`n${number}`), paused)));
    const ghost: Domain = { name: 'ghost', uuid: '00000000-0000-4000-8000-000000000000', id: 1 };
    const results = await client.domainsInfo([...doms, ghost]);
    expect(results.map(({ domain }) => domain)).toEqual([...doms, ghost]);
    expect(results.map(({ info }) => info?.state)).toEqual([...Array(6).fill(DomainState.PAUSED), undefined]);
    expect(isLibvirtError(results.at(-1)?.error, ErrorCode.NO_DOMAIN)).toBe(true);
    const stats = await client.allDomainStats({ stats: DomainStatsGroup.STATE | DomainStatsGroup.CPU_TOTAL, doms });
    expect(stats.map(({ domain }) => domain.uuid).sort()).toEqual(doms.map(({ uuid }) => uuid).sort());
    for (const { params } of stats) {
      expect(params['state.state']).toBe(DomainState.PAUSED);
      expect(params['cpu.time']).toBeTypeOf('bigint');
    }
  });

  it('is saved and restored, snapshot and reverted, and its disk grows', async () => {
    const vol = await client.createVolume(
      pool,
      '<volume><name>disk.qcow2</name><capacity unit="MiB">8</capacity><target><format type="qcow2"/></target></volume>',
    );
    const dom = await client.createDomain(
      await client.defineDomain(xmlOf('save', diskOf(await client.volumePath(vol)))),
    );
    const snapshot = await client.createSnapshot(dom, '<domainsnapshot><name>one</name></domainsnapshot>');
    expect((await client.listSnapshots(dom)).map(({ name }) => name)).toEqual(['one']);
    expect(await client.snapshotByName(dom, 'one')).toEqual(snapshot);
    expect(await client.snapshotXml(snapshot)).toContain('<name>one</name>');
    await client.revertSnapshot(snapshot);
    await client.deleteSnapshot(snapshot);
    await client.blockResize(dom, 'vda', 16 * 1_048_576);
    expect((await client.volumeInfo(vol)).capacityBytes).toBe(16 * 1_048_576);
    await client.managedSave(dom);
    expect(await client.hasManagedSave(dom)).toBe(true);
    await client.removeManagedSave(dom);
    expect(await client.hasManagedSave(dom)).toBe(false);
    await client.createDomain(dom);
    const file = join(host.stateDir, 'client-test', 'memory');
    await client.saveDomain(dom, file);
    expect((await client.domainState(dom)).state).toBe(DomainState.SHUTOFF);
    await client.restoreDomain(file);
    expect((await client.domainState(dom)).state).toBe(DomainState.RUNNING);
    expect(await client.jobStats(dom)).toMatchObject({ type: 0 });
    await client.destroyDomain(dom);
    await client.deleteVolume(vol);
  });

  it('without a guest agent says so', async () => {
    const channel = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
    const dom = await client.createDomainXml(xmlOf('agent', channel));
    const ping = client.agentCommand(dom, '{"execute":"guest-ping"}', 2);
    await expect(ping).rejects.toMatchObject({ code: ErrorCode.AGENT_UNRESPONSIVE });
  });
});

describe('a volume', () => {
  const bytes = randomBytes(3_000_001);
  async function* inPieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 700_000) yield bytes.subarray(at, at + 700_000);
  }
  const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

  it('takes and gives back its bytes', async () => {
    expect(await client.lookupPoolByPath(join(host.stateDir, 'client-test'))).toEqual(pool);
    const vol = await client.createVolume(
      pool,
      `<volume><name>raw</name><capacity>${bytes.length}</capacity><target><format type="raw"/></target></volume>`,
    );
    expect(await client.uploadVolume(vol, { length: bytes.length }, inPieces())).toBe(bytes.length);
    const received: Uint8Array[] = [];
    for await (const piece of client.downloadVolume(vol)) received.push(piece);
    const whole = Buffer.concat(received).subarray(0, bytes.length);
    expect(digest(whole)).toBe(digest(bytes));
    for await (const piece of client.downloadVolume(vol, { offset: 10, length: 20 })) {
      expect(Buffer.from(piece)).toEqual(bytes.subarray(10, 30));
    }
    for await (const _piece of client.downloadVolume(vol)) break;
    const short = client.uploadVolume(vol, { length: bytes.length + 1 }, inPieces());
    await expect(short).rejects.toBeInstanceOf(StreamLengthError);
    const copy = await client.createVolumeFrom(
      pool,
      `<volume><name>copy</name><capacity>${bytes.length}</capacity></volume>`,
      vol,
    );
    expect((await client.listVolumes(pool)).map(({ name }) => name)).toEqual(expect.arrayContaining(['copy', 'raw']));
    await client.resizeVolume(copy, 8_388_608);
    expect((await client.volumeInfo(copy)).capacityBytes).toBe(8_388_608);
    const again = client.createVolume(pool, '<volume><name>copy</name><capacity>1</capacity></volume>');
    await expect(again).rejects.toMatchObject({ code: ErrorCode.STORAGE_VOL_EXIST });
    await client.deleteVolume(copy);
    await client.deleteVolume(vol);
    await expect(client.volumeByName(pool, 'raw')).rejects.toMatchObject({ code: ErrorCode.NO_STORAGE_VOL });
  });

  it('whose transfer fails in the daemon tells why', async () => {
    const vol = await client.createVolume(pool, '<volume><name>gone</name><capacity>4096</capacity></volume>');
    await client.deleteVolume(vol);
    const uploading = client.uploadVolume(vol, { length: 3 }, inPieces());
    await expect(uploading).rejects.toMatchObject({ code: ErrorCode.NO_STORAGE_VOL });
  });
});

describe('the daemon', () => {
  const testDriver = (): string => host.uri.replace(/^[^:]*:\/\/\/\w+/, 'test+unix:///default');

  it('serves the test driver under another URI, with many calls at once', async () => {
    const other = new LibvirtClient({ uri: testDriver() });
    const [dom] = await other.listDomains();
    if (dom === undefined) throw new Error('the test driver has no domain');
    const { signal } = new AbortController();
    const infos = await Promise.all(Array.from({ length: 200 }, () => other.domainInfo(dom, { signal })));
    expect(infos.map(({ state }) => state)).toEqual(Array(200).fill(DomainState.RUNNING));
    const events = other.events(['lifecycle'], { signal: AbortSignal.timeout(10_000) });
    await wordsUpTo(events, 'resync');
    await other.suspendDomain(dom);
    await other.resumeDomain(dom);
    expect(await wordsUpTo(events, 'resumed')).toEqual(['suspended', 'resumed']);
    await other.close();
    expect((await events.next()).done).toBe(true);
  });

  it('refuses what it must, each with its own code', async () => {
    await expect(client.listDomains(0x4000_0000)).rejects.toMatchObject({ code: ErrorCode.INVALID_ARG });
    await expect(client.defineDomain('<network/>')).rejects.toMatchObject({ code: ErrorCode.XML_ERROR });
    const wrong = Connection.open({ uri: host.uri.replace('/session', '/nonsense') });
    await expect(wrong).rejects.toMatchObject({ name: 'LibvirtError', message: expect.stringMatching(/nonsense/) });
    const dom = await client.defineDomain(xmlOf('wrong'));
    await expect(client.suspendDomain(dom)).rejects.toMatchObject({ code: ErrorCode.OPERATION_INVALID });
  });

  it('answers our pings', async () => {
    const connection = await Connection.open({ uri: host.uri, keepaliveIntervalMs: 50, keepaliveCount: 2 });
    const outcome = await Promise.race([connection.closed, new Promise((resolve) => setTimeout(resolve, 600, 'open'))]);
    expect(outcome).toBe('open');
    await connection.close();
  });

  it('opened read-only refuses every change', async () => {
    const reader = new LibvirtClient({ uri: host.uri, readOnly: true });
    await expect(reader.defineDomain(xmlOf('no'))).rejects.toMatchObject({ code: ErrorCode.OPERATION_DENIED });
    await reader.close();
  });
});
