// Changes of virtscale.yaml under a running daemon, on real files. Not here: what a configuration may say (test/config).

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConfigWatch } from '../../src/config-watch.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { FabricSettings } from '../../src/engine/settings.ts';
import { readConfig } from '../../src/read-config.ts';

const HOSTS = 'hosts:\n  - { name: a, uri: "qemu:///system" }\n';
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

let dir: string;
let file: string;
let settings: FabricSettings[];
let told: Parameters<Engine['tell']>[0][];
let changes: number;
let watch: ConfigWatch;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vst-'));
  file = join(dir, 'virtscale.yaml');
  await writeFile(file, HOSTS);
  [settings, told, changes] = [[], [], 0];
  const options = { config: file };
  const engine = {
    configure: async (next: FabricSettings) => void settings.push(next),
    configureImages: async () => undefined,
    tell: async (event: Parameters<Engine['tell']>[0]) => void told.push(event),
  };
  watch = new ConfigWatch(options, await readConfig(options), engine, SILENT);
  watch.open(() => {
    changes += 1;
  });
});

afterEach(async () => {
  watch.close();
  await rm(dir, { recursive: true, force: true });
});

/** As editors do it: a new file in the old one's place. */
async function save(text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

describe('a changed configuration', () => {
  it('is taken up: placement, labels and flavors, without a restart', async () => {
    await save(
      'placement: first-fit\nflavors: [{ name: tiny, vcpus: 1, memory: 64M }]\nhosts:\n  - { name: a, uri: "qemu:///system", labels: { zone: b } }\n',
    );
    await vi.waitFor(() => expect(told).toMatchObject([{ type: 'config.loaded', file, text: 'taken up' }]), 5000);
    expect(settings).toMatchObject([{ placement: 'first-fit', flavors: [{ flavor: { name: 'tiny' } }] }]);
    expect(settings[0]?.traits.get('a')?.labels).toEqual({ zone: 'b' });
    expect(changes).toBe(1);
    expect(watch.loaded.config.flavors).toHaveLength(1);
  });

  it('that is wrong is refused with its line, and what was in force stays', async () => {
    await save(`${HOSTS}placement: firt-fit\n`);
    await vi.waitFor(() => expect(told).toHaveLength(1), 5000);
    expect(told).toMatchObject([{ type: 'config.rejected', reason: expect.stringContaining(':3:1: placement') }]);
    expect([settings, changes]).toEqual([[], 0]);
  });

  it('that names a module which cannot be loaded is refused', async () => {
    await save(`${HOSTS}placement: ./mine.mjs\n`);
    await vi.waitFor(() => expect(told).toMatchObject([{ type: 'config.rejected' }]), 5000);
    expect(told[0]).toMatchObject({ reason: expect.stringContaining('there is no such file') });
  });

  it('says what needs a restart, and leaves that as it is', async () => {
    await save('listen: 127.0.0.1:9999\nhosts:\n  - { name: b, uri: "qemu:///session" }\n');
    await vi.waitFor(() => expect(told).toHaveLength(1), 5000);
    expect(told).toMatchObject([{ type: 'config.loaded', text: expect.stringMatching(/restart.*: listen, hosts$/) }]);
    expect(watch.loaded.config.hosts.map(({ name }) => name)).toEqual(['a']);
  });

  it('that is the same again is not told', async () => {
    await save(HOSTS);
    await watch.reload();
    expect(told).toEqual([]);
  });

  it('of a user’s module is taken up when its text has changed', async () => {
    const module = (host: string) => `export const placement = { choose: () => ({ host: '${host}' }) };\n`;
    await writeFile(join(dir, 'mine.mjs'), module('a'));
    await save(`${HOSTS}placement: ./mine.mjs\n`);
    await vi.waitFor(() => expect(settings).toHaveLength(1), 5000);
    await writeFile(join(dir, 'mine.mjs'), module('b'));
    await watch.reload();
    const chosen = settings
      .at(-1)
      ?.placements.get('./mine.mjs')
      ?.choose([], { need: { vcpus: 1, memoryMiB: 1, diskGiB: 0 } });
    expect(chosen).toEqual({ host: 'b' });
  });
});
