// A template changes under a group that lives: how its VMs are replaced. Not here: everything at random (decide.property).

import { describe, expect, it } from 'vitest';
import type { Decision } from '../../src/core/decision.ts';
import type { Image } from '../../src/core/model.ts';
import type { Policy, Refresh } from '../../src/core/policy.ts';
import { noteRefreshFailure } from '../../src/core/refresh.ts';
import { cancelRefresh, pauseRefresh, resumeRefresh, rollbackRefresh } from '../../src/core/refresh-verbs.ts';
import { madeFrom, templateBehind, templateKey } from '../../src/core/template-match.ts';
import { IMAGE, memoryOf, policyOf, READY, recordOf, SMALL } from './builders.ts';
import { SmallWorld } from './small-world.ts';

const NEW_IMAGE: Image = { ...IMAGE, path: '/images/backend-2.qcow2' };
const BEFORE = { image: IMAGE, flavor: SMALL, ready: READY };
const AFTER = { ...BEFORE, image: NEW_IMAGE };

const REFRESH: Refresh = { surge: 1, unavailable: 0, checkpoints: [], pauseMs: 0, failures: 2, onFailure: 'rollback' };

function withTemplate(policy: Policy, template: typeof BEFORE): Policy {
  return { ...policy, source: { kind: 'template', template } };
}

/** A group of so many VMs of the old template, and a policy that has just got the new one. */
function outdatedGroup(desired: number, refresh: Partial<Refresh> = {}, over: Partial<Policy> = {}): SmallWorld {
  const policy = policyOf({ min: 1, max: desired, rules: [], refresh: { ...REFRESH, ...refresh }, ...over });
  const world = new SmallWorld(policy, { desired });
  world.turns(5);
  if (world.serving().length !== desired) throw new Error('the group did not come up');
  world.policy = withTemplate(world.policy, AFTER);
  return world;
}

const isOver = (world: SmallWorld) => (decision: Decision) =>
  world.durable.refresh === undefined && decision.refresh === undefined;

const images = (world: SmallWorld) => world.serving().map(({ image }) => image?.path);

describe('a rolling refresh', () => {
  it.each<[string, Partial<Refresh>, number]>([
    ['one more at a time', {}, 4],
    ['two more at a time', { surge: 2 }, 5],
    ['one fewer at a time', { surge: 0, unavailable: 1 }, 3],
    ['one more and one fewer', { surge: 1, unavailable: 1 }, 4],
  ])('replaces all, %s, whether the group is at its maximum or could grow', (_name, refresh, mostExist) => {
    for (const max of [3, 9]) replacesAll(outdatedGroup(3, refresh, { max }), refresh, mostExist);
  });

  function replacesAll(world: SmallWorld, refresh: Partial<Refresh>, mostExist: number): void {
    let [least, most] = [3, 3];
    world.turns(200, (decision) => {
      least = Math.min(least, world.serving().length);
      most = Math.max(most, world.records.length);
      return isOver(world)(decision);
    });
    expect(images(world)).toEqual([NEW_IMAGE.path, NEW_IMAGE.path, NEW_IMAGE.path]);
    expect(world.durable).not.toHaveProperty('refresh');
    expect(least).toBe(3 - (refresh.unavailable ?? 0));
    expect(most).toBe(mostExist);
  }

  it('tells how far it is, and says so in the decision', () => {
    const world = outdatedGroup(2);
    const first = world.turn();
    expect(first).toMatchObject({ cause: 'refresh', refresh: { done: 0, total: 2 } });
    expect(first.text).toBe('Launching 1 VM on host h3. Refresh: 0 of 2 VMs replaced.');
    const drained = world.turns(10, ({ actions }) => actions.some(({ kind }) => kind === 'drain')).at(-1);
    expect(drained?.actions).toEqual([
      { kind: 'drain', group: 'web', vmId: 2, reason: 'refresh: made from another template', because: 'refresh' },
    ]);
    expect(drained?.text).toContain('Replacing web-2.');
    expect(world.turns(100, isOver(world)).map(({ refresh }) => refresh?.done)).toContain(1);
  });

  it('does not begin where the policy does not ask for it, nor where nothing is outdated', () => {
    const { refresh: _none, ...silent } = policyOf({ rules: [] });
    const world = new SmallWorld(silent, { desired: 2 });
    world.turns(5);
    world.policy = withTemplate(world.policy, AFTER);
    expect(world.turns(5).flatMap(({ actions }) => actions)).toEqual([]);
    const renamed = outdatedGroup(2);
    renamed.policy = withTemplate(renamed.policy, { ...BEFORE, ready: { ...READY } });
    expect(renamed.turns(5).flatMap(({ actions }) => actions)).toEqual([]);
  });

  it('leaves protected VMs', () => {
    const world = outdatedGroup(2);
    world.change(1, { isProtected: true });
    const decisions = world.turns(100, isOver(world));
    expect(images(world).toSorted()).toEqual([NEW_IMAGE.path, IMAGE.path].toSorted());
    expect(decisions[0]?.refresh?.text).toBe('Refresh: 0 of 1 VM replaced. 1 VM protected: left as they are.');
  });

  it('rests at its checkpoints', () => {
    const world = outdatedGroup(4, { checkpoints: [0.5], pauseMs: 30_000 });
    world.turns(100, () => world.durable.refresh?.state === 'paused');
    const pausedAtMs = world.nowMs;
    expect(world.durable.refresh).toMatchObject({ passed: 1, resumeAtMs: pausedAtMs + 30_000 });
    const quiet = world.turns(29).flatMap(({ actions }) => actions);
    expect(quiet.filter((action) => action.kind === 'drain' && action.because === 'refresh')).toEqual([]);
    expect(images(world).filter((path) => path === IMAGE.path)).toHaveLength(2);
    world.turns(100, isOver(world));
    expect(world.nowMs).toBeGreaterThan(pausedAtMs + 30_000);
    expect(new Set(images(world))).toEqual(new Set([NEW_IMAGE.path]));
  });

  it('goes back when too many launches fail, and stays there until another template comes', () => {
    const world = outdatedGroup(3, { failures: 2 });
    let bad = 0;
    world.fails = ({ image }) => {
      bad += image?.path === NEW_IMAGE.path ? 1 : 0;
      // The first is well: there is something to take back.
      return image?.path === NEW_IMAGE.path && bad > 1;
    };
    const decisions = world.turns(200, () => world.durable.refresh?.rolledBack === true);
    expect(world.durable.refresh).toMatchObject({ state: 'stopped', reason: '2 VMs of the new template failed' });
    expect(new Set(images(world))).toEqual(new Set([IMAGE.path]));
    expect(images(world)).toHaveLength(3);
    const previous = decisions.flatMap(({ actions }) => actions).filter((action) => 'template' in action);
    expect(previous.length).toBeGreaterThan(0);
    expect(world.turns(50).flatMap(({ actions }) => actions)).toEqual([]);
    // A VM that is lost is replaced by one that works.
    world.records = world.records.slice(1);
    world.turns(10);
    expect(images(world)).toEqual([IMAGE.path, IMAGE.path, IMAGE.path]);
    world.fails = () => false;
    world.policy = withTemplate(world.policy, { ...AFTER, flavor: { ...SMALL, memoryMiB: 256 } });
    world.turns(100, isOver(world));
    expect(new Set(images(world))).toEqual(new Set([NEW_IMAGE.path]));
  });

  it('stops when told to, with what serves left alone', () => {
    const world = outdatedGroup(3, { onFailure: 'stop', failures: 1 });
    world.fails = () => true;
    const decisions = world.turns(30);
    expect(decisions.at(-1)?.refresh?.text).toBe('Refresh stopped (1 VM of the new template failed).');
    expect(images(world)).toEqual([IMAGE.path, IMAGE.path, IMAGE.path]);
  });

  it('begins anew when the template changes on the way, and still knows what to go back to', () => {
    const world = outdatedGroup(3);
    world.turns(4);
    world.policy = withTemplate(world.policy, { ...AFTER, flavor: { ...SMALL, vcpus: 2 } });
    world.turn();
    expect(world.durable.refresh).toMatchObject({ state: 'running', from: BEFORE });
    world.turns(100, isOver(world));
    expect(world.serving().map(({ flavor }) => flavor?.vcpus)).toEqual([2, 2, 2]);
  });

  it('replaces VMs that are all ill, although none serves', () => {
    const world = outdatedGroup(3);
    for (const { id } of world.serving()) world.sick.add(id);
    world.turns(100, isOver(world));
    expect(images(world)).toEqual([NEW_IMAGE.path, NEW_IMAGE.path, NEW_IMAGE.path]);
  });

  it('waits while launching or removing is suspended', () => {
    const world = outdatedGroup(2);
    world.durable = { ...world.durable, suspended: ['remove'] };
    expect(world.turns(10).flatMap(({ actions }) => actions)).toEqual([]);
    world.durable = { ...world.durable, suspended: [] };
    world.turns(100, isOver(world));
    expect(new Set(images(world))).toEqual(new Set([NEW_IMAGE.path]));
  });

  it('makes standbys of the new template, too', () => {
    const capacity = { fork: false, paused: 1, saved: 0, stopped: 0 };
    const world = new SmallWorld(policyOf({ max: 4, rules: [], refresh: REFRESH, capacity }), { desired: 2 });
    world.turns(10);
    expect(world.waiting()).toHaveLength(1);
    world.policy = withTemplate(world.policy, AFTER);
    const woken = world.turns(100, isOver(world)).flatMap(({ actions }) => actions);
    expect(woken.filter(({ kind }) => kind === 'wake')).toEqual([]);
    world.turns(10);
    expect(world.waiting().map(({ image }) => image?.path)).toEqual([NEW_IMAGE.path]);
  });
});

describe('what people tell a refresh', () => {
  it('pause and resume', () => {
    const world = outdatedGroup(3);
    world.turn();
    const paused = pauseRefresh(world.durable);
    if (!paused.ok) throw new Error(paused.reason);
    world.durable = paused.durable;
    const refreshing = world
      .turns(60)
      .flatMap(({ actions }) => actions)
      .filter(({ kind }) => kind === 'drain');
    expect(refreshing).toEqual([]);
    expect(pauseRefresh(world.durable)).toEqual({ ok: true, durable: world.durable });
    const resumed = resumeRefresh(world.durable);
    if (!resumed.ok) throw new Error(resumed.reason);
    world.durable = resumed.durable;
    world.turns(100, isOver(world));
    expect(new Set(images(world))).toEqual(new Set([NEW_IMAGE.path]));
  });

  it('go back', () => {
    const world = outdatedGroup(3);
    world.turns(8);
    const back = rollbackRefresh(world.durable);
    if (!back.ok) throw new Error(back.reason);
    world.durable = back.durable;
    world.turns(100, () => world.durable.refresh?.rolledBack === true);
    expect(images(world)).toEqual([IMAGE.path, IMAGE.path, IMAGE.path]);
    expect(rollbackRefresh(world.durable)).toEqual({ ok: false, reason: 'The refresh went back already.' });
  });

  it('cancel', () => {
    const world = outdatedGroup(3);
    world.turns(8);
    const cancelled = cancelRefresh(world.durable);
    if (!cancelled.ok) throw new Error(cancelled.reason);
    world.durable = cancelled.durable;
    world.turns(20);
    expect(new Set(images(world))).toEqual(new Set([IMAGE.path, NEW_IMAGE.path]));
    expect(images(world)).toHaveLength(3);
    expect(cancelRefresh(world.durable)).toEqual({
      ok: false,
      reason: 'The refresh cannot be cancelled: it is stopped.',
    });
  });

  it('nothing, when none is under way', () => {
    const { durable } = memoryOf();
    for (const verb of [pauseRefresh, resumeRefresh, rollbackRefresh, cancelRefresh]) {
      expect(verb(durable)).toEqual({ ok: false, reason: 'No refresh is under way.' });
    }
  });
});

describe('templates', () => {
  const direct = { kernel: '/k', initrd: '/i', args: 'quiet' };
  const content = { sha256: 'aa', fileBytes: 1, virtualBytes: 2 };

  it('are told apart by what guests are made of', () => {
    const others = [
      AFTER,
      { ...BEFORE, flavor: { ...SMALL, memoryMiB: 256 } },
      { ...BEFORE, flavor: { ...SMALL, maxVcpus: 9 } },
      { ...BEFORE, flavor: { ...SMALL, spareNics: 1 } },
      { ...BEFORE, image: { ...IMAGE, direct } },
      { ...BEFORE, setup: { sshKeys: ['ssh-ed25519 AAAA me'] } },
      { ...BEFORE, image: { name: 'x', format: 'qcow2', content } as const },
    ];
    expect(new Set([BEFORE, ...others].map(templateKey)).size).toBe(others.length + 1);
    expect(templateKey({ ...BEFORE, ready: { tcp: { port: 1 } }, setup: { sshKeys: [] } })).toBe(templateKey(BEFORE));
    expect(templateKey({ ...BEFORE, image: { ...IMAGE, name: 'other' } })).toBe(templateKey(BEFORE));
    // No room above, said or not, is the same.
    const said = { ...SMALL, maxVcpus: SMALL.vcpus, maxMemoryMiB: SMALL.memoryMiB, spareNics: 0 };
    expect(templateKey({ ...BEFORE, flavor: said })).toBe(templateKey(BEFORE));
  });

  it('can be read off the VMs made from them', () => {
    const record = recordOf(1, { cloudInit: { hostname: 'web-1', sshKeys: ['k'] } });
    expect(templateBehind(record)).toEqual({ ...BEFORE, setup: { sshKeys: ['k'] } });
    expect(madeFrom(record, { ...BEFORE, setup: { sshKeys: ['k'] } })).toBe(true);
    expect(madeFrom(record, { ...BEFORE, setup: { sshKeys: ['other'] } })).toBe(false);
    expect(madeFrom(record, BEFORE)).toBe(false);
    expect(madeFrom(recordOf(1), AFTER)).toBe(false);
    expect(madeFrom(recordOf(1, { kind: 'existing' }), AFTER)).toBe(true);
  });

  it('count failures of their own launches alone', () => {
    const refresh = {
      to: templateKey(AFTER),
      startedAtMs: 0,
      state: 'running',
      failures: 0,
      passed: 0,
      total: 1,
    } as const;
    const { durable } = memoryOf({ refresh });
    expect(noteRefreshFailure(durable, recordOf(1, { image: NEW_IMAGE })).refresh?.failures).toBe(1);
    expect(noteRefreshFailure(durable, recordOf(1))).toBe(durable);
    const back = memoryOf({ refresh: { ...refresh, state: 'rolling-back' } }).durable;
    expect(noteRefreshFailure(back, recordOf(1, { image: NEW_IMAGE }))).toBe(back);
  });
});
