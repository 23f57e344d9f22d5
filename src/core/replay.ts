// Runs recorded evaluations through the decision function again: it must say the same, byte for byte.
// Not here: reading recordings (recording), where they are kept.

import type { Decided } from './decide.ts';
import type { Evaluation } from './evaluation.ts';
import type { Memory } from './memory.ts';
import type { GroupName, PlacementName, Snapshot } from './model.ts';
import { BUILT_IN, type Placements } from './placement/registry.ts';
import type { Policy } from './policy.ts';

export type Decide = (
  snapshot: Snapshot,
  policies: readonly Policy[],
  memory: Memory,
  nowMs: number,
  placements: Placements,
) => Decided;

export interface Difference {
  /** Of the evaluation among those replayed, from 0. */
  readonly index: number;
  readonly at: string;
  readonly group: GroupName;
  readonly what: 'decision' | 'memory';
  /** Where the two first differ, such as `verdicts.0.value`. */
  readonly where: string;
  /** JSON, shortened. */
  readonly recorded: string;
  readonly replayed: string;
}

export interface Replayed {
  readonly evaluations: number;
  /** Groups decided upon, over all evaluations. */
  readonly decisions: number;
  /** How many differ, and the first of them (100 at the most). */
  readonly different: number;
  readonly differences: readonly Difference[];
  /** Evaluations left out, because a policy places its VMs by an algorithm that is not known here. */
  readonly notReplayable: number;
  readonly unknownPlacements: readonly PlacementName[];
}

const DIFFERENCES_MAX = 100;
const SHOWN_CHARACTERS = 200;

/** `onProgress` is told the number replayed so far, after each. */
export function replay(
  evaluations: Iterable<Evaluation>,
  decide: Decide,
  { placements = BUILT_IN, onProgress }: { placements?: Placements; onProgress?: (count: number) => void } = {},
): Replayed {
  const run = new Replay(decide, placements);
  for (const evaluation of evaluations) {
    const count = run.add(evaluation);
    onProgress?.(count);
  }
  return run.result();
}

/** The same for evaluations that come one after the other. */
export class Replay {
  readonly #decide: Decide;
  readonly #placements: Placements;
  readonly #differences: Difference[] = [];
  readonly #unknown = new Set<PlacementName>();
  #evaluations = 0;
  #decisions = 0;
  #different = 0;
  #notReplayable = 0;

  constructor(decide: Decide, placements: Placements = BUILT_IN) {
    this.#decide = decide;
    this.#placements = placements;
  }

  /** Returns how many there were so far. */
  add(evaluation: Evaluation): number {
    const index = this.#evaluations;
    this.#evaluations += 1;
    const unknown = placementsOf(evaluation).filter((name) => !this.#placements.has(name));
    if (unknown.length > 0) {
      for (const name of unknown) this.#unknown.add(name);
      this.#notReplayable += 1;
      return this.#evaluations;
    }
    const { snapshot, policies, memory, nowMs } = evaluation;
    const again = this.#decide(snapshot, policies, memory, nowMs, this.#placements);
    this.#decisions += evaluation.decisions.length;
    this.#compare(index, evaluation, again);
    return this.#evaluations;
  }

  result(): Replayed {
    return {
      evaluations: this.#evaluations,
      decisions: this.#decisions,
      different: this.#different,
      differences: this.#differences,
      notReplayable: this.#notReplayable,
      unknownPlacements: [...this.#unknown],
    };
  }

  #compare(index: number, { at, decisions, memoryAfter }: Evaluation, again: Decided): void {
    const sameDecisions = JSON.stringify(decisions) === JSON.stringify(again.decisions);
    const sameMemory = JSON.stringify(memoryAfter) === JSON.stringify(again.memory);
    if (sameDecisions && sameMemory) return;
    this.#different += 1;
    if (this.#differences.length >= DIFFERENCES_MAX) return;
    const found = sameDecisions
      ? firstDifference(memoryAfter, again.memory)
      : firstDifference(decisions, again.decisions);
    const [first = '', ...rest] = found.path;
    const group = sameDecisions ? first : (decisions[Number(first)]?.group ?? '');
    this.#differences.push({
      index,
      at,
      group,
      what: sameDecisions ? 'memory' : 'decision',
      where: rest.join('.'),
      recorded: shown(found.a),
      replayed: shown(found.b),
    });
  }
}

function placementsOf({ snapshot, policies }: Evaluation): readonly PlacementName[] {
  const named = policies.map(({ placement }) => placement?.algorithm ?? snapshot.placement);
  return [...new Set(named.filter((name) => name !== undefined))];
}

function firstDifference(a: unknown, b: unknown): { path: readonly string[]; a: unknown; b: unknown } {
  const path: string[] = [];
  let [left, right] = [a, b];
  for (;;) {
    const key = differingKey(left, right);
    if (key === undefined) return { path, a: left, b: right };
    path.push(key);
    left = (left as Record<string, unknown>)[key];
    right = (right as Record<string, unknown>)[key];
  }
}

/** Undefined where the two differ as a whole, or in the order of their keys alone. */
function differingKey(a: unknown, b: unknown): string | undefined {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return undefined;
  if (Array.isArray(a) !== Array.isArray(b)) return undefined;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const left = JSON.stringify((a as Record<string, unknown>)[key]);
    if (left !== JSON.stringify((b as Record<string, unknown>)[key])) return key;
  }
  return undefined;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
