// Where a host's folders go, on a real file system. Whose account they belong to is seen in test/real.
import { chmod, lstat, mkdir, mkdtemp, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ensureShortPath,
  findLayout,
  hostFolder,
  makeImagesFolder,
  makeLayout,
  removeShortPath,
} from '../../../src/adapters/hypervisor/embedded/layout.ts';

/** What is left of 107 bytes for the way to libvirt's configuration folder. */
const AGENT_SOCKET = 'c/libvirt/qemu/channel/target/domain-99999-a-name-of-20-letters/org.qemu.guest_agent.0';

let base: string;
beforeEach(async () => {
  base = await mkdtemp('/tmp/vst-layout-');
  await chmod(base, 0o755);
});
afterEach(() => rm(base, { recursive: true, force: true }));

describe('layout', () => {
  it('keeps every socket path within the limit of the kernel, however long the state folder', async () => {
    const layout = await makeLayout(join(base, 'a-rather-long-name/'.repeat(8)), undefined);
    expect(layout.dir.length).toBeGreaterThan(107);
    expect(join(layout.shortDir, AGENT_SOCKET).length).toBeLessThanOrEqual(107);
    expect(await readlink(layout.shortDir)).toBe(layout.dir);
    await removeShortPath(layout);
    await expect(lstat(layout.shortDir)).rejects.toThrow('ENOENT');
  });

  it('is the same folder and the same short path each time', async () => {
    const first = await makeLayout(join(base, 'state-folder-of-some-length'), undefined);
    expect(await makeLayout(join(base, 'state-folder-of-some-length'), undefined)).toEqual(first);
    expect(await findLayout(join(base, 'state-folder-of-some-length'), false)).toEqual(first);
    await removeShortPath(first);
  });

  it('is one folder whatever symlink leads to it', async () => {
    await mkdir(join(base, 'real'));
    await symlink(join(base, 'real'), join(base, 'link'));
    expect(await hostFolder(join(base, 'link/state'), false)).toBe(join(base, 'real/state/embedded'));
  });

  it('moves out of a closed folder when guests run under another account', async () => {
    await mkdir(join(base, 'closed'), { mode: 0o700 });
    expect(await hostFolder(join(base, 'closed/state'), false)).toBe(join(base, 'closed/state/embedded'));
    expect(await hostFolder(join(base, 'open/state'), true)).toBe(join(base, 'open/state/embedded'));
    expect(await hostFolder(join(base, 'closed/state'), true)).toMatch(/^\/var\/lib\/virtscale\/host-[0-9a-f]{8}$/);
  });

  it('has one folder for images beside all hosts of a daemon', async () => {
    const state = join(base, 'state');
    expect(await makeImagesFolder(state, true)).toBe(join(state, 'guest-images'));
    expect(await makeImagesFolder(join(state, '../state'), true)).toBe(join(state, 'guest-images'));
  });

  it('does not follow a short link that leads elsewhere', async () => {
    const dir = join(base, 'state-folder-of-some-length');
    const link = await ensureShortPath(dir);
    await rm(link);
    await symlink('/etc', link);
    expect(await ensureShortPath(dir)).toBe(link);
    expect(await readlink(link)).toBe(dir);
    await rm(link);
  });

  it('says which folder cannot be made, and what to do', async () => {
    await writeFile(join(base, 'file'), '');
    await expect(makeLayout(join(base, 'file/state'), undefined)).rejects.toThrow(/cannot be made.*--state-dir/);
  });
});
