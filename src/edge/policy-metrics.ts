// Gauges of what policies bring beside a size: candidates, templates, refreshes, what is suspended, balancers. Read from the engine's
// pictures at each scrape. Not here: sizes and phases (group-metrics), what is counted (metrics).

import { Gauge, type Registry } from 'prom-client';
import type { Suspendable } from '../core/memory.ts';
import type { EngineView, GroupStatus, TemplateStatus } from '../engine/view.ts';

const TEMPLATE_STATES: readonly TemplateStatus['state'][] = ['ready', 'making', 'waiting', 'impossible'];
const PROCESSES: readonly Suspendable[] = ['launch', 'remove', 'health', 'schedule'];

/** `failedBalancers`: those that do not do as they are told, as the event log says. */
export function addPolicyGauges(registry: Registry, engine: EngineView, failedBalancers: ReadonlySet<string>): void {
  const perGroup = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    samples: (group: GroupStatus) => readonly (readonly [labels: Partial<Record<L, string>>, value: number])[],
  ): void => {
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const group of engine.groups()) {
          for (const [labels, value] of samples(group)) this.set(labels, value);
        }
      },
    });
  };

  perGroup(
    'virtscale_candidate_desired',
    'VMs the group would have if this policy, which only observes, had acted',
    ['group', 'candidate'],
    ({ policy: { group }, candidates }) =>
      candidates.flatMap(({ name: candidate, desired }) =>
        desired === undefined ? [] : [[{ group, candidate }, desired] as const],
      ),
  );
  perGroup(
    'virtscale_group_suspended',
    '1 while people have stopped this part of the group',
    ['group', 'process'],
    ({ policy: { group }, memory: { suspended = [] } }) =>
      PROCESSES.map((process) => [{ group, process }, suspended.includes(process) ? 1 : 0] as const),
  );
  perGroup(
    'virtscale_template_state',
    '1 for the state of the template that VMs are forked from',
    ['group', 'host', 'state'],
    ({ policy: { group }, templates }) =>
      templates.flatMap(({ host, state: now }) =>
        TEMPLATE_STATES.map((state) => [{ group, host, state }, state === now ? 1 : 0] as const),
      ),
  );
  perGroup(
    'virtscale_template_bytes',
    'Size of the template on the host',
    ['group', 'host'],
    ({ policy: { group }, templates }) =>
      templates.flatMap(({ host, bytes }) => (bytes === undefined ? [] : [[{ group, host }, bytes] as const])),
  );
  perGroup(
    'virtscale_refresh_vms',
    'VMs of a rolling refresh that is under way: replaced, and to be replaced in all',
    ['group', 'what'],
    ({ policy: { group }, lastDecision }) => {
      const refresh = lastDecision?.refresh;
      if (refresh === undefined) return [];
      return [[{ group, what: 'done' }, refresh.done] as const, [{ group, what: 'total' }, refresh.total] as const];
    },
  );
  perGroup(
    'virtscale_balancer_up',
    '1 when the balancer does as it is told',
    ['balancer'],
    ({ policy: { balancer } }) =>
      balancer === undefined ? [] : [[{ balancer }, failedBalancers.has(balancer) ? 0 : 1] as const],
  );
}
