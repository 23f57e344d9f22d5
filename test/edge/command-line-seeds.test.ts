// `virtscale PM_FILE IMAGE_FILE FLAVOR_FILE`: told from a mistyped command, and handed on as it is.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Ran, run } from './command-runner.ts';

let cwd: string;

beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'virtscale-seeds-'));
  for (const name of ['pm_file', 'image_file', 'vm_types', 'status', 'extra']) writeFileSync(join(cwd, name), '');
  mkdirSync(join(cwd, 'folder'));
});

afterAll(() => rmSync(cwd, { recursive: true }));

async function told(text: string): Promise<Ran & { readonly served: readonly unknown[] }> {
  const served: unknown[] = [];
  const serve = async (options: unknown) => void served.push(options);
  return { ...(await run(text, { cwd, serve })), served };
}

const SEEDS = { pmFile: 'pm_file', imageFile: 'image_file', flavorFile: 'vm_types' };

it.each([
  ['pm_file image_file vm_types', { seeds: SEEDS }],
  ['./pm_file image_file vm_types', { seeds: { ...SEEDS, pmFile: './pm_file' } }],
  ['./status image_file vm_types', { seeds: { ...SEEDS, pmFile: './status' } }],
  ['pm_file image_file vm_types --listen 0.0.0.0:80', { seeds: SEEDS, listen: '0.0.0.0:80' }],
  ['--listen=0.0.0.0:80 pm_file image_file vm_types', { seeds: SEEDS, listen: '0.0.0.0:80' }],
  ['-l 0.0.0.0:80 pm_file --state-dir s image_file vm_types', { seeds: SEEDS, listen: '0.0.0.0:80', stateDir: 's' }],
  ['pm_file image_file vm_types --algorithm fifo', { seeds: SEEDS, placement: 'fifo' }],
])('virtscale %s', async (text, options) => {
  expect(await told(text)).toEqual({ status: 0, out: '', err: '', served: [options] });
});

it.each([
  ['pm_file image_fil vm_types', 'virtscale: IMAGE_FILE: there is no file image_fil\n'],
  ['pm_fil image_file vm_typs', 'virtscale: PM_FILE: there is no file pm_fil\nFLAVOR_FILE: there is no file vm_typs\n'],
  ['folder/ image_file vm_types', 'virtscale: PM_FILE: there is no file folder/\n'],
  ['pm_file image_file', 'as files, three are needed: virtscale PM_FILE IMAGE_FILE FLAVOR_FILE'],
  ['pm_file', 'as files, three are needed'],
  ['pm.txt', 'pm.txt is no command; as files, three are needed'],
  ['pm_file image_file vm_types extra', 'as files, three are needed'],
  ['pm_file image_file vm_types --lisen 0.0.0.0:80', "unknown option '--lisen'"],
  ['pm_file image_file vm_types --listen', "option '-l, --listen <host:port>' argument missing"],
  ['vm show 7', "unknown command 'vm'"],
  ['hots', "unknown command 'hots'\n(Did you mean hosts?)"],
  ['status image_file vm_types', "too many arguments for 'status'"],
])('virtscale %s: %s', async (text, said) => {
  const { status, out, err, served } = await told(text);
  expect({ status, out, served }).toEqual({ status: 2, out: '', served: [] });
  expect(err).toContain(said);
});

it('is in the help', async () => {
  const { status, out } = await told('--help');
  expect(status).toBe(0);
  expect(out).toContain('virtscale PM_FILE IMAGE_FILE FLAVOR_FILE [--listen HOST:PORT]');
  expect(out).not.toContain('\n  seeds');
});
