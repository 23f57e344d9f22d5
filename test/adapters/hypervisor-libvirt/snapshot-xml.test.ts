// XML of snapshots: written and read back, marks in descriptions, and a disk's file replaced in libvirt's own text.

import { describe, expect, it } from 'vitest';
import {
  domainDisks,
  markedFile,
  onFile,
  readSnapshot,
  snapshotOnFile,
  snapshotXml,
} from '../../../src/adapters/hypervisor/libvirt/snapshot-xml.ts';
import { readSnapshotPart, snapshotPart, vmNameOf } from '../../../src/adapters/hypervisor/libvirt/volume-names.ts';

const DISK = `    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/pool/vs-a.00000001.layer' index='4'/>
      <backingStore type='file' index='2'>
        <format type='qcow2'/>
        <source file='/pool/vs-a.qcow2'/>
        <backingStore type='file' index='3'>
          <format type='qcow2'/>
          <source file='/images/root.qcow2'/>
          <backingStore/>
        </backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>`;
const SEED = `    <disk type='file' device='disk'>
      <source file='/pool/vs-a.seed.iso'/>
      <backingStore/>
      <target dev='vdb' bus='virtio'/>
      <readonly/>
    </disk>`;
const DOMAIN = `<domain type='qemu'>\n  <name>a</name>\n  <devices>\n${DISK}\n${SEED}\n  </devices>\n</domain>`;

describe('disks of a domain', () => {
  it('are those that a guest writes on, with what lies below, nearest first', () => {
    expect(domainDisks(DOMAIN)).toEqual([
      {
        target: 'vda',
        path: '/pool/vs-a.00000001.layer',
        format: 'qcow2',
        below: ['/pool/vs-a.qcow2', '/images/root.qcow2'],
      },
    ]);
  });

  it('one is put on another file, without what lay below; the others stay', () => {
    const changed = onFile(DOMAIN, 'vda', '/pool/vs-a.0000000$1.layer');
    expect(domainDisks(changed)).toEqual([
      { target: 'vda', path: '/pool/vs-a.0000000$1.layer', format: 'qcow2', below: [] },
    ]);
    expect(changed).toContain(SEED);
    expect(onFile(DOMAIN, 'vdz', '/x')).toBe(DOMAIN);
    const simple = DOMAIN.replace(/<backingStore type[\s\S]*<\/backingStore>\n/, '');
    expect(onFile(simple, 'vda', "/with 'quotes' & more")).toContain("file='/with &apos;quotes&apos; &amp; more'");
  });
});

describe('a snapshot', () => {
  const mark = {
    operation: 'op-1',
    state: 'running',
    consistency: 'filesystem',
    file: 'vs-a.00000001.layer',
  } as const;

  it('external: written with its files, and read back as libvirt tells it', () => {
    const xml = snapshotXml({
      name: 's',
      kind: 'external',
      description: 'two < lines',
      mark,
      disks: domainDisks(DOMAIN),
      layers: new Map([['vda', '/pool/vs-a.00000002.layer']]),
    });
    expect(xml).toContain("<memory snapshot='no'/>");
    expect(xml).toContain(
      "<disk name='vda' snapshot='external'><driver type='qcow2'/><source file='/pool/vs-a.00000002.layer'/></disk>",
    );
    const told = xml
      .replace(
        '</description>',
        '</description><state>disk-snapshot</state><creationTime>1795284494</creationTime><parent><name>p</name></parent>',
      )
      .replace('</domainsnapshot>', `${DOMAIN}</domainsnapshot>`);
    const read = readSnapshot(told, true);
    expect(read.snapshot).toEqual({
      name: 's',
      parent: 'p',
      isCurrent: true,
      kind: 'external',
      hasMemory: false,
      state: 'running',
      consistency: 'filesystem',
      createdAt: '2026-11-21T18:08:14Z',
      description: 'two < lines',
      operation: 'op-1',
    });
    expect(read.disks[0]?.path).toBe('/pool/vs-a.00000001.layer');
    // A merge has put it elsewhere.
    const moved = snapshotOnFile(told, 'vda', '/pool/vs-a.qcow2');
    expect(readSnapshot(moved, true)).toMatchObject({ isWrong: false, disks: [{ path: '/pool/vs-a.qcow2' }] });
    expect(moved).toContain("<source file='/pool/vs-a.00000002.layer'/>");
    // libvirt has written another file than the disk was: the mark knows better.
    const wrong = onFile(told, 'vda', '/pool/vs-a.qcow2');
    expect(readSnapshot(wrong, true)).toMatchObject({ isWrong: true, disks: [{ path: '/pool/vs-a.00000001.layer' }] });
    expect(readSnapshot(told, true).isWrong).toBe(false);
  });

  it('internal: what it says of a disk in one tag is left alone', () => {
    const xml = snapshotXml({ name: 's', kind: 'internal', mark, disks: domainDisks(DOMAIN), layers: new Map() });
    const told = xml.replace('</domainsnapshot>', `${DOMAIN}</domainsnapshot>`);
    expect(told).toContain("<disk name='vda' snapshot='internal'/>");
    expect(readSnapshot(snapshotOnFile(told, 'vda', '/pool/vs-a.qcow2'), false).disks[0]?.path).toBe(
      '/pool/vs-a.qcow2',
    );
    expect(snapshotOnFile(told, 'vda', '/pool/vs-a.qcow2')).toContain("<disk name='vda' snapshot='internal'/>");
    expect(markedFile(domainDisks(DOMAIN))).toBe('vs-a.00000001.layer');
    expect(markedFile([])).toBeUndefined();
    expect(markedFile([{ target: 'vda', path: '/x/a b', below: [] }])).toBeUndefined();
  });

  it('of somebody else is read without a mark', () => {
    const read = (inside: string) =>
      readSnapshot(`<domainsnapshot><name>x</name>${inside}</domainsnapshot>`, false).snapshot;
    expect(read("<state>shutoff</state><memory snapshot='no'/>")).toMatchObject({
      state: 'stopped',
      consistency: 'application',
    });
    expect(read("<state>running</state><memory snapshot='internal'/>")).toMatchObject({
      hasMemory: true,
      kind: 'internal',
    });
    expect(read('<state>disk-snapshot</state>')).toMatchObject({ consistency: 'crash', hasMemory: false });
    expect(read('<description>[virtscale operation=o state=flying consistency=x]</description>')).not.toHaveProperty(
      'operation',
    );
  });
});

it('names of a snapshot’s files say whose they are, and are no disk’s', () => {
  const layer = snapshotPart('a.0123abcd', '11111111', 'layer');
  expect(layer).toBe('vs-a.0123abcd.11111111.layer');
  expect(readSnapshotPart(layer)).toEqual({ vmName: 'a.0123abcd', id: '11111111', part: 'layer' });
  expect(vmNameOf(layer)).toBeUndefined();
  for (const other of ['vs-a.qcow2', 'vs-a.seed.iso', 'vs-.11111111.layer', 'vs-a.1111111.layer', 'a.11111111.layer']) {
    expect(readSnapshotPart(other)).toBeUndefined();
  }
});
