// FileImageStore.fetch over ssh: from a real sshd on loopback, and with a program in ssh's place that fails in every way ssh can.
// Not here: libvirt over ssh (test/libvirt, test/real).

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { FileImageStore, type FileImageStoreOptions } from '../../../src/adapters/images/file-image-store.ts';
import { type SshProgram, sshArguments } from '../../../src/adapters/images/image-from-ssh.ts';
import type { ImageSource } from '../../../src/core/catalog.ts';
import type { TakenImage, TakeOptions } from '../../../src/ports/image-store.ts';
import { expectImageFault, imageFault, noise, sha256Of } from '../../contracts/image-store.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const ADDRESS = '127.0.0.61';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'virtscale-images-'));
});
afterEach(() => {
  const kept = path.join(folder, 'kept');
  expect(existsSync(kept) ? readdirSync(kept).filter((entry) => entry.startsWith('.')) : []).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

type SshSource = Extract<ImageSource, { kind: 'ssh' }>;

function fetched(
  source: Omit<SshSource, 'kind'>,
  ssh: SshProgram,
  options: Partial<TakeOptions> = {},
  settings: FileImageStoreOptions = {},
): Promise<TakenImage> {
  const store = new FileImageStore(path.join(folder, 'kept'), { ssh, ...settings });
  return store.fetch({ kind: 'ssh', ...source }, { name: 'debian', signal: never, ...options });
}

describe('a real sshd', () => {
  let sshd: TestSshd;
  let sshdFolder = '';

  beforeAll(async () => {
    sshdFolder = mkdtempSync(path.join(tmpdir(), 'virtscale-sshd-'));
    sshd = await startSshd(sshdFolder, ADDRESS);
  });
  afterAll(async () => {
    await sshd.stop();
    rmSync(sshdFolder, { recursive: true, force: true });
  });

  /** As a user has it in ~/.ssh/config. */
  function ssh(settings: Readonly<Record<string, string>> = {}): SshProgram {
    const config = path.join(folder, 'config');
    const all = {
      Port: String(sshd.port),
      IdentityFile: sshd.keyFile,
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: sshd.knownHosts,
      GlobalKnownHostsFile: '/dev/null',
      StrictHostKeyChecking: 'yes',
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `  ${name} ${value}\n`);
    writeFileSync(config, `Host ${ADDRESS}\n${lines.join('')}`);
    return { program: 'ssh', arguments: ['-F', config] };
  }

  test('an image is fetched, whatever its file is called', async () => {
    const bytes = noise(9 * MIB);
    const odd = path.join(folder, `-n it's $(touch oops) "a" ; image ü \\.raw`);
    mkdirSync(path.dirname(odd), { recursive: true });
    writeFileSync(odd, bytes);
    let told = 0;
    const onBytes = (at: number): void => {
      told = at;
    };
    const { format, content } = await fetched({ user: sshd.user, host: ADDRESS, path: odd }, ssh(), { onBytes });
    expect({ format, content }).toEqual({
      format: 'raw',
      content: { sha256: sha256Of(bytes), fileBytes: bytes.length, virtualBytes: bytes.length },
    });
    expect(told).toBe(bytes.length);
    expect(existsSync('oops')).toBe(false);
  });

  test.each([
    ['is not there', '/nowhere/debian.img', /No such file/],
    ['is a folder', '/etc', /directory/],
    ['is text', '/etc/passwd', /text|multiple of 512/],
  ])('a file that %s is refused', async (_, file, text) => {
    await expectImageFault(fetched({ host: ADDRESS, path: file }, ssh()), 'refused', text);
  });

  test('a host whose key is not known, or that does not let us in, is refused with advice', async () => {
    const source = { host: ADDRESS, path: '/etc/passwd' };
    for (const [settings, text] of [
      [{ UserKnownHostsFile: sshd.noKnownHosts }, /verification failed/],
      [{ UserKnownHostsFile: sshd.wrongKnownHosts }, /verification failed/],
      [{ IdentityFile: sshd.strangerKeyFile }, /[Pp]ermission denied/],
    ] as const) {
      const { kind, message, advice } = await imageFault(fetched(source, ssh(settings)));
      expect({ kind, message }).toEqual({ kind: 'refused', message: expect.stringMatching(text) });
      expect(advice).toMatch(/BatchMode/);
    }
  });

  test('a host that does not listen is unreachable', async () => {
    const source = { host: ADDRESS, path: '/etc/passwd' };
    await expectImageFault(fetched(source, ssh({ Port: '1' })), 'unreachable', /refused/);
  });

  test('cancelled in the middle, it is aborted and ssh is gone', async () => {
    const file = path.join(folder, 'large.raw');
    writeFileSync(file, noise(20 * MIB));
    const stop = new AbortController();
    const options = { signal: stop.signal, onBytes: () => stop.abort() };
    await expectImageFault(fetched({ host: ADDRESS, path: file }, ssh(), options), 'aborted', /cancelled/);
    expect(childrenOf(process.pid)).not.toContain('ssh');
  });
});

function childrenOf(pid: number): readonly string[] {
  const numbers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/);
  return numbers.filter((text) => text !== '').map((child) => readFileSync(`/proc/${child}/comm`, 'utf8').trim());
}

describe('a program in the place of ssh', () => {
  function playing(script: string): SshProgram {
    const program = path.join(folder, 'ssh');
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o700);
    return { program, arguments: ['-F', 'config'] };
  }
  const source = { user: 'ann', host: 'h1', path: '/images/debian.img' };

  test('gets options of its own, the host behind them, and one quoted word', async () => {
    const file = path.join(folder, 'arguments');
    const ssh = playing(`printf '%s\\n' "$@" > '${file}'; exit 1`);
    await imageFault(fetched({ ...source, path: `/it's` }, ssh));
    const given = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(given).toEqual(['-F', 'config', ...sshArguments({ kind: 'ssh', ...source, path: `/it's` }, 'debian')]);
    expect(given).toContain('BatchMode=yes');
    expect(given.slice(-5)).toEqual(['-l', 'ann', '--', 'h1', `cat -- '/it'\\''s'`]);
  });

  test.each([
    [{ host: '-oProxyCommand=touch x' }, /is no host/],
    [{ host: '' }, /is no host/],
    [{ host: 'a b' }, /is no host/],
    [{ host: 'ann@h1' }, /is no host/],
    [{ host: 'h1/x' }, /is no host/],
    [{ host: 'h'.repeat(300) }, /is no host/],
    [{ user: '-l' }, /is no user/],
    [{ user: '' }, /is no user/],
    [{ user: 'a b' }, /is no user/],
    [{ path: 'debian.img' }, /is no full path/],
    [{ path: '/a\nrm -rf /' }, /is no full path/],
    [{ path: '/a\u0000' }, /is no full path/],
  ])('%j never reaches it', async (wrong, text) => {
    const ssh = playing(`touch '${folder}/started'`);
    await expectImageFault(fetched({ ...source, ...wrong }, ssh), 'refused', text);
    expect(existsSync(path.join(folder, 'started'))).toBe(false);
  });

  test.each([
    ['says nothing and ends well', 'exit 0', 'refused', /is empty/],
    ['fails without a word', 'exit 255', 'unreachable', /ssh ended with 255/],
    ['loses the connection', 'echo Connection reset >&2; exit 255', 'unreachable', /Connection reset/],
    ['is killed', 'kill -9 $$', 'unreachable', /signal/],
    ['sends a whole image, then fails', 'cat "$0.raw"; echo read error >&2; exit 1', 'refused', /read error/],
    ['talks without end, then fails', 'yes "no way" | head -c 5000000 >&2; exit 3', 'refused', /no way/],
  ] as const)('one that %s', async (_, script, kind, text) => {
    writeFileSync(path.join(folder, 'ssh.raw'), noise(MIB));
    const fault = await imageFault(fetched(source, playing(script)));
    expect({ kind: fault.kind, message: fault.message }).toEqual({ kind, message: expect.stringMatching(text) });
    expect(fault.message.length).toBeLessThan(3000);
  });

  test('one that is not installed is refused with advice', async () => {
    const { kind, advice } = await imageFault(fetched(source, { program: 'ssh-that-is-not-there', arguments: [] }));
    expect({ kind, advice }).toEqual({ kind: 'refused', advice: expect.stringMatching(/openssh-client/) });
  });

  test('one that hangs is timed out, and killed if it does not go by itself', async () => {
    const ssh = playing(`trap '' TERM; echo $$ > '${folder}/pid'; while :; do sleep 0.1; done`);
    const beganAt = performance.now();
    await expectImageFault(fetched(source, ssh, {}, { stallMs: 300 }), 'timed-out', /stalled/);
    expect(performance.now() - beganAt).toBeLessThan(5000);
    const pid = readFileSync(path.join(folder, 'pid'), 'utf8').trim();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  test('one that leaves a child behind, as a shared connection does, is not waited for', async () => {
    writeFileSync(path.join(folder, 'ssh.raw'), noise(MIB));
    const ssh = playing(`sleep 3 >/dev/null & cat "$0.raw"`);
    const beganAt = performance.now();
    expect((await fetched(source, ssh)).content.sha256).toBe(sha256Of(noise(MIB)));
    expect(performance.now() - beganAt).toBeLessThan(2500);
  });

  test('cancelled before it begins, nothing is started', async () => {
    const ssh = playing(`touch '${folder}/started'`);
    await expectImageFault(fetched(source, ssh, { signal: AbortSignal.abort() }), 'aborted', /cancelled/);
    expect(existsSync(path.join(folder, 'started'))).toBe(false);
  });
});
