import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DomainState, VmPhase, VmRecord, VmStep, VmView } from '../../src/core/model.ts';
import { type Conduct, nextStep, type Step } from '../../src/core/steps.ts';
import { NOW_MS, recordOf, viewOf } from './builders.ts';

const CONDUCT: Conduct = { launchDeadlineMs: 60_000, drainGraceMs: 5000, shutdownDeadlineMs: 30_000, hooks: {} };
const HOOK = { url: 'http://127.0.0.1:1/', deadlineMs: 10_000, onTimeout: 'abandon' } as const;
const HOOKED: Conduct = { ...CONDUCT, hooks: { launch: HOOK, remove: HOOK } };
const BALANCED: Conduct = { ...CONDUCT, balancer: 'front' };

type Seen = 'running' | 'stopped' | 'unknown' | 'absent';

/** A VM in a phase that began `ageMs` ago, as its host shows it. */
function vm(
  phase: VmPhase,
  step: VmStep,
  seen: Seen,
  over: { readonly fresh?: boolean; readonly ageMs?: number; readonly record?: Partial<VmRecord> } = {},
): VmView {
  const atMs = NOW_MS - (over.ageMs ?? 1000);
  return viewOf(1, {
    record: { phase, step, phaseAtMs: atMs, changedAtMs: atMs, ...over.record },
    domain: seen === 'absent' ? null : { state: seen },
    fresh: over.fresh ?? true,
  });
}

function next(view: VmView, hostUp = true, conduct = CONDUCT): Step {
  return nextStep(view, conduct, hostUp, NOW_MS);
}

const EXISTING = { record: { kind: 'existing' } } as const;

describe('nextStep', () => {
  it.each<[string, VmView, Step['kind']]>([
    ['a clone begins with its disk', vm('launching', 'intended', 'absent', { fresh: false }), 'create-disk'],
    ['also when the host shows (as it must) no domain', vm('launching', 'intended', 'absent'), 'create-disk'],
    ['then it is defined', vm('launching', 'disk-made', 'absent', { fresh: false }), 'define'],
    ['then started', vm('launching', 'defined', 'absent', { fresh: false }), 'start'],
    ['then probed', vm('launching', 'started', 'absent', { fresh: false }), 'probe'],
    ['and probed as long as it runs', vm('launching', 'started', 'running'), 'probe'],
    ['unknown is not stopped', vm('launching', 'started', 'unknown'), 'probe'],
    ['defined before the crash, not recorded: the disk is left alone', vm('launching', 'intended', 'stopped'), 'start'],
    ['started before the crash, not recorded', vm('launching', 'intended', 'running'), 'probe'],
    [
      'an old picture of it running proves nothing: that may be the try before',
      vm('launching', 'disk-made', 'running', { fresh: false }),
      'define',
    ],
    ['an existing domain is only started', vm('launching', 'defined', 'stopped', EXISTING), 'start'],
    ['an existing domain that runs is probed', vm('launching', 'defined', 'running', EXISTING), 'probe'],
    ['an existing domain that is gone', vm('launching', 'defined', 'absent', EXISTING), 'give-up'],
    ['defined, and then it vanished', vm('launching', 'defined', 'absent'), 'give-up'],
    ['it stopped while booting', vm('launching', 'started', 'stopped'), 'give-up'],
    ['it vanished while booting', vm('launching', 'started', 'absent'), 'give-up'],
    ['past the deadline', vm('launching', 'started', 'running', { ageMs: 60_000 }), 'give-up'],
    ['in service: nothing', vm('in-service', 'started', 'running'), 'wait'],
    ['in service, nobody can say', vm('in-service', 'started', 'unknown'), 'wait'],
    ['in service, absent from an old picture', vm('in-service', 'started', 'absent', { fresh: false }), 'wait'],
    ['in service and gone', vm('in-service', 'started', 'absent'), 'lost'],
    ['in service and stopped', vm('in-service', 'started', 'stopped'), 'lost'],
    ['draining: the grace', vm('draining', 'started', 'running'), 'wait'],
    ['draining: the grace is over', vm('draining', 'started', 'running', { ageMs: 5000 }), 'begin-removal'],
    ['draining and down: no need to wait', vm('draining', 'started', 'stopped'), 'begin-removal'],
    ['removing: asked to shut down', vm('removing', 'intended', 'running'), 'shutdown'],
    ['removing, in an old picture', vm('removing', 'intended', 'absent', { fresh: false }), 'shutdown'],
    ['removing, never was there', vm('removing', 'intended', 'absent'), 'mark-stopped'],
    ['removing, stopped by itself', vm('removing', 'intended', 'stopped'), 'mark-stopped'],
    ['stopping', vm('removing', 'stopping', 'running'), 'wait'],
    ['stopping, an old picture of it stopped', vm('removing', 'stopping', 'stopped', { fresh: false }), 'wait'],
    ['stopping, and it stopped', vm('removing', 'stopping', 'stopped'), 'mark-stopped'],
    ['stopping, and it is gone', vm('removing', 'stopping', 'absent'), 'mark-stopped'],
    ['stopping for too long', vm('removing', 'stopping', 'running', { ageMs: 30_000 }), 'destroy'],
    [
      'a domain of somebody else is never pulled the plug on',
      vm('removing', 'stopping', 'running', { ageMs: 30_000, ...EXISTING }),
      'shutdown',
    ],
    ['stopped', vm('removing', 'stopped', 'stopped'), 'undefine'],
    ['stopped, then started by somebody', vm('removing', 'stopped', 'running'), 'destroy'],
    ['undefined', vm('removing', 'undefined', 'absent'), 'delete-disk'],
    ['an existing domain stays defined', vm('removing', 'stopped', 'stopped', EXISTING), 'forget'],
  ])('%s', (_name, view, kind) => {
    expect(next(view).kind).toBe(kind);
  });

  const FORK = { record: { way: 'fork', template: 'abc' } } as const;
  const WOKEN = { record: { way: 'paused' } } as const;
  const TO_WAIT = { record: { standby: 'stopped' } } as const;

  it.each<[string, VmView, Step['kind'], Conduct?]>([
    [
      'a fork needs no image, its disk lies on the template',
      vm('launching', 'intended', 'absent', FORK),
      'create-disk',
    ],
    ['it runs from the memory of its template', vm('launching', 'defined', 'stopped', FORK), 'fork'],
    ['and is made its own before anybody asks it', vm('launching', 'started', 'running', FORK), 'personalise'],
    ['also when the crash came before that was recorded', vm('launching', 'defined', 'running', FORK), 'personalise'],
    ['then it is probed', vm('launching', 'personalised', 'running', FORK), 'probe'],
    [
      'a fork that was not possible begins again although an old picture shows its domain',
      vm('launching', 'intended', 'stopped', { fresh: false, record: { way: 'cold' } }),
      'create-disk',
    ],
    [
      'a paused standby that is wanted is woken',
      vm('launching', 'parked', 'running', { record: { way: 'paused' }, fresh: false }),
      'wake',
    ],
    ['one that woke gets its clock set', vm('launching', 'started', 'running', WOKEN), 'personalise'],
    ['one that was only stopped boots', vm('launching', 'started', 'running', { record: { way: 'stopped' } }), 'probe'],
    ['ready, and nobody to ask: in service', vm('launching', 'ready', 'running'), 'enter'],
    ['ready, and a hook to ask', vm('launching', 'ready', 'running'), 'ask-hook', HOOKED],
    ['agreed: in service', vm('launching', 'approved', 'running'), 'enter', HOOKED],
    ['stopped while the hook was asked', vm('launching', 'ready', 'stopped'), 'give-up', HOOKED],
    ['one that is to wait is sent to standby', vm('launching', 'ready', 'running', TO_WAIT), 'park'],
    ['and has arrived when it has stopped', vm('launching', 'ready', 'stopped', TO_WAIT), 'park'],
    ['a standby waits', vm('standby', 'parked', 'stopped', { record: { standby: 'saved' } }), 'wait'],
    ['a paused one too', vm('standby', 'parked', 'running', { record: { standby: 'paused' } }), 'wait'],
    [
      'a paused one that is down is lost',
      vm('standby', 'parked', 'stopped', { record: { standby: 'paused' } }),
      'lost',
    ],
    ['one that vanished is lost', vm('standby', 'parked', 'absent', { record: { standby: 'saved' } }), 'lost'],
    [
      'but not on an old picture',
      vm('standby', 'parked', 'absent', { record: { standby: 'saved' }, fresh: false }),
      'wait',
    ],
    [
      'draining with a balancer: until the last session',
      vm('draining', 'draining', 'running'),
      'await-sessions',
      BALANCED,
    ],
    [
      'the grace is over, and a hook to ask',
      vm('draining', 'draining', 'running', { ageMs: 6000 }),
      'ask-hook',
      HOOKED,
    ],
    ['it agreed', vm('draining', 'approved', 'running', { ageMs: 6000 }), 'begin-removal', HOOKED],
    ['it stopped while the hook was asked', vm('draining', 'draining', 'stopped'), 'begin-removal', HOOKED],
  ])('%s', (_what, view, expected, conduct) => {
    expect(next(view, true, conduct).kind).toBe(expected);
  });

  it('heeds the deadline of the record before that of the policy', () => {
    const record = { deadlineAtMs: NOW_MS - 1 };
    expect(next(vm('launching', 'started', 'running', { record })).kind).toBe('give-up');
    expect(next(vm('draining', 'started', 'running', { record })).kind).toBe('begin-removal');
    expect(next(vm('removing', 'stopping', 'running', { record })).kind).toBe('destroy');
    const later = { deadlineAtMs: NOW_MS + 7 };
    expect(next(vm('draining', 'started', 'running', { ageMs: 6000, record: later }))).toEqual({
      kind: 'wait',
      untilMs: NOW_MS + 7,
    });
  });

  it('says why it gives up', () => {
    expect(next(vm('launching', 'started', 'running', { ageMs: 61_000 }))).toEqual({
      kind: 'give-up',
      reason: 'not ready within 60 s',
    });
    expect(next(vm('launching', 'disk-made', 'absent', { ageMs: 61_000 }))).toEqual({
      kind: 'give-up',
      reason: 'not ready within 60 s (it came as far as: disk-made)',
    });
  });

  it('goes on probing a guest whose host is silent, and begins nothing on that host', () => {
    expect(next(vm('launching', 'started', 'running', { fresh: false }), false).kind).toBe('probe');
    for (const step of ['intended', 'disk-made', 'defined'] as const) {
      const view = vm('launching', step, 'absent', { fresh: false });
      expect(next(view, false)).toEqual({ kind: 'wait', untilMs: NOW_MS + 59_000 });
    }
  });
});

const anyView = fc
  .record({
    phase: fc.constantFrom<VmPhase>('launching', 'in-service', 'draining', 'removing'),
    step: fc.constantFrom<VmStep>('intended', 'disk-made', 'defined', 'started', 'stopping', 'stopped', 'undefined'),
    kind: fc.constantFrom<VmRecord['kind']>('clone', 'existing'),
    seen: fc.constantFrom<DomainState | 'absent'>('running', 'stopped', 'unknown', 'absent'),
    fresh: fc.boolean(),
    ageMs: fc.integer({ min: 0, max: 100_000 }),
    deadline: fc.option(fc.integer({ min: -50_000, max: 50_000 }), { nil: undefined }),
  })
  .map(({ phase, step, kind, seen, fresh, ageMs, deadline }) =>
    vm(phase, step, seen, {
      fresh,
      ageMs,
      record: { kind, ...(deadline !== undefined && { deadlineAtMs: NOW_MS + deadline }) },
    }),
  );

describe('nextStep, whatever the VM', () => {
  it('takes nothing away on a host that does not answer', () => {
    fc.assert(
      fc.property(anyView, (view) => {
        expect(['shutdown', 'destroy', 'undefine', 'delete-disk']).not.toContain(next(view, false).kind);
      }),
    );
  });

  it('takes nothing for gone on an old picture', () => {
    fc.assert(
      fc.property(anyView, fc.boolean(), (view, hostUp) => {
        const step = next({ ...view, fresh: false }, hostUp);
        expect(['lost', 'mark-stopped']).not.toContain(step.kind);
      }),
    );
  });

  it('never makes, destroys, undefines or robs a domain that it did not make', () => {
    fc.assert(
      fc.property(anyView, fc.boolean(), (view, hostUp) => {
        const { kind } = next({ ...view, record: { ...view.record, kind: 'existing' } }, hostUp);
        expect(['create-disk', 'define', 'destroy', 'undefine']).not.toContain(kind);
        if (view.record.step !== 'undefined') expect(kind).not.toBe('delete-disk');
      }),
    );
  });

  it('touches neither the definition nor the disk of a VM that is seen running', () => {
    fc.assert(
      fc.property(anyView, (view) => {
        if (!view.fresh || view.domain?.state !== 'running' || view.record.step === 'undefined') return;
        expect(['create-disk', 'define', 'undefine', 'delete-disk']).not.toContain(next(view).kind);
      }),
    );
  });

  it('waits only for a moment to come, or for a new picture', () => {
    fc.assert(
      fc.property(anyView, fc.boolean(), (view, hostUp) => {
        const step = next(view, hostUp);
        if (step.kind === 'wait' && step.untilMs !== undefined) expect(step.untilMs).toBeGreaterThan(NOW_MS);
      }),
    );
  });

  it('carries every clone to its end in a bounded number of steps', () => {
    const start = recordOf(1, { phase: 'launching', step: 'intended', phaseAtMs: NOW_MS, changedAtMs: NOW_MS });
    expect(walk(start, true)).toEqual(['create-disk', 'define', 'start', 'probe']);
    expect(walk({ ...start, phase: 'removing', step: 'intended' }, true)).toEqual([
      'shutdown',
      'mark-stopped',
      'undefine',
      'delete-disk',
    ]);
    expect(walk({ ...start, phase: 'removing', step: 'intended' }, false)).toEqual([
      'shutdown',
      'destroy',
      'undefine',
      'delete-disk',
    ]);
  });
});

/** Does steps on a host that does what it is told (a guest that `obeys` shuts down when asked), and lists them. */
function walk(start: VmRecord, obeys: boolean): readonly Step['kind'][] {
  let record = start;
  let seen: Seen = start.phase === 'removing' ? 'running' : 'absent';
  let nowMs = NOW_MS;
  const done: Step['kind'][] = [];
  for (let turn = 0; turn < 100; turn += 1) {
    const view = viewOf(1, { record, domain: seen === 'absent' ? null : { state: seen } });
    const step = nextStep(view, CONDUCT, true, nowMs);
    nowMs += 1000;
    if (step.kind === 'wait') continue;
    done.push(step.kind);
    const became = (to: VmStep) => {
      record = { ...record, step: to, changedAtMs: nowMs };
    };
    if (step.kind === 'create-disk') became('disk-made');
    else if (step.kind === 'define') [seen] = ['stopped', became('defined')];
    else if (step.kind === 'start') [seen] = ['running', became('started')];
    else if (step.kind === 'shutdown') [seen] = [obeys ? 'stopped' : seen, became('stopping')];
    else if (step.kind === 'mark-stopped') became('stopped');
    else if (step.kind === 'destroy') [seen] = ['stopped', became('stopped')];
    else if (step.kind === 'undefine') [seen] = ['absent', became('undefined')];
    else return done;
  }
  return [...done, 'wait'];
}
