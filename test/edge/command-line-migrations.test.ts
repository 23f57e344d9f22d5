// Where VMs are and go, from the command line, against a live edge over an engine in memory.

import { describe, expect, it } from 'vitest';
import { liveFabric } from './command-runner.ts';
import { aHost, aLoneVm } from './fake-engine.ts';

const world = () => liveFabric({ vms: [aLoneVm()], hosts: [aHost(), aHost({ name: 'far', id: 2 })] });

describe('vms migrate', () => {
  it('asks for what was said, and waits for the end', async () => {
    const { engine, virtscale } = await world();
    const done = await virtscale('vms migrate lone --to far --bandwidth 50 --timeout 120 --copy-storage');
    expect(done).toMatchObject({ status: 0, out: expect.stringMatching(/^VM 20 lone on far: moved$/m) });
    const asked = { bandwidthMiBps: 50, copyStorage: true, host: 'far', timeoutMs: 120_000 };
    const [, text] = /^migrate 20 (.*)$/.exec(engine.commands.at(-1) ?? '') ?? [];
    expect(JSON.parse(text ?? '{}')).toEqual(asked);
  });

  it.each([
    ['vms migrate lone --to nowhere', /there is no host nowhere/],
    ['vms migrate lone --to local', /is on host local already/],
    ['vms migrate else', /no VM named/],
    ['vms migrate lone --copy-storage --shared-storage', /choose one of/],
    ['vms migrate lone --timeout soon', /must be whole seconds|not a duration/],
    ['vms migrate lone --bandwidth fast', /bandwidth/],
  ])('%s says what is wrong', async (line, why) => {
    const { virtscale } = await world();
    const done = await virtscale(line);
    expect(done.status).not.toBe(0);
    expect(done.err).toMatch(why);
  });
});

describe('where', () => {
  it('tells the host of a VM by name, id and address', async () => {
    const { virtscale } = await world();
    for (const text of ['lone', '20', '127.0.1.20']) {
      expect((await virtscale(`where ${text}`)).out, text).toMatch(/^20 +lone +local +running/m);
    }
    expect(JSON.parse((await virtscale('where lone --json')).out)).toMatchObject([{ id: 20, host: 'local' }]);
    expect(await virtscale('where nobody')).toMatchObject({ status: 1, err: expect.stringContaining('nobody') });
  });
});

describe('hosts', () => {
  it('are drained and undrained', async () => {
    const { engine, virtscale } = await world();
    expect(await virtscale('hosts drain far')).toMatchObject({ status: 0 });
    expect(engine.commands.at(-1)).toBe('drain far');
    expect((await virtscale('hosts undrain far')).out).toBe('far takes VMs again\n');
    expect((await virtscale('hosts drain nowhere')).status).not.toBe(0);
  });

  it('are rebalanced, or it is listed what that would move', async () => {
    const { engine, virtscale } = await world();
    expect((await virtscale('hosts rebalance --dry-run')).out).toBe('Nothing to move.\n');
    const reason = 'host local has 95 % of its CPUs in use';
    engine.migrations.moves = [{ vmId: 20, name: 'lone', from: 'local', to: 'far', reason }];
    expect((await virtscale('hosts rebalance --dry-run')).out).toMatch(/^20 +lone +local +far .*95 %/m);
    expect((await virtscale('hosts rebalance')).out).toMatch(/^20 +lone +local +far +op-1 /m);
  });
});
