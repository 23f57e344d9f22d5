// Gauges of groups and hosts, read from the engine's pictures at each scrape; what is gone there is gone here.

import { Gauge, type Registry } from 'prom-client';
import type { EngineView, GroupStatus, HostCondition, HostStatus } from '../engine/view.ts';
import { vmCounts } from './group-representation.ts';

const CONDITIONS: readonly HostCondition[] = ['connecting', 'up', 'slow', 'unreachable'];

/** In time, or late. */
export function answers({ condition }: HostStatus): boolean {
  return condition === 'up' || condition === 'slow';
}

export function addGroupGauges(registry: Registry, engine: EngineView): void {
  const registers = [registry];
  const perGroup = (name: string, help: string, value: (group: GroupStatus) => number | undefined): void => {
    new Gauge({
      name,
      help,
      labelNames: ['group'],
      registers,
      collect() {
        this.reset();
        for (const group of engine.groups()) {
          const now = value(group);
          if (now !== undefined) this.set({ group: group.policy.group }, now);
        }
      },
    });
  };

  perGroup('virtscale_group_desired', 'VMs the group shall have', (group) => group.memory.desired);
  perGroup('virtscale_group_min', 'min of the policy', (group) => group.policy.min);
  perGroup('virtscale_group_max', 'max of the policy', (group) => group.policy.max);
  perGroup('virtscale_group_paused', '1 while paused', (group) => (group.memory.paused ? 1 : 0));
  perGroup('virtscale_group_cpu_percent', 'Mean CPU of the ready VMs', (group) => group.lastDecision?.cpuPercent);
  perGroup('virtscale_breaker_open', '1 while launches are held back after failures', (group) =>
    group.memory.breaker.openedAtMs === undefined ? 0 : 1,
  );

  new Gauge({
    name: 'virtscale_group_vms',
    help: 'VMs by phase of their life',
    labelNames: ['group', 'phase'],
    registers,
    collect() {
      this.reset();
      for (const status of engine.groups()) {
        const group = status.policy.group;
        const counts = vmCounts(status.vms);
        this.set({ group, phase: 'launching' }, counts.launching);
        this.set({ group, phase: 'standby' }, counts.standby);
        this.set({ group, phase: 'in-service' }, counts.inService);
        this.set({ group, phase: 'draining' }, counts.draining);
        this.set({ group, phase: 'removing' }, counts.removing);
      }
    },
  });

  new Gauge({
    name: 'virtscale_host_up',
    help: '1 when the host answered the last poll',
    labelNames: ['host'],
    registers,
    collect() {
      this.reset();
      for (const host of engine.hosts()) this.set({ host: host.name }, answers(host) ? 1 : 0);
    },
  });

  new Gauge({
    name: 'virtscale_host_condition',
    help: '1 for the condition the host is in',
    labelNames: ['host', 'condition'],
    registers,
    collect() {
      this.reset();
      for (const { name, condition } of engine.hosts()) {
        for (const one of CONDITIONS) this.set({ host: name, condition: one }, one === condition ? 1 : 0);
      }
    },
  });

  new Gauge({
    name: 'virtscale_host_cordoned',
    help: '1 while the host takes no new VMs',
    labelNames: ['host'],
    registers,
    collect() {
      this.reset();
      for (const { name, traits } of engine.hosts()) this.set({ host: name }, traits.cordoned === undefined ? 0 : 1);
    },
  });
}
