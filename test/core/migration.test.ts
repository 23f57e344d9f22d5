// Who has the VM after a look at both hosts: every pair of copies, and the rules that none of them may break.

import { describe, expect, it } from 'vitest';
import { type Copy, figuresText, type NextMove, nextMove } from '../../src/core/migration.ts';

const STATES = ['absent', 'off', 'paused', 'running'] as const;
const COPIES: readonly Copy[] = STATES.flatMap((state) =>
  [true, false].flatMap((busy) =>
    [true, false].map((persistent): Copy => ({ state, busy, persistent: persistent && state !== 'absent' })),
  ),
);
const PAIRS = COPIES.flatMap((source) => COPIES.map((target) => ({ source, target })));
const at = (state: Copy['state'], more: Partial<Copy> = {}): Copy => ({
  state,
  busy: false,
  persistent: state !== 'absent',
  ...more,
});

/** What the step does to the two copies. */
function carriedOut({ source, target }: { source: Copy; target: Copy }, next: NextMove) {
  switch (next.kind) {
    case 'clear-target':
      return { source, target: at('absent') };
    case 'clear-source':
      return { source: at('absent'), target };
    case 'resume-source':
      return { source: { ...source, state: 'running' as const }, target };
    case 'resume-target':
      return { source, target: { ...target, state: 'running' as const } };
    default:
      return undefined;
  }
}

describe('the next move', () => {
  it('waits while libvirt is at work at the source', () => {
    for (const { source, target } of PAIRS) {
      if (source.busy) expect(nextMove(source, target)).toEqual({ kind: 'wait' });
    }
  });

  it('never lets a second copy run, and never takes the only one', () => {
    for (const pair of PAIRS) {
      const next = nextMove(pair.source, pair.target);
      const now = carriedOut(pair, next);
      if (now === undefined) continue;
      const running = [now.source, now.target].filter(({ state }) => state === 'running').length;
      const before = [pair.source, pair.target].filter(({ state }) => state === 'running').length;
      expect(running, JSON.stringify({ pair, next })).toBeLessThanOrEqual(Math.max(1, before));
      expect(running, JSON.stringify({ pair, next })).toBeGreaterThanOrEqual(before);
      expect([now.source.state, now.target.state], JSON.stringify({ pair, next })).not.toEqual(['absent', 'absent']);
      if (next.kind === 'resume-source') expect(pair.target.state).toBe('absent');
      if (next.kind === 'resume-target') expect(['absent', 'off']).toContain(pair.source.state);
    }
  });

  it('ends after a few steps from wherever it stands, unless libvirt is at work or both are said to run', () => {
    for (const pair of PAIRS) {
      let now: { source: Copy; target: Copy } = pair;
      let kind: NextMove['kind'] = 'wait';
      for (let steps = 0; steps < 4; steps += 1) {
        const next = nextMove(now.source, now.target);
        kind = next.kind;
        now = carriedOut(now, next) ?? now;
      }
      const isOpen = pair.source.busy || (pair.source.state === 'running' && pair.target.state === 'running');
      expect(['stayed', 'arrived', 'lost'].includes(kind), JSON.stringify({ pair, kind })).toBe(!isOpen);
    }
  });

  it('takes a whole copy at the target for the VM once the source is gone, and half a one for nothing', () => {
    expect(nextMove(at('absent'), at('paused'))).toEqual({ kind: 'resume-target' });
    expect(nextMove(at('off'), at('paused', { persistent: false }))).toEqual({ kind: 'clear-target' });
    expect(nextMove(at('paused'), at('paused'))).toEqual({ kind: 'clear-target' });
    expect(nextMove(at('absent'), at('absent'))).toEqual({ kind: 'lost' });
  });
});

it('tells figures in one line', () => {
  const figures = {
    doneBytes: 61 * 2 ** 20,
    totalBytes: 192 * 2 ** 20,
    bytesPerSecond: 153 * 2 ** 20,
    remainingMs: 850,
  };
  expect(figuresText(figures)).toBe('61 of 192 MiB, 153 MiB/s, about 1 s left');
  expect(figuresText({ doneBytes: 0, totalBytes: 2 ** 20 })).toBe('0 of 1 MiB');
});
