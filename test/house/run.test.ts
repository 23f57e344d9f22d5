// The commands' bootstrap as a newcomer meets it: an older Node starts it, nothing is installed twice.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, '../../scripts/run.mjs');

describe('scripts/run.mjs', () => {
  it('names its commands when it is given none of them', async () => {
    const answer = run('node', [SCRIPT, 'toString']);
    await expect(answer).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('demo') });
  });

  it('says nothing and does nothing when all is there', async () => {
    expect(await run('node', [SCRIPT, 'install'])).toMatchObject({ stdout: '', stderr: '' });
  });

  it('passes arguments on, and the exit status back', async () => {
    const answer = run('node', [SCRIPT, 'sim', '--no-such-option']);
    await expect(answer).rejects.toMatchObject({
      code: expect.any(Number),
      stderr: expect.stringContaining('no-such-option'),
    });
  });
});
