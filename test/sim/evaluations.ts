// Hears every evaluation of a run: each must replay to the same bytes, and none may remove a busy VM while an idler one could go.
// Not here: what VMs and hosts really do (invariants.ts).

import { decide } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { Evaluation } from '../../src/core/evaluation.ts';
import type { Policy } from '../../src/core/policy.ts';
import { Replay } from '../../src/core/replay.ts';
import type { Recorder } from '../../src/ports/recorder.ts';
import type { Trace } from './trace.ts';

export class Evaluations implements Recorder {
  readonly #trace: Trace;
  readonly #replay = new Replay(decide);
  #different = 0;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  record(evaluation: Evaluation): void {
    this.#replay.add(this.#asReadFromAFile(evaluation));
    const { different, differences } = this.#replay.result();
    if (different > this.#different) {
      this.#trace.violation(`a replay differs: ${JSON.stringify(differences.at(-1))}`);
      this.#different = different;
    }
    this.#trace.count('evaluations replayed');
    for (const decision of evaluation.decisions) {
      const policy = evaluation.policies.find(({ group }) => group === decision.group);
      if (policy !== undefined) this.#judge(decision, policy, evaluation);
    }
  }

  /** What goes into the decision; what came of it is only compared as text. */
  #asReadFromAFile(evaluation: Evaluation): Evaluation {
    const { memory, nowMs, policies, snapshot } = evaluation;
    const read = JSON.parse(JSON.stringify({ snapshot, policies, memory, nowMs })) as Evaluation;
    return { ...evaluation, ...read };
  }

  #judge(decision: Decision, policy: Policy, { snapshot }: Evaluation): void {
    let size = decision.desiredBefore;
    for (const { from, to, step } of decision.steps) {
      if (from !== size)
        this.#trace.violation(`the step ${step} of ${decision.group} begins at ${from}, not at ${size}`);
      size = to;
    }
    if (size !== decision.desired)
      this.#trace.violation(`the steps of ${decision.group} end at ${size}, not at ${decision.desired}`);
    if (policy.removal.kind !== 'idlest' || decision.refresh !== undefined) return;
    const up = new Set(snapshot.hosts.filter(({ state }) => state === 'up').map(({ name }) => name));
    const chosen = new Set(decision.actions.flatMap((one) => (one.kind === 'drain' && !one.atOnce ? [one.vmId] : [])));
    const eligible = snapshot.vms.filter(
      ({ fresh, record, unhealthy }) =>
        record.group === decision.group &&
        record.phase === 'in-service' &&
        fresh &&
        up.has(record.host) &&
        record.isProtected !== true &&
        unhealthy === undefined,
    );
    const busyness = (name: string): number | undefined => decision.cpuByVm[name];
    for (const { record } of eligible) {
      if (!chosen.has(record.id)) continue;
      const busy = busyness(record.name);
      const idler = eligible.find(
        (other) => !chosen.has(other.record.id) && (busyness(other.record.name) ?? 101) < (busy ?? 101),
      );
      if (idler !== undefined)
        this.#trace.violation(`${record.name} is removed at ${busy} % while ${idler.record.name} idles`);
    }
  }

  async find(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {}
}
