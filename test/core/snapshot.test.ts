// Which snapshots are too many, what labels say, and how a list is a tree.

import { describe, expect, it } from 'vitest';
import { asTree, keepRuleOf, nameByTime, SNAPSHOT_NAME, type Snapshot, tooMany } from '../../src/core/snapshot.ts';

const NOW = '2026-11-21T12:00:00.000Z';
const taken = (name: string, hoursAgo: number, changes: Partial<Snapshot> = {}): Snapshot => ({
  name,
  isCurrent: false,
  kind: 'internal',
  hasMemory: true,
  state: 'running',
  consistency: 'application',
  createdAt: new Date(Date.parse(NOW) - hoursAgo * 3_600_000).toISOString(),
  operation: `op-${name}`,
  ...changes,
});
const names = (snapshots: readonly Snapshot[]) => snapshots.map(({ name }) => name);

describe('a rule that keeps few', () => {
  const all = [taken('c', 3), taken('a', 9), taken('b', 6), taken('d', 0, { isCurrent: true })];

  it('removes the oldest beyond the count, and those that are too old', () => {
    expect(names(tooMany(all, { count: 2 }, NOW))).toEqual(['a', 'b']);
    expect(names(tooMany(all, { hours: 5 }, NOW))).toEqual(['a', 'b']);
    expect(names(tooMany(all, { count: 3, hours: 2 }, NOW))).toEqual(['a', 'b', 'c']);
    expect(names(tooMany(all, { count: 9, hours: 99 }, NOW))).toEqual([]);
    expect(names(tooMany(all, {}, NOW))).toEqual([]);
  });

  it('never removes the newest, the one it has come from, or another’s', () => {
    const old = [taken('mine', 90), taken('current', 80, { isCurrent: true }), taken('new', 70)];
    const { operation: _, ...theirs } = taken('theirs', 99);
    expect(names(tooMany([theirs, ...old], { count: 1, hours: 1 }, NOW))).toEqual(['mine']);
    expect(names(tooMany([taken('only', 99)], { count: 1, hours: 1 }, NOW))).toEqual([]);
  });

  it('of one second, parents go first', () => {
    const same = [taken('first', 0), taken('second', 0), taken('third', 0)];
    expect(names(tooMany(same, { count: 2 }, NOW))).toEqual(['first']);
  });
});

it('labels say how many are kept; nonsense says nothing', () => {
  expect(keepRuleOf({ 'snapshots/keep-count': '3' })).toEqual({ count: 3 });
  expect(keepRuleOf({ 'snapshots/keep-count': '3', 'snapshots/keep-hours': '24' })).toEqual({ count: 3, hours: 24 });
  for (const bad of ['0', '-1', 'x', '1.5', '']) expect(keepRuleOf({ 'snapshots/keep-count': bad })).toBeUndefined();
  expect(keepRuleOf(undefined)).toBeUndefined();
});

it('a name by the time is a good name', () => {
  expect(nameByTime(NOW)).toBe('2026-11-21-120000');
  expect(nameByTime(NOW)).toMatch(SNAPSHOT_NAME);
  for (const bad of ['', '.x', '-x', 'a/b', 'a b', 'x'.repeat(64), 'a\n']) expect(bad).not.toMatch(SNAPSHOT_NAME);
});

it('a tree has children after their parent; those whose parent is elsewhere are roots; a loop ends', () => {
  const lines = asTree([
    { name: 'c', parent: 'b' },
    { name: 'a' },
    { name: 'b', parent: 'a' },
    { name: 'x', parent: 'gone' },
  ]);
  expect(lines.map(({ depth, isLast, snapshot }) => [snapshot.name, depth, isLast])).toEqual([
    ['a', 0, false],
    ['b', 1, true],
    ['c', 2, true],
    ['x', 0, true],
  ]);
  expect(
    asTree([
      { name: 'a', parent: 'b' },
      { name: 'b', parent: 'a' },
    ]),
  ).toEqual([]);
});
