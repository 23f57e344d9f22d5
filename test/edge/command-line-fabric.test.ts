// Hosts, VMs, images, operations and tokens from the command line, against a live edge over an engine in memory.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Collected, folder, liveFabric, person, run } from './command-runner.ts';
import { aHost, aLoneVm } from './fake-engine.ts';
import { tokenFor } from './tokens.ts';

const FULL = { ok: false, refused: 'no-capacity', reason: 'no host could ever hold it' } as const;

describe('hosts', () => {
  it('show, cordon, uncordon', async () => {
    const { engine, virtscale } = await liveFabric();
    expect((await virtscale('hosts show local')).out).toMatch(
      /^host +1 local\n(?:.*\n)*memory +4\.0 GiB, 1\.0 GiB free$/m,
    );
    const words = ['hosts', 'cordon', 'local', '--reason', 'new disks'];
    expect(await virtscale('', { arguments: words })).toEqual({
      status: 0,
      out: 'local takes no new VMs: new disks\n',
      err: '',
    });
    expect((await virtscale('hosts')).out).toContain('cordoned: new disks');
    expect(JSON.parse((await virtscale('hosts uncordon local --json')).out)).not.toHaveProperty('cordoned');
    expect(engine.commands).toEqual(['cordon local: new disks', 'uncordon local']);
    expect(await virtscale('hosts show nowhere')).toMatchObject({ status: 2, out: '' });
  });
});

describe('vms', () => {
  it('lists all pages, or those that are asked for', async () => {
    const vms = Array.from({ length: 450 }, (_, at) =>
      aLoneVm({ id: at + 1, name: `vm-${at + 1}`, uuid: `u-${at}`, host: at % 2 ? 'a' : 'b' }),
    );
    const { virtscale } = await liveFabric({ vms, hosts: [aHost({ name: 'a' }), aHost({ name: 'b', id: 2 })] });
    const ids = async (text: string) => JSON.parse((await virtscale(text)).out).map(({ id }: { id: number }) => id);
    expect(await ids('vms --json')).toEqual(vms.map(({ record }) => record.id));
    expect(await ids('vms --host b --json')).toHaveLength(225);
    expect(await ids('vms --name vm-7 --json')).toEqual([7]);
    expect(await ids('vms --state stopped --json')).toEqual([]);
    expect((await virtscale('vms list --name vm-7')).out).toMatch(/^ID +NAME .*\n7 +vm-7 +– +b +in-service +running/);
  });

  it('show: by id and by name, with the reason why it is not what it should be', async () => {
    const odd = aLoneVm({}, { state: 'stopped', difference: 'its guest shut down by itself' });
    const { virtscale } = await liveFabric({ vms: [odd, aLoneVm({ id: 21, uuid: 'u' })] });
    expect((await virtscale('vms show 20')).out).toMatch(
      /^state +stopped, should be running\nwhy +its guest shut down/m,
    );
    expect(await virtscale('vms show lone')).toMatchObject({ status: 2, err: expect.stringContaining('give the id') });
    expect(await virtscale('vms show else')).toMatchObject({ status: 2, err: expect.stringContaining('no VM named') });
    expect(await virtscale('vms show 99')).toMatchObject({
      status: 2,
      err: expect.stringContaining('there is no VM 99'),
    });
  });

  it('create: with everything that can be said', async () => {
    const { engine, virtscale } = await liveFabric();
    const at = folder({ 'id.pub': 'ssh-ed25519 AAAA me\n\n# old\nssh-rsa BBBB me\n', 'user-data': '#cloud-config\n' });
    const text =
      `vms create job --flavor small --image backend --count 2 --all-or-nothing --algorithm fifo --host local ` +
      `--label zone=b --label gpu=a=b --apart --ready 80/health --ssh-key ${at('id.pub')} --user-data ${at('user-data')}`;
    const asked: unknown[] = [];
    const create = engine.createVms.bind(engine);
    engine.createVms = (request, caller) => {
      asked.push(request, caller.key);
      return create({ ...request, placement: {} }, caller);
    };
    const { status, out } = await virtscale(text);
    expect({ status, out }).toEqual({ status: 0, out: 'VM 1 job-1 on local: created\nVM 2 job-2 on local: created\n' });
    expect(asked).toEqual([
      {
        name: 'job',
        flavor: 'small',
        image: 'backend',
        count: 2,
        allOrNothing: true,
        ready: { http: { port: 80, path: '/health' } },
        sshKeys: ['ssh-ed25519 AAAA me', 'ssh-rsa BBBB me'],
        userData: '#cloud-config\n',
        placement: { algorithm: 'fifo', host: 'local', labels: { zone: 'b', gpu: 'a=b' }, apart: true },
      },
      expect.stringMatching(/^[0-9a-f-]{36}$/),
    ]);
  });

  it('create: never sends a private key', async () => {
    const { engine, virtscale } = await liveFabric();
    const at = folder({ id: '-----BEGIN OPENSSH PRIVATE KEY-----\n' });
    const ran = await virtscale(`vms create a -f small --ssh-key ${at('id')}`);
    expect(ran).toMatchObject({ status: 2, err: expect.stringContaining('is a private key, which stays where it is') });
    expect(engine.commands).toEqual([]);
  });

  it('create: a refusal names each host with its reason, at once or later', async () => {
    const hosts = [aHost({ name: 'a' }), aHost({ name: 'b', id: 2 })];
    const cordoned = hosts.map((host) => ({ ...host, traits: { ...host.traits, cordoned: 'new disks' } }));
    const { engine, virtscale } = await liveFabric({ hosts: cordoned });
    const later = await virtscale('vms create job -f small');
    expect(later).toMatchObject({ status: 1, out: '' });
    expect(later.err).toMatch(/no host has room now\n {2}a: .*\n {2}b: .*\n$/);
    const choices = [{ name: 'a', chosen: false, text: '128 MiB free' }];
    engine.refusal = { ...FULL, hosts: choices };
    expect(await virtscale('vms create job -f small')).toEqual({
      status: 1,
      out: '',
      err: 'virtscale: no host could ever hold it\n  a: 128 MiB free\n',
    });
  });

  it.each([
    ['start', 'started'],
    ['stop', 'stopped'],
    ['reboot', 'rebooted'],
    ['reset', 'reset'],
    ['pause', 'paused'],
    ['resume', 'resumed'],
    ['shutdown', 'shut down'],
  ])('%s, by id or name, several at once', async (verb, done) => {
    const { engine, virtscale } = await liveFabric({ vms: [aLoneVm(), aLoneVm({ id: 21, name: 'other', uuid: 'u' })] });
    expect(await virtscale(`vms ${verb} lone 21 20`)).toMatchObject({
      status: 0,
      out: `VM 20 lone on local: ${done}\nVM 21 other on local: ${done}\n`,
    });
    expect(engine.commands).toEqual([`${verb} 20`, `${verb} 21`]);
  });

  it('shutdown --grace; a slip in one name changes nothing; one that is refused does not keep others from it', async () => {
    const stopped = aLoneVm({ id: 21, name: 'off', uuid: 'u' }, { state: 'stopped' });
    const { engine, virtscale } = await liveFabric({ vms: [aLoneVm(), stopped] });
    expect(await virtscale('vms shutdown lone off gone --grace 30s')).toMatchObject({ status: 2, out: '' });
    expect(engine.commands).toEqual([]);
    const ran = await virtscale('vms shutdown off lone --grace 30s');
    expect(ran.status).toBe(1);
    expect(ran.out).toBe('VM 20 lone on local: shut down\n');
    expect(ran.err).toContain('virtscale: VM 21: VM 21 does not run\n');
    expect(engine.commands).toEqual(['shutdown 21 grace 30000', 'shutdown 20 grace 30000']);
  });

  it('delete: asks a person, and needs --yes where there is none', async () => {
    const { engine, virtscale } = await liveFabric({ vms: [aLoneVm()] });
    expect(await virtscale('vms delete lone')).toMatchObject({ status: 2, err: expect.stringContaining('say --yes') });
    const no = await virtscale('vms delete lone', { stdin: person('n') });
    expect(no).toMatchObject({ status: 1, out: '' });
    expect(no.err).toContain('Delete 20 lone, with all disks? [y/N]');
    expect(engine.commands).toEqual([]);
    expect(await virtscale('vms delete lone', { stdin: person('y') })).toMatchObject({
      status: 0,
      out: 'VM 20 lone on local: deleted\n',
    });
    expect(engine.commands).toEqual(['delete 20']);
    expect(engine.vm(20)).toBeUndefined();
  });

  it('delete --grace --yes --no-wait --json', async () => {
    const { engine, virtscale } = await liveFabric({ vms: [aLoneVm()] });
    engine.work.pace = 'manual';
    const { status, out } = await virtscale('vms delete 20 --grace 30s --yes --no-wait --json');
    expect([status, JSON.parse(out)]).toMatchObject([0, { kind: 'vm.delete', state: 'running' }]);
    expect(engine.commands).toEqual(['delete 20 grace 30000']);
  });

  it('console: bytes as they came into a pipe, nothing that steers onto a terminal', async () => {
    const { engine, virtscale } = await liveFabric({ vms: [aLoneVm()] });
    engine.consoleText = new TextEncoder().encode('a\tb\r\n\u001b[2Jlogin: ');
    expect((await virtscale('vms console lone')).out).toBe('a\tb\r\n\u001b[2Jlogin: ');
    expect((await virtscale('vms console lone --tail 7')).out).toBe('login: ');
    expect((await virtscale('vms console lone', { stdout: new Collected(true) })).out).toBe('a\tb\n\ufffd[2Jlogin: \n');
    expect(JSON.parse((await virtscale('vms console lone --json')).out)).toMatchObject({ id: 20 });
    expect(await virtscale('vms console 99')).toMatchObject({ status: 2, err: expect.stringContaining('no VM 99') });
  });

  it('addresses, adopt', async () => {
    const { virtscale } = await liveFabric({ vms: [aLoneVm()] });
    expect((await virtscale('vms addresses lone')).out).toMatch(/^10\.0\.2\.15 +agent +eth0 +52:54:00:00:00:14$/m);
    expect(await virtscale('vms adopt local stranger')).toMatchObject({
      status: 0,
      out: 'VM 21 stranger on local: adopted\n',
    });
    expect(await virtscale('vms adopt local nobody')).toMatchObject({
      status: 2,
      err: expect.stringContaining('no domain nobody'),
    });
  });
});

describe('images and flavors', () => {
  it('a file is sent as a stream, with progress', async () => {
    const { engine, virtscale } = await liveFabric();
    const at = folder({ 'disk.raw': new Uint8Array(3 * 1024 * 1024).fill(7) });
    const ran = await virtscale(`images add mine ${at('disk.raw')} --format raw`);
    expect(ran.status).toBe(0);
    expect(ran.out).toMatch(/^image +2 mine\nstate +ready\n/);
    expect(ran.err).toMatch(
      /^sending: 1\.0 MiB of 3\.0 MiB \(33 %\)\n.*\nsent; the daemon checks it: 3\.0 MiB of 3\.0 MiB \(100 %\)\n$/,
    );
    expect(engine.image('mine')).toMatchObject({
      state: 'ready',
      image: { format: 'raw', content: { fileBytes: 3145728 } },
    });
    expect((await virtscale('images')).out).toMatch(/^2 +mine +ready +raw +3\.0 MiB +3\.0 MiB +0 +upload$/m);
    expect((await virtscale(`images add other ${at('disk.raw')} --json`)).err).toBe('');
    expect(await virtscale('images delete mine other')).toMatchObject({
      status: 0,
      out: 'image mine: deleted\nimage other: deleted\n',
    });
    expect(await virtscale('images delete mine')).toMatchObject({ status: 2, out: '' });
  });

  it('what is wrong with a file is told', async () => {
    const { virtscale } = await liveFabric();
    const at = folder({ 'disk.raw': new Uint8Array(1024), empty: '' });
    const other = await virtscale(`images add mine ${at('disk.raw')} --sha256 ${'0'.repeat(64)}`);
    expect(other).toMatchObject({ status: 2, out: '', err: expect.stringContaining('the checksum is ') });
    expect((await virtscale(`images add mine ${at('empty')}`)).err).toContain('is empty');
  });

  it('a name that is taken is refused before gigabytes are sent', async () => {
    const { virtscale } = await liveFabric();
    const at = folder({ 'disk.raw': new Uint8Array(96 * 1024 * 1024) });
    const ran = await virtscale(`images add backend ${at('disk.raw')}`);
    expect(ran).toMatchObject({ status: 1, out: '', err: expect.stringContaining('there is an image backend') });
    expect(ran.err).not.toContain('the daemon checks it');
  });

  it.each([
    ['https://images.example/debian.qcow2', { kind: 'url', url: 'https://images.example/debian.qcow2' }],
    ['root@10.0.0.5:/images/a.img', { kind: 'ssh', user: 'root', host: '10.0.0.5', path: '/images/a.img' }],
    ['nas:/images/a.img', { kind: 'ssh', host: 'nas', path: '/images/a.img' }],
    ['/images/a.img --at daemon', { kind: 'path', path: '/images/a.img' }],
    ['/images/a.img --at hosts', { kind: 'host', path: '/images/a.img' }],
  ])('%s is fetched by the daemon', async (source, asked) => {
    const { engine, virtscale } = await liveFabric();
    expect(await virtscale(`images add mine ${source}`)).toMatchObject({ status: 0, out: 'image mine: imported\n' });
    expect(engine.commands.map((text) => text.replace('import mine ', ''))).toEqual([JSON.stringify(asked)]);
  });

  it('flavors', async () => {
    const { virtscale } = await liveFabric();
    expect((await virtscale('flavors')).out).toMatch(/^2 +medium +2 +512 MiB +10 GiB$/m);
  });
});

describe('operations', () => {
  it('list, show, wait, cancel', async () => {
    const { engine, virtscale } = await liveFabric({ vms: [aLoneVm()] });
    engine.work.pace = 'manual';
    expect((await virtscale('vms create job -f small -i backend --no-wait')).out).toBe(
      'operation op-1 (vm.create): queued\n',
    );
    await virtscale('vms pause lone --no-wait');
    expect((await virtscale('operations')).out).toMatch(
      /^op-2 +vm\.pause +running +20 lone .*\nop-1 +vm\.create +queued /m,
    );
    expect(JSON.parse((await virtscale('operations --kind vm.create --limit 1 --json')).out)).toMatchObject([
      { id: 'op-1' },
    ]);
    expect(JSON.parse((await virtscale('operations --vm 20 --json')).out)).toMatchObject([{ id: 'op-2' }]);
    expect((await virtscale('operations cancel op-1')).out).toBe('operation op-1: queued, cancelling\n');
    engine.work.advance();
    expect(await virtscale('operations wait op-1')).toMatchObject({ status: 1, out: '' });
    expect((await virtscale('operations show op-1')).out).toMatch(
      /^state +cancelled\n(?:.*\n)*HISTORY\n {2}\S+Z {2}verified\n/m,
    );
    expect(await virtscale('operations wait op-2')).toMatchObject({ status: 0, out: 'VM 20 lone on local: paused\n' });
    expect(await virtscale('operations cancel op-2')).toMatchObject({
      status: 1,
      err: expect.stringContaining('has ended'),
    });
    expect(await virtscale('operations show nope')).toMatchObject({ status: 2, out: '' });
  });
});

describe('tokens', () => {
  const admin = tokenFor('root', 'admin');
  const reader = tokenFor('eyes', 'read');

  it('create: the text alone on standard output, once; list and delete', async () => {
    const { engine, virtscale } = await liveFabric({ tokens: [admin.token] });
    const env = { VIRTSCALE_TOKEN: admin.text };
    const made = await virtscale('token create ci --scope operate --expires 90d', { env });
    expect(made).toMatchObject({ status: 0, out: expect.stringMatching(/^vs_\S+\n$/) });
    expect(made.err).toContain('shown once');
    const own = { VIRTSCALE_TOKEN: made.out.trim() };
    expect((await virtscale('vms create job -f small', { env: own })).status).toBe(0);
    expect(engine.vms()[0]?.record.owner).toBe('ci');
    expect((await virtscale('token list', { env })).out).toMatch(/^ci +operate +\S+Z +\S+Z$/m);
    expect((await virtscale('token', { env })).out).toMatch(/^root +admin +\S+Z +never$/m);
    expect((await virtscale('token delete ci', { env })).out).toBe('token ci: deleted\n');
    expect((await virtscale('vms', { env: own })).status).toBe(1);
  });

  it('come from the option, the variable or a file, and are never shown', async () => {
    const { virtscale } = await liveFabric({ tokens: [reader.token] });
    const at = folder({ token: `${reader.text}\n`, empty: '', two: 'a\nb' });
    const status = async (text: string, env: Record<string, string> = {}) => (await virtscale(text, { env })).status;
    expect(await status(`hosts --token ${reader.text}`)).toBe(0);
    expect(await status('hosts', { VIRTSCALE_TOKEN: reader.text })).toBe(0);
    expect(await status('hosts', { VIRTSCALE_TOKEN_FILE: at('token') })).toBe(0);
    expect(await status('events', { VIRTSCALE_TOKEN: reader.text })).toBe(0);
    expect(await status('hosts', { VIRTSCALE_TOKEN_FILE: at('nowhere') })).toBe(2);
    expect(await status('hosts', { VIRTSCALE_TOKEN_FILE: at('empty') })).toBe(2);
    const bad = await virtscale('hosts', { env: { VIRTSCALE_TOKEN: 'my pass\u001bword' } });
    expect(bad).toMatchObject({ status: 2, err: expect.not.stringContaining('word') });
  });

  it('what is missing is said, with the way to it', async () => {
    const { virtscale } = await liveFabric({ tokens: [reader.token] });
    const none = await virtscale('hosts');
    expect(none).toMatchObject({ status: 1, err: expect.stringContaining('VIRTSCALE_TOKEN_FILE') });
    const weak = await virtscale('vms create job -f small', { env: { VIRTSCALE_TOKEN: reader.text } });
    expect(weak).toMatchObject({ status: 1, err: expect.stringContaining('scope operate') });
  });

  it('events --follow shows its token too', async () => {
    const { engine, virtscale } = await liveFabric({ tokens: [reader.token] });
    const [stop, stdout] = [new AbortController(), new Collected()];
    const env = { VIRTSCALE_TOKEN: reader.text };
    const ran = virtscale('events --follow --json', { env, stdout, signal: stop.signal });
    await new Promise((resolve) => setTimeout(resolve, 100));
    engine.log.append({ type: 'breaker.closed', group: 'web' });
    await stdout.until('breaker.closed');
    stop.abort();
    expect((await ran).status).toBe(0);
  });
});

describe('something that is no daemon', () => {
  it('is told apart from one', async () => {
    const server = createServer((_request, response) => response.end('<html>'));
    const url = await listening(server);
    const at = folder({ 'disk.raw': 'x' });
    for (const text of ['vms', 'vms create a -f small', `images add a ${at('disk.raw')}`, 'hosts cordon a -r b']) {
      const ran = await run(`${text} --url ${url}`);
      expect(ran).toMatchObject({ status: 1, out: '', err: expect.stringContaining('is that a virtscale daemon?') });
    }
  });
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
