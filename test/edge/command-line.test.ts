// The command line against a live edge: what it prints, where, and how it ends.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CommandFailure } from '../../src/edge/command-line/command-failure.ts';
import { Collected, run } from './command-runner.ts';
import { aDecision, aGroup, aHost, aPolicy } from './fake-engine.ts';
import { liveEdge, turnOfTheLoop } from './live-edge.ts';

describe('what is there', () => {
  it('status: the daemon, its groups and hosts', async () => {
    const { engine, listening } = await liveEdge(
      {},
      { hosts: [aHost(), aHost({ name: 'b', id: 2, condition: 'unreachable', reason: 'refused' })] },
    );
    const ran = await run(`status --url ${listening.url}`);
    expect(ran).toMatchObject({ status: 0, err: '' });
    expect(ran.out).toContain(`virtscale 1.2.3 at ${listening.url}: ready\n`);
    expect(ran.out).toMatch(/^GROUP +STATE +READY +RANGE +CPU +WHY\nweb +active +1\/1 +1–4 +91 % +hot: CPU 91 %/m);
    expect(ran.out).toMatch(/^2 +b +unreachable .* refused$/m);
    engine.ready = { ready: false, reason: 'no host has answered yet' };
    const json = JSON.parse((await run(`status --json --url ${listening.url}`)).out);
    expect(json.daemon).toEqual({
      url: listening.url,
      version: '1.2.3',
      ready: false,
      reason: 'no host has answered yet',
    });
    expect(json.groups).toHaveLength(1);
  });

  it('hosts, vms and groups, as tables and as JSON', async () => {
    const { listening } = await liveEdge();
    const env = { VIRTSCALE_URL: listening.url };
    expect((await run('vms', { env })).out).toMatch(
      /^7 +web-7 +web +local +in-service +running +43 % +127\.0\.1\.7:80 /m,
    );
    for (const [name, key] of [
      ['hosts', 'name'],
      ['vms', 'id'],
      ['groups', 'name'],
    ] as const) {
      const { status, out } = await run(`${name} --json`, { env });
      expect(status).toBe(0);
      expect(JSON.parse(out)[0]).toHaveProperty(key);
    }
    expect((await run('vms --group none', { env })).out).toBe('No VMs.\n');
    expect((await run('hosts list', { env })).out).toMatch(
      /^1 +local +up +1\/2\/3 +2\/2 +1\.0\/4\.0 GiB +20\/40 GiB +qemu /m,
    );
  });

  it('lets nothing that the daemon says steer the terminal', async () => {
    const evil = 'x\u001b]0;owned\u0007\nfake line\u202e';
    const group = aGroup({ policy: aPolicy({ group: 'web' }), lastDecision: aDecision({ text: evil }) });
    const { listening } = await liveEdge({}, { groups: [group] });
    for (const command of ['groups', 'why web', 'status']) {
      const { out } = await run(`${command} --url ${listening.url}`);
      expect(out).toContain('owned');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]|^fake/m);
    }
  });
});

describe('events', () => {
  const closed = (group: string) => ({ type: 'breaker.closed', group }) as const;

  it('shows the newest, or those after a number, through filters', async () => {
    const { engine, listening } = await liveEdge();
    for (let at = 0; at < 60; at++) engine.log.append(closed(at % 2 ? 'web' : 'db'));
    const json = async (more: string) =>
      (await run(`events --json ${more} --url ${listening.url}`)).out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).seq);
    expect(await json('')).toEqual(Array.from({ length: 50 }, (_, at) => at + 11));
    expect(await json('--since 57')).toEqual([58, 59, 60]);
    expect(await json('--since 54 --group web --types breaker.closed')).toEqual([56, 58, 60]);
    expect((await run(`events --since 59 --url ${listening.url}`)).out).toMatch(
      /^ {3}60 {2}\S+Z {2}breaker\.closed {4}web: launches are tried again\n$/,
    );
  });

  it('follows what happens, and on after the connection was lost', async () => {
    const { engine, stream, listening } = await liveEdge();
    engine.log.append(closed('a'), closed('b'));
    const stop = new AbortController();
    const stdout = new Collected();
    const until = async (lines: number) => {
      for (let tries = 0; tries < 3000 && stdout.text.split('\n').length <= lines; tries++)
        await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const ran = run(`events --follow --json --since 1 --url ${listening.url}`, { signal: stop.signal, stdout });
    await until(1);
    engine.log.append(closed('c'));
    await until(2);
    stream.terminate();
    engine.log.append(closed('d'));
    await until(3);
    engine.log.append(closed('e'));
    await until(4);
    stop.abort();
    expect((await ran).status).toBe(0);
    expect(
      stdout.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).seq),
    ).toEqual([2, 3, 4, 5]);
  });

  it('says what to do when events were lost while it was away', async () => {
    const { engine, stream, listening } = await liveEdge();
    engine.log.append(closed('a'));
    const stdout = new Collected();
    const ran = run(`events --follow --url ${listening.url}`, { stdout });
    for (let tries = 0; tries < 3000 && stream.size === 0; tries++)
      await new Promise((resolve) => setTimeout(resolve, 5));
    stream.terminate();
    for (let at = 0; at < 10; at++) engine.log.append(closed('a'));
    engine.log.retain(2);
    await turnOfTheLoop();
    const { status, err } = await ran;
    expect(status).toBe(1);
    expect(err).toContain('start again without --since');
  });
});

describe('how it ends when something is wrong', () => {
  it.each([
    ['', 2, 'Usage: virtscale'],
    ['dance', 2, "unknown command 'dance'"],
    ['vms danse', 2, "unknown command 'vms danse'"],
    ['vms sho 7', 2, '(did you mean "show"?)'],
    ['vms create -f small', 2, "missing required argument 'name'"],
    ['vms create a', 2, "required option '-f, --flavor <name>' not specified"],
    ['vms create a -f small -n 0', 2, 'It must be at least 1'],
    ['vms create a -f small -l gpu', 2, 'It must be KEY=VALUE'],
    ['vms create a -f small --ready 0', 2, 'It must be PORT or PORT/PATH'],
    ['vms create a -f small --ssh-key /nowhere', 2, 'cannot read the ssh key /nowhere: it does not exist'],
    ['vms shutdown 1 --grace 30', 2, '"30" is not a duration'],
    ['hosts cordon a', 2, "required option '-r, --reason <text>' not specified"],
    ['images add a b --format iso', 2, 'It must be one of qcow2, raw'],
    ['images add a b --sha256 00', 2, 'It must be 64 hexadecimal digits'],
    ['images add a /nowhere/at/all', 2, 'cannot read /nowhere/at/all: it does not exist'],
    ['images add a /tmp', 2, '/tmp is a folder, not an image'],
    ['images add a ftp://x/y', 2, 'images come from a file, by http:// or https://, or as user@host:/path'],
    ['images add a relative --at hosts', 2, 'with --at hosts a full path is needed'],
    ['token create a', 2, "required option '-s, --scope <scope>' not specified"],
    ['token create a -s root', 2, 'It must be one of post, read, operate, admin'],
    ['status --nope', 2, "unknown option '--nope'"],
    ['why', 2, "missing required argument 'group'"],
    ['events --since x', 2, 'It must be a whole number'],
    ['status --url nonsense', 2, '--url: "nonsense" is not a URL'],
    ['status --url ftp://x', 2, 'neither http nor https'],
    ['status --url http://127.0.0.1:1', 1, 'no daemon at http://127.0.0.1:1 ('],
    ['policy check /nowhere/at/all.yaml', 2, 'it does not exist'],
    ['serve', 1, 'virtscale: not here'],
  ])('virtscale %s: %i', async (text, status, said) => {
    const ran = await run(text);
    expect(ran.status).toBe(status);
    expect(ran.err).toContain(said);
    expect(ran.out).toBe('');
  });

  it('names the daemon and the advice when nobody answers', async () => {
    const { listening } = await liveEdge();
    await listening.close(100);
    const { status, err } = await run(`hosts --url ${listening.url}`);
    expect([status, err]).toEqual([
      1,
      `virtscale: no daemon at ${listening.url} (connection refused). Start one with "virtscale serve", or name another with --url or VIRTSCALE_URL\n`,
    ]);
  });

  it('knows when something else answers', async () => {
    const server = createServer((request, response) =>
      response.end(request.url === '/v1/hosts' ? '<html>' : '{"groups":[{"name":1}]}'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect((await run(`hosts --url ${url}`)).err).toContain(
      'did not answer with JSON (status 200): is that a virtscale daemon?',
    );
    expect((await run(`groups --url ${url}`)).err).toContain('are both of the same version?');
  });

  it('passes on what serve is told, and how it fails', async () => {
    const told: unknown[] = [];
    const serve = async (options: unknown) => {
      told.push(options);
      throw new CommandFailure(2, 'the file is wrong');
    };
    const ran = await run('serve --config a.yaml --listen 127.0.0.1:0 --state-dir s --policies p', { serve });
    expect(told).toEqual([{ config: 'a.yaml', listen: '127.0.0.1:0', stateDir: 's', policies: 'p' }]);
    await run('serve --algorithm fifo', { serve });
    expect(told.at(-1)).toEqual({ placement: 'fifo' });
    expect(ran).toEqual({ status: 2, out: '', err: 'virtscale: the file is wrong\n' });
  });
});

describe('policy check', () => {
  const GOOD = `group: web
min: 1
max: 4
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
scale:
  - { name: hot, type: threshold, metric: cpu, above: 75, for: 3s, add: 1, cooldown: 20s }
  - { name: idle, type: threshold, metric: cpu, below: 20, for: 60s, remove: 1, cooldown: 120s }
`;

  function folder(files: Readonly<Record<string, string>>): (name: string) => string {
    const path = mkdtempSync(join(tmpdir(), 'virtscale-check-'));
    onTestFinished(() => rmSync(path, { recursive: true }));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
    return (name) => join(path, name);
  }

  it('lets a good one pass', async () => {
    const at = folder({ 'web.yaml': GOOD });
    expect(await run(`policy check ${at('web.yaml')}`)).toMatchObject({
      status: 0,
      out: `ok  ${at('web.yaml')}: group web\n`,
    });
  });

  it('tells all that is wrong, with file and line', async () => {
    const at = folder({
      'a.yaml': GOOD,
      'b.yaml': GOOD.replace('min: 1', 'min: 9').replace('small', 'smal'),
      'c.yaml': GOOD,
    });
    const ran = await run(`policy check ${at('a.yaml')} ${at('b.yaml')} ${at('c.yaml')}`);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain(`${at('b.yaml')}:2:`);
    expect(ran.err).toContain('did you mean "small"?');
    expect(ran.err).toContain(`group web has a policy already, in ${at('a.yaml')}`);
    expect(ran.err).toContain('virtscale: 2 of 3 policy files would be refused');
    const json = JSON.parse((await run(`policy check --json ${at('b.yaml')}`)).out);
    expect(json).toMatchObject([{ ok: false, problems: [{ line: 2 }, { line: 4 }] }]);
  });

  it('takes images and flavors from the configuration', async () => {
    const at = folder({
      'web.yaml': GOOD.replace('small', 'huge'),
      'virtscale.yaml': 'flavors:\n  - { name: huge, vcpus: 8, memory: 8GiB }\n',
    });
    expect((await run(`policy check ${at('web.yaml')}`)).status).toBe(2);
    const ran = await run(`policy check --config ${at('virtscale.yaml')} ${at('web.yaml')}`);
    expect(ran).toMatchObject({ status: 0, err: '' });
  });
});

describe('the program itself', () => {
  const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
  const program = (...more: string[]) =>
    spawnSync(process.execPath, [cli, ...more], { encoding: 'utf8', timeout: 15_000 });

  it('prints its version, and ends with the status of the command', () => {
    expect(program('--version')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      stderr: '',
    });
    expect(program('dance')).toMatchObject({ status: 2, stdout: '' });
    expect(program('status', '--url', 'http://127.0.0.1:1')).toMatchObject({ status: 1, stdout: '' });
  });
});
