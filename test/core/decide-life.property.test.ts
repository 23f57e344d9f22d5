// Groups that live through many turns of everything at once: other sizes, other templates, illness, silent hosts, launches that fail,
// people. What must hold at every turn, and that all is well once it is over. Not here: single decisions (decide.property).

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../src/core/decision.ts';
import type { Suspendable } from '../../src/core/memory.ts';
import type { Policy, Refresh } from '../../src/core/policy.ts';
import { cancelRefresh, pauseRefresh, resumeRefresh, rollbackRefresh } from '../../src/core/refresh-verbs.ts';
import { wantedStandbys } from '../../src/core/standby.ts';
import { madeFrom, templateOf } from '../../src/core/template-match.ts';
import { IMAGE, policyOf, READY, SMALL } from './builders.ts';
import { SmallWorld } from './small-world.ts';

const MAX = 6;

type Event =
  | { readonly what: 'desired'; readonly size: number }
  | { readonly what: 'template'; readonly version: number }
  | { readonly what: 'verb'; readonly verb: number }
  | { readonly what: 'suspend'; readonly part: Suspendable | undefined }
  | { readonly what: 'sick' | 'protect' | 'lost' | 'silent' | 'back' | 'failing' | 'working'; readonly which: number };

const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ what: fc.constant('desired' as const), size: fc.integer({ min: 1, max: MAX }) }),
  fc.record({ what: fc.constant('template' as const), version: fc.nat(3) }),
  fc.record({ what: fc.constant('verb' as const), verb: fc.nat(3) }),
  fc.record({
    what: fc.constant('suspend' as const),
    part: fc.constantFrom<Suspendable | undefined>(undefined, 'launch', 'remove', 'health'),
  }),
  fc.record({
    what: fc.constantFrom('sick', 'sick', 'protect', 'lost', 'silent', 'back', 'failing', 'working'),
    which: fc.nat(20),
  }),
);

const anyRefresh: fc.Arbitrary<Refresh> = fc
  .record({
    surge: fc.nat(2),
    unavailable: fc.nat(2),
    checkpoints: fc.constantFrom<readonly number[]>([], [0.3, 0.6]),
    pauseMs: fc.constantFrom(0, 5000),
    failures: fc.integer({ min: 1, max: 3 }),
    onFailure: fc.constantFrom<Refresh['onFailure']>('rollback', 'stop'),
  })
  .map((refresh) => (refresh.surge + refresh.unavailable > 0 ? refresh : { ...refresh, surge: 1 }));

const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    refresh: anyRefresh,
    capacity: fc.record({ fork: fc.boolean(), paused: fc.nat(2), saved: fc.nat(1), stopped: fc.nat(1) }),
    budget: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ refresh, capacity, budget }) => {
    const check = { check: READY, intervalMs: 5000, timeoutMs: 1000, failures: 3, graceMs: 0 };
    return policyOf({ min: 1, max: MAX, rules: [], refresh, capacity, health: { ...check, budget: { vms: budget } } });
  });

const VERBS = [pauseRefresh, resumeRefresh, rollbackRefresh, cancelRefresh];

function happen(world: SmallWorld, event: Event): void {
  const { durable, records } = world;
  switch (event.what) {
    case 'desired':
      world.durable = { ...durable, desired: event.size, desiredBy: 'user' };
      return;
    case 'template': {
      const image = { ...IMAGE, path: `/images/${event.version}.qcow2` };
      world.policy = {
        ...world.policy,
        source: { kind: 'template', template: { image, flavor: SMALL, ready: READY } },
      };
      return;
    }
    case 'verb': {
      const steered = VERBS[event.verb]?.(durable);
      if (steered?.ok) world.durable = steered.durable;
      return;
    }
    case 'suspend':
      world.durable = { ...durable, suspended: event.part === undefined ? [] : [event.part] };
      return;
    case 'failing':
    case 'working':
      world.fails = () => event.what === 'failing';
      return;
    case 'silent':
      world.silent.add(`h${1 + (event.which % 2)}`);
      return;
    case 'back':
      world.silent.clear();
      return;
  }
  const record = records[event.which % Math.max(1, records.length)];
  if (record === undefined) return;
  if (event.what === 'sick') world.sick.add(record.id);
  if (event.what === 'protect') world.change(record.id, { isProtected: true });
  if (event.what === 'lost') world.records = records.filter(({ id }) => id !== record.id);
}

function checkTurn(world: SmallWorld, before: readonly SmallWorld['records'][number][], decision: Decision): void {
  const { refresh } = world.policy;
  expect(world.records.length).toBeLessThanOrEqual(MAX + (refresh?.surge ?? 0));
  if (decision.refresh === undefined) {
    const launched = decision.actions.some(({ kind }) => kind === 'launch');
    if (launched) expect(world.records.length).toBeLessThanOrEqual(MAX);
  }
  const touched = decision.actions.flatMap((action) => {
    return action.kind === 'drain' || action.kind === 'discard' ? [action.vmId] : [];
  });
  const gone = before.filter(({ id }) => touched.includes(id));
  expect(gone.filter(({ host, isProtected }) => isProtected || world.silent.has(host))).toEqual([]);
  const kinds = new Set(decision.actions.map((action) => (action.kind === 'drain' ? action.because : action.kind)));
  if (kinds.has('size')) expect(kinds.has('launch') || kinds.has('wake') || kinds.has('return')).toBe(false);
}

function endOf(world: SmallWorld): void {
  world.silent.clear();
  world.sick.clear();
  world.fails = () => false;
  world.records = world.records.map(({ isProtected: _none, ...record }) => record);
  const resumed = resumeRefresh(world.durable);
  world.durable = { ...(resumed.ok ? resumed.durable : world.durable), suspended: [] };
}

/** What is not yet as it should be in the end; empty when all is well. */
function shortcomings(world: SmallWorld): string {
  const { desired = 0, refresh } = world.durable;
  const serving = world.serving();
  if (serving.length !== desired) return `${serving.length} of ${desired} serve`;
  const isBack = refresh?.rolledBack === true;
  if (refresh !== undefined && !isBack) return `a refresh is ${refresh.state}`;
  const template = isBack ? refresh?.from : templateOf(world.policy);
  if (template === undefined) return 'nobody knows the template';
  if (!serving.every((record) => madeFrom(record, template))) return 'some are of another template';
  const { paused, saved, stopped } = wantedStandbys(world.policy.capacity, MAX, desired);
  const wanted = paused + saved + stopped;
  const waiting = world.waiting().length;
  if (waiting !== wanted) return `${waiting} of ${wanted} wait`;
  const others = world.records.length - serving.length - waiting;
  return others === 0 ? '' : `${others} come or go`;
}

describe('a group', () => {
  it('never grows beyond max and surge, touches nothing it must not, and comes to what is wanted in the end', () => {
    fc.assert(
      fc.property(
        anyPolicy,
        fc.array(fc.record({ event: anyEvent, turns: fc.integer({ min: 0, max: 8 }) }), { maxLength: 20 }),
        (policy, story) => {
          const world = new SmallWorld(policy, { desired: 2 });
          world.group = { forkHosts: ['h1'] };
          const live = (count: number) => {
            for (let turn = 0; turn < count; turn += 1) {
              const { records } = world;
              checkTurn(world, records, world.turn());
            }
          };
          live(3);
          for (const { event, turns } of story) {
            happen(world, event);
            live(turns);
          }
          endOf(world);
          // A breaker may be open for ten minutes.
          for (let turn = 0; turn < 900 && shortcomings(world) !== ''; turn += 1) live(1);
          expect(shortcomings(world)).toBe('');
          live(20);
          expect(shortcomings(world)).toBe('');
        },
      ),
      { numRuns: 200 },
    );
  }, 60_000);
});
