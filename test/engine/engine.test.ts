// Stories of the engine: each a user could tell, on simulated hosts and time.
// Not here: single rules (test/core), random faults (test/sim), real VMs (test/real).

import { afterEach, describe, expect, it } from 'vitest';
import { SqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts';
import { Fault } from '../../src/ports/fault.ts';
import { inRule, listPolicyOf, outRule, policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const policy = policyOf({ max: 3, rules: [outRule(), inRule({ forMs: 10_000, cooldownMs: 5000 })] });
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

describe('the loop', () => {
  it('launches the minimum, scales out under load, and back in when the load ends, leaving nothing behind', async () => {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    expect(rig.running()).toEqual(['web-1']);

    rig.load(0.95);
    const loadedAtMs = rig.clock.nowMs();
    const decided = await rig.until('decision.made');
    expect(decided).toMatchObject({ decision: { cause: 'rule', rule: 'hot', desiredBefore: 1, desired: 2 } });
    expect(rig.clock.nowMs() - loadedAtMs).toBeLessThanOrEqual(4500);
    expect(await rig.until('vm.launched')).toMatchObject({ vm: { name: 'web-2' }, endpoint: { port: 8080 } });

    rig.load(0.05);
    const draining = await rig.until('vm.draining');
    expect(draining).toMatchObject({ graceMs: policy.drainGraceMs });
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    const removed = await rig.until('vm.removed');
    expect(removed).toMatchObject({ vm: (draining as { vm: object }).vm });
    expect(rig.running()).toHaveLength(1);
    expect(rig.disks()).toHaveLength(1);
    expect(rig.events.map((event) => event.seq)).toEqual(
      rig.events.map((_, index) => (rig.events[0]?.seq ?? 0) + index),
    );
    await rig.stop();
  });

  it('replaces a VM that somebody destroyed', async () => {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    const [domain] = rig.host().domains(rig.clock.nowMs());
    rig.host().strangerRemoves(domain?.uuid ?? '');
    await rig.until('vm.lost');
    await rig.until('vm.launched');
    await rig.run(3);
    expect(rig.running()).toEqual(['web-2']);
    expect(rig.disks()).toEqual(['web-2']);
    await rig.stop();
  });

  it('starts the first listed domain first and never destroys one', async () => {
    const listed = listPolicyOf(
      [
        { name: 'vm2', address: '10.0.0.2' },
        { name: 'vm1', address: '10.0.0.1' },
      ],
      { max: 2 },
    );
    rig = new Rig({ policies: [listed] });
    rig.host().strangerDefines({ uuid: 'a0000000-0000-4000-8000-000000000001', name: 'vm1' });
    rig.host().strangerDefines({ uuid: 'a0000000-0000-4000-8000-000000000002', name: 'vm2' });
    await rig.start();
    expect(await rig.until('vm.launching')).toMatchObject({
      vm: { name: 'vm2', endpoint: { address: '10.0.0.2', port: 80 } },
    });
    await rig.run(1);
    expect(rig.running()).toEqual(['vm2']);
    await rig.stop();
  });
});

describe('what must never be lost', () => {
  it.each([0.05, 0.35, 1.0, 1.002, 1.004, 1.006, 1.5, 2.5])(
    'a daemon killed %d s into a scale-out makes no second VM and leaves no orphan',
    async (seconds) => {
      rig = await new Rig({ policies: [policyOf({ min: 2, max: 2 })] }).start();
      await rig.run(seconds);
      rig.kill();
      await rig.run(5);
      await rig.start();
      await rig.run(30);
      expect(rig.running()).toEqual(['web-1', 'web-2']);
      expect(rig.disks()).toEqual(['web-1', 'web-2']);
      expect(rig.engine.group('web')?.vms.map((vm) => vm.record.phase)).toEqual(['in-service', 'in-service']);
      await rig.stop();
    },
  );

  it('a lost database loses no VM: they are taken back in by their metadata', async () => {
    rig = await new Rig({ policies: [policyOf({ min: 2, max: 2 })] }).start();
    await rig.run(15);
    rig.kill();
    rig.store = new SqliteStore({ path: ':memory:' });
    await rig.start();
    await rig.run(15);
    expect(rig.types().filter((type) => type === 'vm.adopted')).toHaveLength(2);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });

  it('nothing is begun that the store does not have', async () => {
    rig = new Rig({ policies: [policy] });
    const commit = rig.store.commit.bind(rig.store);
    await rig.start();
    rig.store.commit = async () => {
      throw new Fault('refused', 'disk full');
    };
    await rig.run(10);
    expect(rig.running()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    expect(rig.engine.readiness()).toMatchObject({ ready: false, reason: expect.stringContaining('disk full') });
    rig.store.commit = commit;
    await rig.until('vm.launched');
    expect(rig.engine.readiness()).toEqual({ ready: true });
    expect(rig.bugs.splice(0).length).toBeGreaterThan(0);
    await rig.stop();
  });
});

describe('bad days', () => {
  it('three VMs that never become ready open the breaker, which says so and stops launching', async () => {
    rig = new Rig({ policies: [policyOf({ launchDeadlineMs: 10_000 })] });
    rig.host().trouble({ kind: 'never-ready', fromMs: 0 });
    await rig.start();
    const opened = await rig.until('breaker.opened');
    expect(opened).toMatchObject({ group: 'web', failures: 3 });
    expect(rig.types().filter((type) => type === 'vm.failed')).toHaveLength(3);
    const launches = rig.types().filter((type) => type === 'vm.launching').length;
    await rig.run(25);
    expect(rig.types().filter((type) => type === 'vm.launching')).toHaveLength(launches);
    expect(rig.disks()).toEqual([]);
    rig.host().heal(rig.clock.nowMs());
    await rig.until('breaker.closed');
    await rig.stop();
  });

  it('one hung host costs the others a single short wait and nothing of its own VMs', async () => {
    rig = await new Rig({ hosts: ['h1', 'h2'], policies: [policyOf({ min: 2, max: 4 })] }).start();
    await rig.run(10);
    expect(rig.running()).toHaveLength(2);
    rig.turnSeconds.length = 0;
    rig.host('h2').trouble({ kind: 'hang', fromMs: rig.clock.nowMs() });
    const unreachable = await rig.until('host.unreachable', 15);
    expect(unreachable).toMatchObject({ host: 'h2' });
    await rig.run(20);
    expect(rig.turnSeconds.filter((seconds) => seconds > 0.1)).toHaveLength(1);
    expect(rig.running()).toHaveLength(2);
    rig.host('h2').heal(rig.clock.nowMs());
    await rig.until('host.up', 30);
    expect(rig.types().filter((type) => type === 'vm.lost')).toEqual([]);
    await rig.stop();
  });

  it('an image that is absent fails the launch with the reason', async () => {
    rig = new Rig({ policies: [policy] });
    rig.host().setImage('/images/backend.qcow2', 'absent');
    await rig.start();
    expect(await rig.until('vm.failed')).toMatchObject({ reason: expect.stringContaining('/images/backend.qcow2') });
    await rig.stop();
  });
});

describe('commands', () => {
  it('desired moves the group within its limits, and is refused beyond them', async () => {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    expect(await rig.engine.setDesired('web', 4)).toMatchObject({ ok: false, refused: 'invalid' });
    expect(await rig.engine.setDesired('nope', 1)).toMatchObject({ ok: false, refused: 'not-found' });
    expect(await rig.engine.setDesired('web', 3)).toMatchObject({ ok: true });
    await rig.run(10);
    expect(rig.running()).toEqual(['web-1', 'web-2', 'web-3']);
    await rig.stop();
  });

  it('a paused group launches nothing until it is resumed', async () => {
    rig = await new Rig({ policies: [policyOf({ max: 3, rules: [] })] }).start();
    await rig.until('vm.launched');
    await rig.engine.pause('web');
    await rig.engine.setDesired('web', 3);
    await rig.run(10);
    expect(rig.running()).toEqual(['web-1']);
    await rig.engine.resume('web');
    await rig.run(10);
    expect(rig.running()).toHaveLength(3);
    await rig.stop();
  });
});
