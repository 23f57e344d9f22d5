import { describe, expect, it } from 'vitest';
import type { RequestRecord } from '../../demo/request-record.ts';
import { type Evidence, summarise } from '../../demo/summary.ts';
import { countGaps, timelineOf } from '../../demo/timeline.ts';
import type { LoggedEvent, NewEvent } from '../../src/core/events.ts';
import { at, storyEvents, vm } from './story-events.ts';

function sent(s: number, vm: string, latencyMs: number, mode: RequestRecord['mode'], status = '200'): RequestRecord {
  return { sentAtMs: Date.parse(at(s)), vm, n: 28, latencyMs, status, mode };
}

function goodEvidence(change: Partial<Evidence> = {}): Evidence {
  return {
    accel: 'qemu',
    libvirt: '9.0.0',
    qemu: '7.2.22',
    threshold: 75,
    events: storyEvents(),
    requests: [
      sent(4, 'web-1', 9, 'calibrate'),
      sent(6, 'web-1', 1, 'low'),
      sent(12, 'web-1', 200, 'high'),
      sent(16, 'web-1', 300, 'high'),
      sent(17.5, 'web-1', 250, 'high'),
      sent(20, 'web-2', 12, 'high'),
      sent(21, 'web-1', 18, 'high'),
      sent(35, 'web-2', 2, 'low'),
    ],
    stillThere: false,
    ...change,
  };
}

describe('the timeline', () => {
  it('finds the moments of the story', () => {
    const timeline = timelineOf(storyEvents());
    expect(timeline.firstVm?.name).toBe('web-1');
    expect(timeline.out).toMatchObject({
      crossedAt: at(11),
      decidedAt: at(14),
      launchingAt: at(14.01),
      launchedAt: at(17.01),
      vm: { name: 'web-2' },
    });
    expect(timeline.in).toMatchObject({
      decidedAt: at(40),
      drainingAt: at(40.01),
      removedAt: at(43),
      vm: { name: 'web-2' },
    });
  });

  it('leaves out what has not happened', () => {
    expect(timelineOf([])).toEqual({});
    const halfway = timelineOf(storyEvents().slice(0, 6));
    expect(halfway.out?.launchingAt).toBe(at(14.01));
    expect(halfway.out?.launchedAt).toBeUndefined();
    expect(halfway.in).toBeUndefined();
  });
});

describe('gaps in the event log', () => {
  it.each([
    { seqs: [1, 2, 3], gaps: 0 },
    { seqs: [], gaps: 0 },
    { seqs: [2, 3], gaps: 1 },
    { seqs: [1, 2, 2, 3], gaps: 1 },
    { seqs: [1, 3, 4, 6], gaps: 2 },
    { seqs: [1, 3, 2], gaps: 2 },
  ])('$seqs has $gaps', ({ seqs, gaps }) => {
    expect(countGaps(seqs.map((seq) => ({ seq })))).toBe(gaps);
  });
});

describe('the summary', () => {
  it('has the promised shape and figures', () => {
    const { summary, problems } = summarise(goodEvidence());
    expect(problems).toEqual([]);
    expect(summary).toEqual({
      ok: true,
      accel: 'qemu',
      libvirt: '9.0.0',
      qemu: '7.2.22',
      threshold: 75,
      scaleOut: {
        crossedAt: at(11),
        decidedAt: at(14),
        launchingAt: at(14.01),
        launchedAt: at(17.01),
        decideMs: 3000,
        launchMs: 3000,
      },
      scaleIn: { decidedAt: at(40), removedAt: at(43) },
      requests: { total: 8, failed: 0 },
      responseMs: {
        low: { p50: 1, p95: 2 },
        overloaded: { p50: 200, p95: 300 },
        scaledOut: { p50: 12, p95: 18 },
      },
      events: { total: 11, gaps: 0 },
      replayed: null,
    });
  });

  const without = (...types: string[]) => storyEvents().filter((event) => !types.includes(event.type));

  it.each<{ name: string; change: Partial<Evidence>; says: RegExp }>([
    {
      name: 'a failed request',
      change: { requests: [...goodEvidence().requests, sent(36, 'web-1', 5, 'low', 'timeout')] },
      says: /1 requests failed/,
    },
    {
      name: 'a new VM that served nothing',
      change: { requests: [sent(6, 'web-1', 1, 'low')] },
      says: /web-2 came, but served no request/,
    },
    { name: 'a VM that libvirt still has', change: { stillThere: true }, says: /libvirt still has it/ },
    { name: 'a gap in the events', change: { events: storyEvents().filter((e) => e.seq !== 2) }, says: /1 gaps/ },
    {
      name: 'a decision that came out differently',
      change: { replayed: { same: false, text: '1 of 9' } },
      says: /1 of 9/,
    },
    { name: 'no removal', change: { events: without('vm.removed') }, says: /was not removed/ },
    { name: 'no scale-in', change: { events: storyEvents().slice(0, 7) }, says: /no scale-in/ },
    { name: 'a VM that never answered', change: { events: storyEvents().slice(0, 6) }, says: /never answered/ },
    { name: 'no scale-out', change: { events: storyEvents().slice(0, 4) }, says: /no scale-out/ },
    { name: 'nothing at all', change: { events: [], requests: [] }, says: /the first VM never came/ },
  ])('is not ok with $name', ({ change, says }) => {
    const { summary, problems } = summarise(goodEvidence(change));
    expect(summary.ok).toBe(false);
    expect(problems.join('\n')).toMatch(says);
  });

  it('is not ok when nobody asked libvirt', () => {
    const { stillThere: _, ...evidence } = goodEvidence();
    expect(summarise(evidence).summary.ok).toBe(false);
  });

  it('says null for what did not happen', () => {
    const { summary } = summarise({ threshold: 75, events: [], requests: [] });
    expect(summary.scaleOut.decideMs).toBeNull();
    expect(summary.responseMs.scaledOut).toEqual({ p50: null, p95: null });
    expect(summary.accel).toBeNull();
  });
});

describe('the summary of the story behind HAProxy', () => {
  /** web-1 is killed at 30 s, web-3 takes its place, web-2 goes in the end. */
  function events(): LoggedEvent[] {
    const told = storyEvents();
    const more: readonly (readonly [number, NewEvent])[] = [
      [30.4, { type: 'vm.lost', group: 'web', vm: vm(1), reason: 'it stopped by itself' }],
      [34, { type: 'vm.launched', group: 'web', vm: vm(3), launchMs: 3000 }],
    ];
    const all = [...told.slice(0, 7), ...more.map(([s, event]) => ({ ...event, seq: 0, at: at(s) })), ...told.slice(7)];
    return all.map((event, i) => ({ ...event, seq: i + 1 }));
  }
  const report = { version: '2.6.12', servers: ['virtscale-web-3'], retries: 3, redispatches: 2 };
  const killed = { vm: vm(1), atMs: Date.parse(at(30)) };
  const evidence = (change: Partial<Evidence> = {}) =>
    goodEvidence({
      events: events(),
      requests: [...goodEvidence().requests, sent(36, 'web-3', 15, 'high')],
      front: { killed, report },
      ...change,
    });

  it('is ok, and tells of the kill', () => {
    const { summary, problems } = summarise(evidence());
    expect(problems).toEqual([]);
    expect(summary.haproxy).toEqual({
      version: '2.6.12',
      killed: 'web-1',
      killedAt: at(30),
      noticedMs: 400,
      replacedMs: 4000,
      replacement: 'web-3',
      retries: 3,
      redispatches: 2,
    });
  });

  it.each<{ name: string; change: Partial<Evidence>; says: RegExp }>([
    { name: 'no kill', change: { front: { report } }, says: /no VM was killed/ },
    { name: 'a kill that nobody noticed', change: { events: storyEvents() }, says: /nobody noticed/ },
    {
      name: 'nobody in its place',
      change: { events: events().filter((e) => !(e.type === 'vm.launched' && e.vm.id === 3)) },
      says: /nobody took the place of web-1/,
    },
    { name: 'a replacement without work', change: { requests: goodEvidence().requests }, says: /sent nobody there/ },
    { name: 'nobody asking HAProxy', change: { front: { killed } }, says: /HAProxy was not asked/ },
    {
      name: 'a VM that HAProxy still has',
      change: { front: { killed, report: { ...report, servers: ['virtscale-web-2'] } } },
      says: /web-2 is still in HAProxy/,
    },
  ])('is not ok with $name', ({ change, says }) => {
    const { summary, problems } = summarise(evidence(change));
    expect(summary.ok).toBe(false);
    expect(problems.join('\n')).toMatch(says);
  });
});
