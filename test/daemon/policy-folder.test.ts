// The folder of policies: real files, a taker that writes down what it is told.

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PolicyFolder } from '../../src/policy-folder.ts';
import { IMAGE, SMALL } from '../core/builders.ts';

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const text = (group: string, max = 4, candidate?: string) => `
group: ${group}
min: 1
max: ${max}
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
${candidate === undefined ? '' : `mode: observe\ncandidate: ${candidate}\n`}`;

const nameOf = ({ candidate, group }: { readonly group: string; readonly candidate?: string }) =>
  candidate === undefined ? group : `${group}/${candidate}`;

let dir: string;
let folder: PolicyFolder;
let told: string[];
let images = [IMAGE];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'policies-'));
  told = [];
  images = [IMAGE];
  folder = new PolicyFolder(
    dir,
    () => ({ images, flavors: [SMALL] }),
    {
      setPolicy: async ({ policy, file }) =>
        void told.push(`set ${nameOf(policy)} max ${policy.max} ${file.slice(dir.length + 1)}`),
      removePolicy: async (group, candidate) =>
        void told.push(`remove ${nameOf({ group, ...(candidate !== undefined && { candidate }) })}`),
      rejectPolicy: async (file, reason, line) =>
        void told.push(`reject ${file.slice(dir.length + 1)}:${line} ${reason}`),
    },
    SILENT,
    1000,
  );
});

afterEach(async () => {
  folder.close();
  await rm(dir, { recursive: true });
});

async function toldInTheEnd(count: number): Promise<readonly string[]> {
  for (let waited = 0; told.length < count && waited < 100; waited += 1)
    await new Promise((resolve) => setTimeout(resolve, 50));
  return told;
}

describe('PolicyFolder', () => {
  it('puts every file in force, and a changed one anew without being asked', async () => {
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await writeFile(join(dir, 'b.yml'), text('api'));
    await writeFile(join(dir, 'notes.txt'), 'not a policy');
    await folder.open();
    expect(told).toEqual(['set web max 4 a.yaml', 'set api max 4 b.yml']);
    await writeFile(join(dir, 'a.yaml'), text('web', 6));
    expect(await toldInTheEnd(3)).toEqual([...told.slice(0, 2), 'set web max 6 a.yaml']);
  });

  it('refuses a bad file with its line, and leaves the old policy in force', async () => {
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await folder.open();
    await writeFile(join(dir, 'a.yaml'), `${text('web')}colour: red\n`);
    await toldInTheEnd(2);
    expect(told[1]).toMatch(/^reject a\.yaml:6 .*colour/);
    expect(told).toHaveLength(2);
  });

  it('takes a policy out of force when its file goes, and follows a group that moves to another file', async () => {
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await folder.open();
    folder.close();
    await rename(join(dir, 'a.yaml'), join(dir, 'b.yaml'));
    await folder.reload();
    expect(told).toEqual(['set web max 4 a.yaml', 'remove web', 'set web max 4 b.yaml']);
  });

  it('refuses a second file for the same group and names the first', async () => {
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await writeFile(join(dir, 'b.yaml'), text('web', 9));
    await folder.open();
    expect(told[1]).toMatch(/^reject b\.yaml:undefined .*a\.yaml/);
  });

  it('takes candidates beside a policy, and each of them away for itself', async () => {
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await writeFile(join(dir, 'b.yaml'), text('web', 5, 'calm'));
    await writeFile(join(dir, 'c.yaml'), text('web', 6, 'lively'));
    await writeFile(join(dir, 'd.yaml'), text('web', 7, 'calm'));
    await folder.open();
    folder.close();
    expect(told).toEqual([
      'set web max 4 a.yaml',
      'set web/calm max 5 b.yaml',
      'set web/lively max 6 c.yaml',
      'reject d.yaml:undefined group web has a candidate named calm already, in b.yaml',
    ]);
    await rm(join(dir, 'c.yaml'));
    await writeFile(join(dir, 'b.yaml'), text('web', 5, 'gentle'));
    await folder.reload();
    expect(told.slice(4)).toEqual([
      'remove web/lively',
      'remove web/calm',
      'set web/gentle max 5 b.yaml',
      'set web/calm max 7 d.yaml',
    ]);
  });

  it('puts a file in force that had to wait for another one to go', async () => {
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await writeFile(join(dir, 'b.yaml'), text('web', 9));
    await writeFile(join(dir, 'c.yaml'), text('api'));
    await folder.open();
    folder.close();
    await writeFile(join(dir, 'c.yaml'), text('web', 3));
    await folder.reload();
    expect(told.slice(3)).toEqual([expect.stringMatching(/^reject c\.yaml:undefined group web .*a\.yaml/)]);
    await rm(join(dir, 'a.yaml'));
    await folder.reload();
    expect(told.slice(4)).toEqual([
      'remove web',
      'set web max 9 b.yaml',
      expect.stringMatching(/^reject c\.yaml:undefined group web .*b\.yaml/),
    ]);
    // What c.yaml said before is still in force: it goes with its file.
    await rm(join(dir, 'c.yaml'));
    await folder.reload();
    expect(told.slice(7)).toEqual(['remove api']);
  });

  it('judges a refused file anew when an image has come', async () => {
    images = [];
    await writeFile(join(dir, 'a.yaml'), text('web'));
    await folder.open();
    expect(told[0]).toMatch(/^reject a\.yaml:5 .*backend/);
    images = [IMAGE];
    await folder.refresh();
    expect(told[1]).toBe('set web max 4 a.yaml');
  });

  it('does not read a file that is far too large', async () => {
    await writeFile(join(dir, 'a.yaml'), '#'.repeat(2_000_000));
    await folder.open();
    expect(told).toEqual([expect.stringMatching(/^reject a\.yaml:undefined .*2000000 bytes/)]);
  });
});
