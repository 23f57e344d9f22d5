// `virtscale snapshot` against a live edge over an engine in memory.

import { describe, expect, it } from 'vitest';
import { liveFabric } from './command-runner.ts';
import { aLoneVm } from './fake-engine.ts';

const VMS = [aLoneVm(), aLoneVm({ id: 21, name: 'other', uuid: 'u' })];

describe('snapshot', () => {
  it('is taken by name, of several together, and told in one line each', async () => {
    const { engine, virtscale } = await liveFabric({ vms: VMS });
    const words = ['snapshot', 'create', 'lone', 'good', '--description', 'before it', '--keep', '3'];
    expect(await virtscale('', { arguments: words })).toMatchObject({
      status: 0,
      out: 'VM 20 lone: snapshot good (internal, with memory, application-consistent)\n',
    });
    const both = await virtscale('snapshot create lone both --with other --no-memory --quiesce --kind external');
    expect(both.out.split('\n')).toEqual([
      'VM 20 lone: snapshot both (external, disk only, filesystem-consistent)',
      'VM 21 other: snapshot both (external, disk only, filesystem-consistent)',
      '',
    ]);
    expect(engine.commands).toEqual([
      'snapshot.create 20 {"name":"good","memory":true,"kind":"internal","keep":{"count":3}}',
      'snapshot.create 20,21 {"name":"both","memory":false,"kind":"external"}',
    ]);
    expect(await virtscale('snapshot create lone good')).toMatchObject({
      status: 1,
      err: expect.stringContaining('already'),
    });
    expect(await virtscale('snapshot create lone x --kind other')).toMatchObject({ status: 2 });
    expect(await virtscale('snapshot create lone ../x')).toMatchObject({ status: 2 });
    expect(await virtscale('snapshot create nobody x')).toMatchObject({ status: 2 });
  });

  it('is listed as a tree', async () => {
    const { engine, virtscale } = await liveFabric({ vms: VMS });
    expect((await virtscale('snapshot list lone')).out).toBe('No snapshots.\n');
    const one = (name: string, parent?: string) =>
      ({
        name,
        ...(parent !== undefined && { parent }),
        isCurrent: name === 'c',
        kind: 'internal',
        hasMemory: true,
        state: 'running',
        consistency: 'application',
        createdAt: '2026-11-21T06:00:00Z',
      }) as const;
    engine.snapshots.put(20, one('a'), one('b', 'a'), one('c', 'b'), one('d', 'a'), one('e'));
    const { out } = await virtscale('snapshot list lone');
    expect(out.split('\n').map((line) => line.split('  2026')[0]?.trimEnd())).toEqual([
      expect.stringMatching(/^SNAPSHOT +TAKEN/),
      'a',
      '├─ b',
      '│  └─ c',
      '└─ d',
      'e',
      '',
    ]);
    expect(out).toMatch(/└─ c .* current/);
    expect(JSON.parse((await virtscale('snapshot list lone --json')).out)).toHaveLength(5);
    expect((await virtscale('snapshot show lone c')).out).toMatch(/^parent +b$/m);
    expect(await virtscale('snapshot show lone z')).toMatchObject({ status: 2 });
  });

  it('is gone back to and deleted, after a question', async () => {
    const { engine, virtscale } = await liveFabric({ vms: VMS });
    await virtscale('snapshot create lone good');
    expect(await virtscale('snapshot revert lone good')).toMatchObject({
      status: 2,
      err: expect.stringContaining('-y'),
    });
    expect(await virtscale('snapshot revert lone good -y --power stopped')).toMatchObject({
      status: 0,
      out: 'VM 20 lone on local: back at the snapshot\n',
    });
    expect(await virtscale('snapshot delete lone good --yes')).toMatchObject({
      status: 0,
      out: 'VM 20 lone on local: snapshot deleted\n',
    });
    expect(await virtscale('snapshot delete lone good --yes')).toMatchObject({ status: 2 });
    expect(engine.commands.slice(1, 3)).toEqual([
      'snapshot.revert 20 good {"power":"stopped"}',
      'snapshot.delete 20 good',
    ]);
  });
});
