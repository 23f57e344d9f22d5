/** The ssh transport over programs that stand in for ssh: what they say when they fail, and that none is left. */
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../../src/libvirt/connection.ts';
import { sshFault } from '../../src/libvirt/transport-ssh-fault.ts';
import { parseUri } from '../../src/libvirt/uri.ts';
import { failureOf, startDaemon } from './support.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vs-ssh-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let programs = 0;
/** A program of these lines; the first of them writes its number to `pid`. */
const program = async (lines: string, shell = '/bin/sh'): Promise<{ path: string; pid: () => Promise<number> }> => {
  programs += 1;
  const path = join(folder, `ssh-${programs}`);
  const noted = shell === '/bin/sh' ? `echo $$ > ${path}.pid\n` : '';
  await writeFile(path, `#!${shell}\n${noted}${lines}\n`, { mode: 0o755 });
  return { path, pid: async () => Number(await readFile(`${path}.pid`, 'utf8')) };
};

/** A stand-in that really leads to the daemon of this socket, as ssh and netcat together do. */
const relay = (socket: string, and = '') =>
  program(
    `const { connect } = require('node:net');
     require('node:fs').writeFileSync(process.argv[1] + '.pid', String(process.pid));
     const socket = connect(${JSON.stringify(socket)});
     process.stdin.pipe(socket).pipe(process.stdout);
     socket.on('close', () => process.exit(0)).on('error', () => process.exit(1));
     ${and}`,
    process.execPath,
  );

const open = (path: string, connectTimeoutMs = 5_000, signal?: AbortSignal): Promise<Connection> =>
  Connection.open({ uri: `qemu+ssh://me@host/system?command=${path}`, connectTimeoutMs, signal });

/** Gone, and waited for: /proc knows zombies too. */
const gone = async (pid: number): Promise<boolean> => {
  for (let turn = 0; turn < 300; turn += 1) {
    const there = await access(`/proc/${pid}`).then(
      () => true,
      () => false,
    );
    if (!there) return true;
    await sleep(10);
  }
  return false;
};

describe('a connection through ssh', () => {
  it('carries calls, and leaves no process behind', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'far' }));
    const ssh = await relay(daemon.socketPath);
    const connection = await open(ssh.path);
    expect(await connection.call('CONNECT_GET_HOSTNAME', {})).toEqual({ hostname: 'far' });
    await connection.close();
    expect(await gone(await ssh.pid())).toBe(true);
  });

  it('ends with ssh, and says why', async () => {
    const daemon = await startDaemon();
    const dying = `setTimeout(() => { process.stderr.write('client_loop: send disconnect: Broken pipe\\r\\n'); process.exit(255) }, 300)`;
    const connection = await open((await relay(daemon.socketPath, dying)).path);
    expect(await connection.closed).toMatchObject({
      kind: 'closed',
      message: 'ssh to me@host: client_loop: send disconnect: Broken pipe (ssh ended with status 255)',
    });
  });

  it('that a daemon ends is closed', async () => {
    const daemon = await startDaemon();
    const ssh = await relay(daemon.socketPath);
    const connection = await open(ssh.path);
    await daemon.down();
    expect(await connection.closed).toMatchObject({ kind: 'closed', message: expect.stringContaining('status 0') });
    expect(await gone(await ssh.pid())).toBe(true);
  });

  it('does not wait for what holds the pipes of an ended ssh', async () => {
    const { path, pid } = await program('sleep 20 & echo $! > "$0.other"; echo gone away >&2; exit 3');
    const failure = await failureOf(open(path));
    expect(failure).toMatchObject({
      kind: 'closed',
      message: expect.stringContaining('gone away (ssh ended with status 3)'),
    });
    expect(await gone(await pid())).toBe(true);
    process.kill(Number(await readFile(`${path}.other`, 'utf8')), 'SIGKILL');
  });

  it.each([
    ['hangs', 'exec sleep 30'],
    ['hangs with children', 'sleep 30 & wait'],
    ['does not end when asked', 'trap "" TERM HUP; while :; do sleep 0.2; done'],
    ['has closed its output and hangs', 'exec sleep 30 >&-'],
  ])('whose ssh %s is given up, and ssh with it', async (_what, lines) => {
    const { path, pid } = await program(lines);
    expect(await failureOf(open(path, 700))).toMatchObject({ name: 'ConnectionError' });
    expect(await gone(await pid())).toBe(true);
  });

  it('asks ssh to end before it makes it', async () => {
    const { path, pid } = await program(
      'trap "" PIPE; trap "echo asked > $0.asked; exit" TERM; while :; do sleep 0.05; done',
    );
    expect(await failureOf(open(path, 500))).toMatchObject({ kind: 'timed-out' });
    expect(await gone(await pid())).toBe(true);
    expect(await readFile(`${path}.asked`, 'utf8')).toBe('asked\n');
  });

  it('that says nothing tells what ssh has said', async () => {
    const { path } = await program('echo "Waiting for the moon" >&2; exec sleep 30');
    expect(await failureOf(open(path, 400))).toMatchObject({
      kind: 'timed-out',
      message: expect.stringMatching(
        /nothing came back through ssh from me@host \(.*\); it has said: Waiting for the moon/,
      ),
    });
  });

  it('can be called off', async () => {
    const { path, pid } = await program('exec sleep 30');
    const stop = new AbortController();
    const waiting = failureOf(open(path, 20_000, stop.signal));
    const reason = new Error('enough');
    setTimeout(() => stop.abort(reason), 300);
    expect(await waiting).toBe(reason);
    expect(await gone(await pid())).toBe(true);
  });

  it('keeps the end of what ssh says and no more', async () => {
    const { path } = await program(
      'i=0; while [ $i -lt 3000 ]; do echo "line $i of many" >&2; i=$((i+1)); done; exit 1',
    );
    const failure = await failureOf(open(path));
    const message = failure instanceof Error ? failure.message : '';
    expect(message).toContain('line 2999 of many (ssh ended with status 1)');
    expect(message.length).toBeLessThan(8_000);
  });

  it.each([
    ['/nowhere/ssh', /cannot run '\/nowhere\/ssh': there is no such program; command= is the path of one program/],
    ['ssh%20-v', /cannot run 'ssh -v': there is no such program/],
    ['/', /cannot run '\/'/],
  ])('by the program %s fails', async (path, message) => {
    expect(await failureOf(open(path))).toMatchObject({ kind: 'unreachable', message: expect.stringMatching(message) });
  });

  it('by a program that ends without a word tells its status', async () => {
    const { path } = await program('exit 7');
    expect(await failureOf(open(path))).toMatchObject({
      message: expect.stringContaining('ssh to me@host ended with status 7 and said nothing'),
    });
    const killed = await program('kill -9 $$');
    expect(await failureOf(open(killed.path))).toMatchObject({
      message: expect.stringContaining('ssh to me@host was ended by SIGKILL and said nothing'),
    });
  });

  it('to what is no daemon is a broken protocol', async () => {
    const { path } = await program('echo "Welcome to host! Today is a nice day."; exec sleep 30');
    expect(await failureOf(open(path))).toMatchObject({ kind: 'protocol' });
  });
});

describe("ssh's last words", () => {
  const target = parseUri('qemu+ssh://me@host:22/system');
  if (target.transport !== 'ssh') throw new Error('not ssh');
  it.each([
    ['me@host: Permission denied (publickey).', 'auth', 'does not take our key'],
    ['Host key verification failed.', 'auth', 'not in known_hosts'],
    [
      '@@@@\r\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed.',
      'auth',
      'another key than it used to',
    ],
    ['Received disconnect from ::1: 2: Too many authentication failures', 'auth', 'too many keys'],
    ['ssh: connect to host host port 22: Connection refused', 'refused', 'no ssh server listens there'],
    ['ssh: connect to host host port 22: No route to host', 'unreachable', 'no way to this machine'],
    ['ssh: connect to host host port 22: Connection timed out', 'timed-out', 'does not answer'],
    ['Connection timed out during banner exchange', 'timed-out', 'does not answer'],
    ['ssh: Could not resolve hostname host: Name or service not known', 'unreachable', 'no such host name'],
    ['sh: 1: virt-ssh-helper: not found', 'unreachable', 'no virt-ssh-helper'],
    ['bash: line 1: virt-ssh-helper: command not found', 'unreachable', 'no virt-ssh-helper'],
    ['sh: 1: nc: not found', 'unreachable', 'no netcat'],
    ["nc: invalid option -- 'U'", 'unreachable', 'no netcat'],
    [
      "virt-ssh-helper: cannot connect to '/s': Failed to connect socket to '/s': Permission denied",
      'auth',
      'group libvirt',
    ],
    [
      "virt-ssh-helper: cannot connect to '/s': Failed to connect socket to '/s': Connection refused",
      'unreachable',
      'daemon does not run',
    ],
    ['nc: unix connect failed: No such file or directory', 'unreachable', 'daemon does not run'],
    ['nc: /s: No such file or directory', 'unreachable', 'daemon does not run'],
    ['Something new', 'closed', '(ssh ended with status 255)'],
  ])('%s', (said, kind, advice) => {
    const fault = sshFault(target, { status: 255, signal: null, said });
    expect(fault).toMatchObject({ kind, message: expect.stringContaining(advice) });
    expect(fault.message).toMatch(/^ssh to me@host port 22: \S/);
  });

  it('cannot play tricks on a terminal or a log', () => {
    const said = "Warning: Permanently added 'host' to the list of known hosts.\r\n\u001b[2Jred\u0007\r\n\r\nblue.\n";
    const { message } = sshFault(target, { status: 1, signal: null, said });
    expect(message).toBe('ssh to me@host port 22: [2Jred | blue (ssh ended with status 1)');
  });
});
