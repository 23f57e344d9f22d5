// The commands about groups against a live edge: why, their size, suspending, refreshing, metrics; and what people say about VMs.

import { describe, expect, it } from 'vitest';
import { liveFabric } from './command-runner.ts';
import { aFullGroup } from './full-group.ts';
import { aDecision, aGroup, clock, NOW_MS } from './pictures.ts';

const GROUPS = { groups: [aGroup(), aFullGroup()] };

describe('why', () => {
  it('is one paragraph, then the record', async () => {
    const { virtscale } = await liveFabric(GROUPS);
    const { status, out } = await virtscale('why web');
    expect(status).toBe(0);
    const [first, second] = out.split('\n');
    expect(first).toBe(`${clock.wallOf(NOW_MS)}  web`);
    expect(second).toBe('web has 2 VMs because: hot: CPU 91 % above 75 % for 3 s, so 1 → 2');
    expect(out).toContain('SIZE\n  1 → 2, by rule hot\n');
    expect(out).toContain('  rules: 1 → 2: hot adds 1 VM\n');
    expect(out).toContain('RULES\n  hot (fires, cpu 91.2 % against 75 %): CPU 91 % has been above 75 % for 3 s\n');
    expect(out).toContain('→ local: the only host');
    expect(out).toContain('ACTIONS\n  launch: host local\n');
  });

  it('shows what there is and leaves out what there is not', async () => {
    const { virtscale } = await liveFabric(GROUPS);
    const { out } = await virtscale('why all');
    expect(out).toContain('jobs (no-data, posted jobs – against –): nobody has posted jobs for 60 s');
    expect(out).toContain('office (idle): not before Monday');
    expect(out).toContain('REFRESH\n  1 of 3: one of three VMs is of the new template\n');
    expect(out).toContain('  drain: vmId 9, reason idle, because unhealthy, atOnce true\n');
    expect((await virtscale('why web')).out).not.toMatch(/REFRESH|LIMITS|VMS TO REMOVE/);
  });

  it('of a past moment, and as JSON', async () => {
    const past = {
      ...aDecision({ atMs: NOW_MS - 60_000, text: 'was idle' }),
      id: 'd-1',
      at: clock.wallOf(NOW_MS - 60_000),
    };
    const { virtscale } = await liveFabric({ ...GROUPS, decisions: [past] });
    const at = clock.wallOf(NOW_MS - 30_000).replace('Z', '+00:00');
    const why = JSON.parse((await virtscale(`why web --json --at ${at}`)).out);
    expect(why).toMatchObject({ at: past.at, decision: { id: 'd-1', text: 'was idle' } });
    expect(why.text).toContain('was idle');
    expect(await virtscale('why web --at 2000-01-01T00:00:00Z')).toMatchObject({ status: 2, out: '' });
    expect((await virtscale('why web --at yesterday')).err).toContain('must be an RFC 3339 time');
    expect(await virtscale('why none')).toEqual({ status: 2, out: '', err: 'virtscale: there is no group "none"\n' });
  });
});

describe('groups', () => {
  it('list and show', async () => {
    const { virtscale } = await liveFabric(GROUPS);
    expect((await virtscale('groups')).out).toMatch(/^all +launches stopped +1\/2 /m);
    const { out } = await virtscale('groups show all');
    expect(out).toMatch(/^capacity +fork, 1 paused, 2 saved, 3 stopped$/m);
    expect(out).toMatch(/^removal +by label priority$/m);
    expect(out).toMatch(/^refresh +paused, 1 of 3: a third is done$/m);
    expect(out).toMatch(/^gentler +3 +1–4 /m);
    expect(out).toMatch(/^far +impossible +– +the save file is compressed$/m);
    expect((await virtscale('groups suspnd web')).err).toContain('suspend');
  });

  it('suspend adds to what is suspended, unsuspend takes away; others’ are kept', async () => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    expect((await virtscale('groups suspend all launch')).out).toContain('all: ');
    expect(engine.group('all')?.memory.suspended).toEqual(['launch', 'remove']);
    await virtscale('groups unsuspend all remove schedule');
    expect(engine.group('all')?.memory.suspended).toEqual(['launch']);
    expect((await virtscale('groups suspend web health --json')).out).toContain('"suspended": [\n    "health"\n  ]');
    await virtscale('groups unsuspend web');
    expect(engine.group('web')?.memory.suspended).toEqual([]);
    expect(await virtscale('groups suspend web')).toMatchObject({ status: 2 });
    expect((await virtscale('groups suspend web sleep')).err).toContain('Allowed choices are launch, remove, health');
    expect(await virtscale('groups suspend none launch')).toMatchObject({ status: 2 });
  });

  it('begins anew when somebody else changes the group in between', async () => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    let others = 2;
    const group = engine.group.bind(engine);
    engine.group = (name) => {
      const now = group(name);
      // Each reading shows another size than the writing right after it.
      if (others > 0 && name === 'web') others -= 1;
      return now && { ...now, memory: { ...now.memory, desired: 1 + others } };
    };
    expect(await virtscale('groups suspend web launch')).toMatchObject({ status: 0, err: '' });
    let size = 0;
    engine.group = (name) => {
      const now = group(name);
      size += 1;
      return now && { ...now, memory: { ...now.memory, desired: size } };
    };
    expect(await virtscale('groups suspend web remove')).toMatchObject({
      status: 1,
      err: expect.stringContaining('at the same time'),
    });
  });

  it('size, pause, resume and refresh', async () => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    expect((await virtscale('groups size web 3')).out).toBe('web: active, 3 VMs wanted\n');
    expect(await virtscale('groups size web 9')).toMatchObject({ status: 1, out: '' });
    expect((await virtscale('groups pause web')).out).toContain('web: paused');
    expect((await virtscale('groups resume web')).out).toContain('web: active');
    for (const verb of ['pause', 'resume', 'rollback', 'cancel']) {
      expect(await virtscale(`groups refresh all ${verb}`)).toMatchObject({ status: 0, err: '' });
    }
    expect(engine.commands.slice(-4)).toEqual(
      ['pause', 'resume', 'rollback', 'cancel'].map((verb) => `refresh all ${verb}`),
    );
    expect((await virtscale('groups refresh web pause')).err).toBe('virtscale: no refresh of web is under way\n');
    expect(await virtscale('groups refresh web begin')).toMatchObject({ status: 2 });
  });
});

describe('metrics post', () => {
  it('sends a number, also a negative one, of the group or of a VM', async () => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    expect((await virtscale('metrics post all jobs 17')).out).toBe('all: jobs is 17\n');
    expect((await virtscale('metrics post all jobs -1.5e2 --vm 9')).out).toBe('all, VM 9: jobs is -150\n');
    expect(JSON.parse((await virtscale('metrics post all jobs 1 --json')).out)).toEqual({
      group: 'all',
      metric: 'jobs',
      value: 1,
    });
    expect(engine.commands).toEqual([
      'post all {"name":"jobs","value":17}',
      'post all {"name":"jobs","value":-150,"vmId":9}',
      'post all {"name":"jobs","value":1}',
    ]);
  });

  it.each(['NaN', 'Infinity', '1e999', '0x10', '1,5', ''])('refuses %j', async (value) => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    const ran = await virtscale('', { arguments: ['metrics', 'post', 'all', 'jobs', value] });
    expect(ran).toMatchObject({ status: 2, out: '' });
    expect(engine.commands).toEqual([]);
  });

  it('tells what the daemon refuses', async () => {
    const { virtscale } = await liveFabric(GROUPS);
    expect(await virtscale('metrics post web jobs 1')).toMatchObject({ status: 1 });
    expect(await virtscale('metrics post none jobs 1')).toMatchObject({ status: 2 });
  });
});

describe('what people say about VMs', () => {
  it('protects and unprotects, several at once', async () => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    expect((await virtscale('vms protect 7 all-10')).out).toBe(
      'VM 7 web-7: protected: its policy never removes it\nVM 10 all-10: protected: its policy never removes it\n',
    );
    expect(engine.vm(10)?.record.isProtected).toBe(true);
    expect((await virtscale('vms')).out).toMatch(/^7 +web-7 .* protected$/m);
    expect((await virtscale('vms unprotect 7')).out).toBe('VM 7 web-7: not protected any more\n');
    expect(JSON.parse((await virtscale('vms protect 7 --json')).out)).toMatchObject([{ id: 7, protected: true }]);
    expect(await virtscale('vms protect 7 none')).toMatchObject({ status: 2 });
  });

  it('labels: sets some, takes some away, leaves the others', async () => {
    const { virtscale, engine } = await liveFabric(GROUPS);
    expect((await virtscale('vms label all-9 team=a=b')).out).toBe('VM 9 all-9: priority=3, team=a=b\n');
    expect((await virtscale('vms label 9 priority- team=c')).out).toBe('VM 9 all-9: team=c\n');
    expect((await virtscale('vms label 9 team-')).out).toBe('VM 9 all-9: no labels\n');
    expect(engine.vm(9)?.record.labels).toEqual({});
    expect(await virtscale('vms label 9 nothing')).toMatchObject({ status: 2 });
    expect((await virtscale('vms label 9 a b=')).err).toContain('"a" is neither KEY=VALUE nor KEY-');
    expect(await virtscale('vms label 9 -x=1')).toMatchObject({ status: 2 });
  });

  it('shows them with the way it was launched', async () => {
    const { virtscale } = await liveFabric(GROUPS);
    const { out } = await virtscale('vms show 9');
    expect(out).toMatch(/^phase +standby since/m);
    expect(out).toMatch(/^launched by +saved$/m);
    expect(out).toMatch(/^labels +priority=3$/m);
  });
});
