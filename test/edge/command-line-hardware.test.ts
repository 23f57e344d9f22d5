// What a VM is made of, from the command line, against a live edge over an engine in memory. Not here: the rest of `vms`.

import { describe, expect, it } from 'vitest';
import { liveFabric } from './command-runner.ts';
import { aLoneVm } from './fake-engine.ts';

const world = () => liveFabric({ vms: [aLoneVm()] });

describe('vms hardware', () => {
  it('shows what it has, what it can have, and its cards', async () => {
    const { virtscale } = await world();
    const { out } = await virtscale('vms hardware lone');
    expect(out).toMatch(/^vCPUs +1, at most 4 without a restart$/m);
    expect(out).toMatch(/^memory +128 MiB, at most 1024 MiB without a restart$/m);
    expect(out).toMatch(/^disk +1024 MiB$/m);
    expect(JSON.parse((await virtscale('vms hardware 20 --json')).out)).toMatchObject({
      now: { vcpus: 1 },
      freeSlots: 1,
    });
    expect((await virtscale('vms nic list lone')).out).toMatch(/^MAC .*\n52:54:00:00:00:01 +forward +– +there$/m);
  });
});

describe('vms resize', () => {
  it('asks for what was said, and waits for the end', async () => {
    const { engine, virtscale } = await world();
    const done = await virtscale('vms resize lone --vcpus 2 --memory 512M --disk 4G');
    expect(done).toMatchObject({ status: 0, out: expect.stringMatching(/^VM 20 lone on local: changed$/m) });
    expect(engine.commands.at(-1)).toBe('resize 20 {"vcpus":2,"memoryMiB":512,"diskGiB":4}');
    expect((await virtscale('vms hardware lone')).out).toMatch(/^vCPUs +2/m);
  });

  it('says what needs a restart, and lets it be said', async () => {
    const { virtscale } = await world();
    expect(await virtscale('vms resize lone --memory 8G')).toMatchObject({
      status: 1,
      err: expect.stringContaining('it needs a restart'),
    });
    expect((await virtscale('vms resize lone --memory 8G --restart')).status).toBe(0);
  });

  it.each([
    ['vms resize lone', /nothing to change/],
    ['vms resize lone --disk 1536M', /whole GiB/],
    ['vms resize lone --memory 512', /not a size/],
    ['vms resize lone --vcpus 0', /at least 1/],
    ['vms resize else --vcpus 2', /no VM named/],
  ])('%s is refused before anything is done', async (line, why) => {
    const { engine, virtscale } = await world();
    expect(await virtscale(line)).toMatchObject({ status: 2, err: expect.stringMatching(why) });
    expect(engine.commands).toEqual([]);
  });
});

describe('vms nic', () => {
  it('adds a card and takes it away', async () => {
    const { virtscale } = await world();
    expect((await virtscale('vms nic add lone')).out).toContain('network card added');
    expect((await virtscale('vms nic list lone')).out).toContain('52:54:00:00:00:02');
    expect((await virtscale('vms nic remove lone 52:54:00:00:00:02')).out).toContain('network card removed');
    expect(await virtscale('vms nic remove lone 52:54:00:00:00:01')).toMatchObject({
      status: 1,
      err: expect.stringContaining('reached by'),
    });
  });
});
