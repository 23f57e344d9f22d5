// The commands about users: signing in and out, the file their tokens lie in, passwords that nobody sees. Not here: HTTP (users).

import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Collected, folder, type LiveFabric, liveFabric, type Ran, run } from './command-runner.ts';
import { person as aPerson, passwordOf } from './people.ts';
import { tokenFor } from './tokens.ts';

const BOSS = tokenFor('boss', 'admin');
const FILE = 'virtscale/credentials.json';

interface Shell extends LiveFabric {
  /** Where the tokens are kept. */
  readonly file: string;
  /** With a configuration folder of its own, and these lines on standard input. */
  readonly cli: (text: string, ...lines: readonly string[]) => Promise<Ran>;
  readonly env: Readonly<Record<string, string>>;
}

async function shell(): Promise<Shell> {
  const fabric = await liveFabric({
    tokens: [BOSS.token],
    users: [aPerson('ada'), aPerson('root', { role: 'admin', quota: { vms: 5 } })],
  });
  const inFolder = folder({});
  const env = { XDG_CONFIG_HOME: inFolder('.') };
  const cli = (text: string, ...lines: readonly string[]) =>
    fabric.virtscale(text, { env, ...(lines.length > 0 && { stdin: piped(...lines) }) });
  return { ...fabric, env, cli, file: inFolder(FILE) };
}

function piped(...lines: readonly string[]): PassThrough {
  const stdin = new PassThrough();
  stdin.end(lines.map((line) => `${line}\n`).join(''));
  return stdin;
}

/** Somebody at a terminal who types this; what the terminal was told about echoing. */
function typing(...keys: readonly string[]) {
  const modes: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (mode: boolean) => modes.push(mode) });
  for (const key of keys) stdin.write(key);
  return { stdin, modes };
}

describe('virtscale login', () => {
  it('keeps a token for the commands that follow, readable by nobody else; logout ends it', async () => {
    const { cli, file, engine } = await shell();
    expect((await cli('whoami')).status).toBe(1);
    const signedIn = await cli('login ada --password-stdin --expires 1h', passwordOf('ada'));
    expect(signedIn).toMatchObject({ status: 0, err: '' });
    expect(signedIn.out).toMatch(/^signed in as ada \(user\) until /);
    expect([statSync(file).mode & 0o777, statSync(file.replace('/credentials.json', '')).mode & 0o777]).toEqual([
      0o600, 0o700,
    ]);
    expect((await cli('whoami')).out).toMatch(/user +ada\nrole +user/);
    expect((await cli('vms')).status).toBe(0);
    expect((await cli('token list')).out).toContain('sign-in-');
    expect((await cli('logout')).out).toBe('signed out ada\n');
    expect(existsSync(file)).toBe(false);
    expect(engine.tokens.all.map(({ name }) => name)).toEqual(['boss']);
    expect((await cli('vms')).status).toBe(1);
  });

  it('leaves other daemons’ tokens alone, and gives way to a token that is said', async () => {
    const [one, other] = [await shell(), await shell()];
    await one.cli('login ada --password-stdin', passwordOf('ada'));
    const atOther = { env: { ...one.env, VIRTSCALE_URL: other.url } };
    await other.virtscale('login root --password-stdin', { ...atOther, stdin: piped(passwordOf('root')) });
    const kept = JSON.parse(readFileSync(one.file, 'utf8'));
    expect(Object.keys(kept).toSorted()).toEqual([one.url, other.url].toSorted());
    expect((await one.cli('whoami')).out).toContain('ada');
    expect((await one.cli(`whoami --token ${BOSS.text}`)).out).toMatch(/name +boss/);
    await one.cli('logout');
    expect((await other.virtscale('whoami', atOther)).out).toContain('root');
  });

  it('refuses a file that others can read, and one that is damaged', async () => {
    const { cli, file } = await shell();
    await cli('login ada --password-stdin', passwordOf('ada'));
    chmodSync(file, 0o640);
    expect(await cli('vms')).toMatchObject({ status: 2, err: expect.stringContaining('chmod 600') });
    chmodSync(file, 0o600);
    writeFileSync(file, '{');
    expect(await cli('vms')).toMatchObject({ status: 2, err: expect.stringContaining('damaged') });
  });

  it('does not use a token that has expired', async () => {
    const { cli, file } = await shell();
    await cli('login ada --password-stdin --expires 1s', passwordOf('ada'));
    const kept = JSON.parse(readFileSync(file, 'utf8'));
    expect(Object.values(kept)).toMatchObject([{ name: 'ada' }]);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect((await cli('whoami')).err).toContain('a token is needed');
  });

  it.each([
    ['a wrong password', 'login ada --password-stdin', ['wrong'], 1, 'the name or the password is wrong'],
    ['nobody to ask', 'login ada', [], 2, '--password-stdin'],
    ['nothing on standard input', 'login ada --password-stdin', [''], 2, 'standard input'],
  ])('fails with %s', async (_, text, lines, status, says) => {
    const { cli } = await shell();
    const ran = await cli(text, ...lines);
    expect(ran).toMatchObject({ status, out: '', err: expect.stringContaining(says) });
  });
});

describe('a password', () => {
  it('is typed without an echo, and corrected as everywhere', async () => {
    const fabric = await shell();
    const password = passwordOf('ada');
    const { stdin, modes } = typing('nonsense', '\u0015', `${password}xy`, '\u007f\u007f', '\r');
    const stderr = new Collected(true);
    const ran = await fabric.virtscale('login ada', { env: fabric.env, stdin, stderr });
    expect(ran.status).toBe(0);
    expect(modes).toEqual([true, false]);
    expect(stderr.text).toBe('Password of ada: \n');
    expect(ran.out).not.toContain(password);
  });

  it('ends the command at Ctrl-C, with the terminal as it was', async () => {
    const fabric = await shell();
    const { stdin, modes } = typing('abc', '\u0003');
    expect((await fabric.virtscale('login ada', { env: fabric.env, stdin })).status).toBe(130);
    expect(modes).toEqual([true, false]);
  });

  it('that is new is typed twice', async () => {
    const fabric = await shell();
    const env = { ...fabric.env, VIRTSCALE_TOKEN: BOSS.text };
    const same = typing('a good password\r', 'a good password\r');
    expect((await fabric.virtscale('user add eve', { env, stdin: same.stdin })).status).toBe(0);
    const other = typing('a good password\r', 'another password\r');
    const ran = await fabric.virtscale('user add eva', { env, stdin: other.stdin });
    expect(ran).toMatchObject({ status: 2, err: expect.stringContaining('not the same') });
  });

  it('is never an argument', async () => {
    const fabric = await shell();
    for (const text of ['login ada --password x', 'user add eve --password x', 'user passwd ada --password x']) {
      expect((await fabric.cli(text)).status).toBe(2);
    }
    const help = (
      await Promise.all(['login --help', 'user add --help', 'user passwd --help'].map((text) => run(text)))
    ).map(({ out }) => out);
    expect(help.join('')).not.toMatch(/--password[ =]</);
  });
});

describe('virtscale user', () => {
  async function asBoss(): Promise<(text: string, ...lines: readonly string[]) => Promise<Ran>> {
    const fabric = await shell();
    return (text, ...lines) =>
      fabric.virtscale(text, {
        env: { ...fabric.env, VIRTSCALE_TOKEN: BOSS.text },
        ...(lines.length > 0 && { stdin: piped(...lines) }),
      });
  }

  it('adds, shows, changes and removes users', async () => {
    const cli = await asBoss();
    const made = await cli('user add eve --password-stdin --vms 2 --memory 4G --disk 10G', 'a good password');
    expect(made.out).toMatch(/VMs +0 of 2\nvCPUs +0\nmemory MiB +0 of 4096\ndisk GiB +0 of 10/);
    expect((await cli('user list')).out).toMatch(/eve +user +0 of 2/);
    const changed = await cli('user set eve --vms none --snapshots 3 --role admin --disable holiday --json');
    expect(changed.err).toBe('');
    expect(JSON.parse(changed.out)).toMatchObject({
      role: 'admin',
      disabled: 'holiday',
      quota: { memoryMiB: 4096, diskGiB: 10, snapshots: 3 },
    });
    expect(JSON.parse(changed.out).quota.vms).toBeUndefined();
    expect((await cli('user set eve --enable')).out).not.toContain('holiday');
    expect((await cli('user remove eve')).status).toBe(2);
    expect((await cli('user remove eve --yes')).out).toBe('user eve: deleted\n');
    expect((await cli('user show eve')).status).toBe(2);
  });

  it.each(['user set eve', 'user set eve --disable x --enable', 'user add eve --role king', 'user set eve --memory 4'])(
    '%s is refused before it is sent',
    async (text) => expect((await (await asBoss())(text)).status).toBe(2),
  );

  it('passwd takes one’s old password first, another’s not', async () => {
    const fabric = await shell();
    await fabric.cli('login ada --password-stdin', passwordOf('ada'));
    expect((await fabric.cli('user passwd --password-stdin', 'wrong', 'a new password')).status).toBe(1);
    expect((await fabric.cli('user passwd --password-stdin', passwordOf('ada'), 'a new password')).status).toBe(0);
    expect((await fabric.cli('vms')).status).toBe(0);
    const cli = await asBoss();
    expect((await cli('user passwd ada --password-stdin', 'a newer password')).status).toBe(0);
    expect((await cli('user passwd --password-stdin', 'a newer password')).status).toBe(2);
  });

  it('audit tells who asked for what', async () => {
    const fabric = await shell();
    const cli = (text: string) => fabric.virtscale(text, { env: { VIRTSCALE_TOKEN: BOSS.text } });
    await fabric.cli('login ada --password-stdin', 'wrong');
    await cli('user remove nobody --yes');
    await cli('user set ada --disable holiday');
    const { out } = await cli('audit');
    const rows = out.trim().split('\n').slice(1);
    expect(rows.map((row) => row.replace(/^\S+ +/, '').replaceAll(/ +/g, ' '))).toEqual([
      'unknown 127.0.0.1 POST /v1/sign-in name=ada 401 unauthenticated',
      'boss 127.0.0.1 DELETE /v1/users/nobody 404 not-found',
      'boss 127.0.0.1 PATCH /v1/users/ada 200',
    ]);
    expect(JSON.parse((await cli('audit --json --limit 1 --who boss')).out)).toMatchObject([{ n: 3, status: 200 }]);
  });
});
