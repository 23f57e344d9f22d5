import { createHash, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type CloudInitOptions, cloudInitFiles } from '../../../src/adapters/images/cloud-init.ts';
import { MAX_SEED_ISO_BYTES, seedIso } from '../../../src/adapters/images/seed-iso.ts';
import { isFault } from '../../../src/ports/fault.ts';
import { readIso } from './iso-reader.ts';

function refusalOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isFault(error, 'refused')) return error.message;
    throw error;
  }
  return 'taken';
}

describe('a seed image', () => {
  it('has the files under their names, whichever names a guest reads', () => {
    const disc = readIso(
      seedIso({ metaData: 'instance-id: i-1\n', userData: '#!/bin/sh\n', networkConfig: 'version: 2\n' }),
    );
    const texts = ['instance-id: i-1\n', 'version: 2\n', '#!/bin/sh\n'];
    const named = (...names: readonly string[]) => names.map((name, index) => ({ name, text: texts[index] }));
    expect(disc).toMatchObject({ label: 'cidata', jolietLabel: 'cidata' });
    expect(disc.joliet).toEqual(named('meta-data', 'network-config', 'user-data'));
    expect(disc.rockRidge).toMatchObject(named('meta-data', 'network-config', 'user-data'));
    expect(disc.plain).toEqual(named('META_DAT.;1', 'NETWORK_.;1', 'USER_DAT.;1'));
  });

  it('is for root of the guest only, who may find secrets in it', () => {
    const { rockRidge } = readIso(seedIso({ metaData: 'a', userData: 'b' }));
    expect(rockRidge.map(({ mode }) => mode?.toString(8))).toEqual(['100400', '100400']);
  });

  it('has the same bytes for the same texts: also today', () => {
    const image = seedIso({ metaData: 'instance-id: i-1\n', userData: '#cloud-config\n' });
    expect(image.length).toBe(27 * 2048);
    expect(createHash('sha256').update(image).digest('hex')).toBe(
      '514069558a349d42e5147b379180f9482afb33a17d85f7028b5024f3502ba8b5',
    );
  });

  it('holds any texts, whole', () => {
    const text = fc
      .oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 2040, maxLength: 2060 }))
      .map((any) => any.toWellFormed());
    fc.assert(
      fc.property(text, text, fc.option(text, { nil: undefined }), (metaData, userData, networkConfig) => {
        const image = seedIso({ metaData, userData, ...(networkConfig !== undefined && { networkConfig }) });
        const disc = readIso(image);
        const expected = [metaData, ...(networkConfig === undefined ? [] : [networkConfig]), userData];
        for (const files of [disc.plain, disc.rockRidge, disc.joliet]) {
          expect(files.map((file) => file.text)).toEqual(expected);
        }
        expect(disc.sectors * 2048).toBe(image.length);
      }),
    );
  });

  it('is bounded', () => {
    const room = MAX_SEED_ISO_BYTES - 26 * 2048;
    expect(seedIso({ metaData: 'x', userData: 'x'.repeat(room) }).length).toBe(MAX_SEED_ISO_BYTES);
    expect(refusalOf(() => seedIso({ metaData: 'x', userData: 'x'.repeat(room + 1) }))).toMatch(/at most 1048576 fit/);
  });
});

/** As in a .pub file. */
function publicKey(comment = 'amy@home'): string {
  const { publicKey: key } = generateKeyPairSync('ed25519');
  const raw = key.export({ format: 'der', type: 'spki' }).subarray(-32);
  const field = (bytes: Buffer) => Buffer.concat([Buffer.of(0, 0, 0, bytes.length), bytes]);
  return `ssh-ed25519 ${Buffer.concat([field(Buffer.from('ssh-ed25519')), field(raw)]).toString('base64')} ${comment}`;
}

describe('the files for cloud-init', () => {
  const key = publicKey();
  const vm = (more: Partial<CloudInitOptions> = {}) =>
    cloudInitFiles({ instanceId: '0b5a1f0e-0001', hostname: 'web-1', sshKeys: [key], ...more });

  it('name the guest and let its owner in', () => {
    const { metaData, userData } = vm();
    expect(parse(metaData)).toEqual({ 'instance-id': '0b5a1f0e-0001', 'local-hostname': 'web-1' });
    expect(userData).toMatch(/^#cloud-config\n/);
    expect(parse(userData)).toEqual({ hostname: 'web-1', ssh_authorized_keys: [key] });
    expect(parse(vm({ sshKeys: [] }).userData)).toEqual({ hostname: 'web-1' });
  });

  it('have words that YAML 1.1 would take for something else in quotes', () => {
    for (const hostname of ['on', 'no', '012', '1e3', 'null', 'y']) {
      const { metaData, userData } = vm({ hostname });
      expect(parse(metaData, { version: '1.1' })).toMatchObject({ 'local-hostname': hostname });
      expect(parse(userData, { version: '1.1' })).toMatchObject({ hostname });
    }
    expect(parse(vm({ instanceId: '0123' }).metaData, { version: '1.1' })).toMatchObject({ 'instance-id': '0123' });
  });

  it.each([
    '#cloud-config\npackages: [nginx]\n',
    '#!/bin/sh\necho hello\n',
    '#include\nhttps://example.test/user-data\n',
    '## template: jinja\n#cloud-config\n',
    'Content-Type: multipart/mixed; boundary="x"\nMIME-Version: 1.0\n',
    'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n',
  ])("leave a user's own user-data as it is: %j", (userData) => {
    const files = vm({ userData });
    expect(files.userData).toBe(userData);
    expect(parse(files.metaData)).toEqual({
      'instance-id': '0b5a1f0e-0001',
      'local-hostname': 'web-1',
      'public-keys': [key],
    });
  });

  it.each([
    '',
    'packages: [nginx]',
    ' #cloud-config',
    '# cloud-config',
    '#cloud-configs',
    'echo hello',
    '\ufeff#!/bin/sh',
  ])('refuse user-data that cloud-init would pass over: %j', (userData) => {
    expect(refusalOf(() => vm({ userData }))).toBe('the user-data is nothing that cloud-init knows');
  });

  it.each(['', '-web', 'web_1', 'web 1', 'web\n1', 'a..b', 'x'.repeat(64), '"'])(
    'refuse the host name %j',
    (hostname) => {
      expect(refusalOf(() => vm({ hostname }))).toMatch(/is no host name/);
    },
  );

  it.each(['', '../x', 'a/b', 'a\nb'])('refuse the instance id %j', (instanceId) => {
    expect(refusalOf(() => vm({ instanceId }))).toMatch(/instance id/);
  });

  it('take keys of any usual type, each once', () => {
    const bare = key.split(' ').slice(0, 2).join(' ');
    expect(parse(vm({ sshKeys: [`  ${key}\r\n`, key, bare] }).userData)).toMatchObject({
      ssh_authorized_keys: [key, bare],
    });
    const ecdsa =
      'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=';
    expect(refusalOf(() => vm({ sshKeys: [ecdsa] }))).toBe('taken');
  });

  const [type = '', base64 = ''] = key.split(' ');
  it.each([
    ['', 'does not begin with the type'],
    ['hello', 'does not begin with the type'],
    [`command="reboot" ${key}`, 'options before it are not taken'],
    [`from="*",no-pty ${key}`, 'options before it are not taken'],
    [`${key}\n${key}`, 'is not in one line'],
    [`${key}\rcommand="reboot" x`, 'is not in one line'],
    [`${key}\u2028x`, 'is not in one line'],
    [`${key}\0`, 'is not in one line'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl', 'give what is in the .pub file'],
    [`${type}`, 'is not base64'],
    [`${type} ***`, 'is not base64'],
    [`${type} ${base64.slice(0, -4)}`, 'is cut off'],
    [`${type} ${Buffer.from(base64, 'base64').subarray(0, 40).toString('base64')}`, 'is cut off'],
    [`${type} ${Buffer.from(base64, 'base64').subarray(0, 15).toString('base64')}`, 'is cut off'],
    [`ssh-rsa ${base64}`, 'is of another type'],
    [`${key}${'x'.repeat(20_000)}`, 'characters'],
  ])('refuse the key %j', (bad, reason) => {
    expect(refusalOf(() => vm({ sshKeys: [key, bad] }))).toContain(`ssh key 2 `);
    expect(refusalOf(() => vm({ sshKeys: [bad] }))).toContain(reason);
  });

  it('never let a text out of its place', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (comment) => {
        const line = `${key} ${comment}`;
        if (refusalOf(() => vm({ sshKeys: [line] })) !== 'taken') return;
        const read = parse(vm({ sshKeys: [line] }).userData, { version: '1.1' }) as { ssh_authorized_keys: string[] };
        expect(Object.keys(read)).toEqual(['hostname', 'ssh_authorized_keys']);
        expect(read.ssh_authorized_keys).toHaveLength(1);
        expect(read.ssh_authorized_keys[0]).not.toMatch(/[\r\n]/);
      }),
      { numRuns: 1000 },
    );
  });
});
