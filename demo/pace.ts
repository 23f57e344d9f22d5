// How long each part of the story lasts, in its normal and its short form, and the policy that goes with it.
// Not here: the order of the parts (story).

export interface Pace {
  /** Low mode before the load comes. */
  readonly lowMs: number;
  /** High mode after the second VM has come. */
  readonly sharedMs: number;
  /** The whole run, cleaning up not included: later than this it is given up. */
  readonly limitMs: number;
  readonly policy: PolicyTimes;
}

interface PolicyTimes {
  readonly outFor: string;
  readonly outCooldown: string;
  readonly inFor: string;
  readonly inCooldown: string;
  readonly drainGrace: string;
}

export const NORMAL_PACE: Pace = {
  lowMs: 12_000,
  sharedMs: 25_000,
  limitMs: 225_000,
  policy: { outFor: '3s', outCooldown: '10s', inFor: '10s', inCooldown: '10s', drainGrace: '3s' },
};

export const FAST_PACE: Pace = {
  lowMs: 5_000,
  sharedMs: 11_000,
  limitMs: 84_000,
  policy: { outFor: '3s', outCooldown: '5s', inFor: '4s', inCooldown: '5s', drainGrace: '2s' },
};

/** What the story takes longer when a VM is killed by hand. */
export const KILL_MS = 60_000;

export const GROUP = 'web';
export const OUT_PERCENT = 75;
export const IN_PERCENT = 20;
