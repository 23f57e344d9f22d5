// Fresh keys as OpenSSH itself reads them.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { freshSshKey } from '../../../src/adapters/ids/ssh-key-pair.ts';
import { readSshKey } from '../../../src/core/ssh-key.ts';

const run = promisify(execFile);

it('the public half follows from the private one, as ssh-keygen reads it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'key-'));
  try {
    for (const comment of ['', 'a', 'lab@virtscale-cluster']) {
      const { publicKey, privateKey } = freshSshKey(comment);
      const file = join(folder, 'key');
      await rm(file, { force: true });
      await writeFile(file, privateKey, { mode: 0o600 });
      const { stdout } = await run('ssh-keygen', ['-y', '-f', file]);
      expect(stdout.trim()).toBe(publicKey.trim());
      expect(readSshKey(publicKey)).toMatchObject({ ok: true });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('no two are the same', () => {
  expect(freshSshKey('x')).not.toEqual(freshSshKey('x'));
});
