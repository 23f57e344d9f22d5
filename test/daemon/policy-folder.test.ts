// The folder of policies: real files, a taker that writes down what it is told.

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PolicyFolder } from '../../src/policy-folder.ts';
import { IMAGE, SMALL } from '../core/builders.ts';

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const text = (group: string, max = 4) => `
group: ${group}
min: 1
max: ${max}
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
`;

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
        void told.push(`set ${policy.group} max ${policy.max} ${file.slice(dir.length + 1)}`),
      removePolicy: async (group) => void told.push(`remove ${group}`),
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
