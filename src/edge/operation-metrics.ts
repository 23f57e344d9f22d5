// Gauges of operations that have not ended, read at each scrape. Not here: those that have (metrics, from the event log).

import { Gauge, type Registry } from 'prom-client';
import type { OperationState } from '../core/operation.ts';
import type { EngineView } from '../engine/view.ts';

const OPEN: readonly OperationState[] = ['queued', 'placed', 'running'];
/** What one scrape looks at, of each state. */
const MAX = 10_000;

export function addOperationGauges(registry: Registry, engine: EngineView): void {
  const registers = [registry];
  new Gauge({
    name: 'virtscale_operations',
    help: 'Operations that have not ended',
    labelNames: ['kind', 'state'],
    registers,
    async collect() {
      const found = await Promise.all(OPEN.map((state) => engine.operations({ state, limit: MAX })));
      this.reset();
      for (const { operation } of found.flat()) this.inc({ kind: operation.kind, state: operation.state });
    },
  });
  new Gauge({
    name: 'virtscale_queue_length',
    help: 'Requests for VMs that wait to be placed',
    registers,
    async collect() {
      const queued = await engine.operations({ state: 'queued', limit: MAX });
      this.set(queued.length);
    },
  });
}
