/** What ssh is run with, and what a real shell makes of the command it carries. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quoted, remoteCommand, sshArguments, sshEnvironment } from '../../src/libvirt/transport-ssh-command.ts';
import { parseUri, type SshTarget, UriError } from '../../src/libvirt/uri.ts';

const run = promisify(execFile);

const targetOf = (uri: string, readOnly = false): SshTarget => {
  const target = parseUri(uri, { readOnly });
  if (target.transport !== 'ssh') throw new Error('not ssh');
  return target;
};

describe('the arguments of ssh', () => {
  const fixed = ['-T', '-e', 'none', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=11'];
  it.each([
    ['qemu+ssh://host/system', fixed, 'host'],
    ['qemu+ssh://host/system?no_tty=0', fixed, 'host'],
    ['qemu+ssh://me@host:2222/system', ['-p', '2222', '-l', 'me', ...fixed], 'host'],
    ['qemu+ssh://[::1]/system?keyfile=/a%20b', ['-i', '/a b', ...fixed], '::1'],
    ['qemu+ssh://host/system?no_verify=1', [...fixed, '-o', 'StrictHostKeyChecking=no'], 'host'],
    ['qemu+ssh://host/system?known_hosts=/a%20b', [...fixed, '-o', 'UserKnownHostsFile="/a b"'], 'host'],
  ])('%s', (uri, options, host) => {
    const target = targetOf(uri);
    expect(sshArguments(target, 10_000)).toEqual([...options, '--', host, remoteCommand(target)]);
  });

  it('go with an environment in which nothing of ours but the needed is', () => {
    const env = {
      PATH: '/bin',
      HOME: '/root',
      SSH_AUTH_SOCK: '/a',
      LANG: 'de_DE',
      VIRTSCALE_TOKEN: 's',
      DATABASE_URL: 'd',
    };
    expect(sshEnvironment(env)).toEqual({ PATH: '/bin', HOME: '/root', SSH_AUTH_SOCK: '/a', LC_ALL: 'C' });
  });
});

describe('the command for the far machine', () => {
  let folder: string;
  /** PATHs with both programs, and with netcat alone. They tell how they were called, one argument a line. The machine's
   * own are in none of them. */
  let both: string;
  let netcatOnly: string;
  let listener: Server;
  const sockets: string[] = [];

  const program = async (name: string, ...folders: string[]): Promise<void> => {
    for (const path of folders) {
      await writeFile(join(path, name), `#!/bin/sh\nprintf '%s\\n' "${name}" "$@"\n`, { mode: 0o755 });
    }
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vs-ssh-'));
    both = join(folder, 'both');
    netcatOnly = join(folder, 'netcat');
    await Promise.all([both, netcatOnly].map((path) => mkdir(path)));
    const { stdout: grep } = await run('/bin/sh', ['-c', 'command -v grep']);
    for (const path of [both, netcatOnly]) {
      await symlink('/bin/sh', join(path, 'sh'));
      await symlink(grep.trim(), join(path, 'grep'));
    }
    await program('virt-ssh-helper', both);
    await program('nc', both, netcatOnly);
    sockets.push(join(folder, 'direct'), join(folder, 'legacy'));
    listener = createServer();
    await new Promise<void>((resolve) => listener.listen(sockets[1], resolve));
  });
  afterAll(async () => {
    await new Promise((resolve) => listener.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs it as sshd would, by the user's shell, and says which program got which arguments. */
  const played = async (target: SshTarget, path = both): Promise<string[]> => {
    const options = { env: { PATH: path }, cwd: folder, timeout: 10_000 };
    const { stdout } = await run('/bin/sh', ['-c', remoteCommand(target)], options);
    return stdout.split('\n').slice(0, -1);
  };

  it('prefers the helper and falls back to netcat', async () => {
    const target = { ...targetOf('qemu+ssh://host/system?x=1'), socketPaths: sockets };
    expect(await played(target)).toEqual(['virt-ssh-helper', 'qemu:///system?x=1']);
    expect(await played({ ...target, readOnly: true })).toEqual(['virt-ssh-helper', '-r', 'qemu:///system?x=1']);
    expect(await played(target, netcatOnly)).toEqual(['nc', '-U', sockets[1]]);
  });

  it('takes the socket that is there, the modular daemon first', async () => {
    const target = { ...targetOf('qemu+ssh://host/system?proxy=netcat'), socketPaths: sockets };
    expect(await played(target)).toEqual(['nc', '-U', sockets[1]]);
    expect(await played({ ...target, socketPaths: sockets.toReversed() })).toEqual(['nc', '-U', sockets[1]]);
  });

  it('asks netcat to end with its input, where netcat must be asked', async () => {
    const says = `#!/bin/sh\n[ "$#" = 1 ] && { echo "nc: option requires an argument -- 'q'" >&2; exit 1; }\nprintf '%s\\n' "$@"\n`;
    const asking = join(folder, 'asking netcat');
    await writeFile(asking, says, { mode: 0o755 });
    const uri = `qemu+ssh://host/system?socket=/s&netcat=${encodeURIComponent(asking)}`;
    expect(await played(targetOf(uri))).toEqual(['-q0', '-U', '/s']);
  });

  it('does what proxy says', async () => {
    expect(await played(targetOf('qemu+ssh://host/session'))).toEqual(['virt-ssh-helper', 'qemu:///session']);
    expect(await played(targetOf('qemu+ssh://host/system?proxy=netcat&socket=/s'))).toEqual(['nc', '-U', '/s']);
    const missing = played(targetOf('qemu+ssh://host/system?proxy=native'), netcatOnly);
    await expect(missing).rejects.toMatchObject({ stderr: expect.stringContaining('virt-ssh-helper') });
  });

  it.each([
    "/a b'c",
    '/$(touch pwned)',
    '/`touch pwned`',
    "/'; touch pwned; '",
    `/'"'"'; touch pwned #`,
    '/"; touch pwned; "',
    '/a && touch pwned',
    '/ünïcødé *?[x] ~ !! #{$PATH}',
  ])('passes %s on as it is, and runs nothing of it', async (path) => {
    const value = encodeURIComponent(path);
    expect(await played(targetOf(`qemu+ssh://host/system?socket=${value}`))).toEqual(['nc', '-U', path]);
    const named = targetOf(`qemu+ssh://host/system?name=${value}`);
    expect(await played(named)).toEqual(['virt-ssh-helper', path]);
    const { stdout } = await run('/bin/sh', ['-c', 'test ! -e pwned && echo clean'], { cwd: folder });
    expect(stdout).toBe('clean\n');
  });

  it('is one that shells can read, whatever the values', async () => {
    const value = fc.string({ unit: 'grapheme-composite', minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(value, value, async (socket, name) => {
        const query = [`socket=${encodeURIComponent(`/${socket}`)}`, `name=${encodeURIComponent(name)}`].join('&');
        let target: SshTarget;
        try {
          target = targetOf(`qemu+ssh://host/system?${query}`);
        } catch (error) {
          expect(error).toBeInstanceOf(UriError);
          return;
        }
        expect(await played(target)).toEqual(['nc', '-U', `/${socket}`]);
        expect(await played({ ...target, proxy: 'native' })).toEqual(['virt-ssh-helper', name]);
      }),
      { numRuns: 60 },
    );
  });

  it('is quoted without a backslash, which not all shells read alike', () => {
    expect(quoted(quoted("a'b"))).not.toContain('\\');
    expect(remoteCommand(targetOf('qemu+ssh://host/system'))).not.toContain('\\');
  });
});
