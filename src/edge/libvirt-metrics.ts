// The libvirt_* names that existing dashboards ask for, with one more label, host, as one virtscale speaks for many hosts.
// From the last polls, never from libvirt itself. Not here: names whose values a poll does not bring (blocks, interfaces).

import { Counter, Gauge, type Registry } from 'prom-client';
import type { DomainStatus, EngineView } from '../engine/view.ts';
import { answers } from './group-metrics.ts';

const MIB = 1024 * 1024;
/** virDomainState: a poll tells these two apart; running includes paused and shutting down. */
const STATE = { running: 1, shutoff: 5 };

export function addLibvirtMetrics(registry: Registry, engine: EngineView): void {
  const registers = [registry];
  const labelNames = ['domain', 'host'];
  const perDomain = (name: string, help: string, value: (domain: DomainStatus) => number): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const domain of engine.domains()) this.set({ domain: domain.name, host: domain.host }, value(domain));
      },
    });
  };

  perDomain('libvirt_domain_info_virtual_cpus', 'Number of virtual CPUs', (domain) => domain.vcpus);
  perDomain('libvirt_domain_info_memory_usage_bytes', 'Memory given to the domain', (domain) => domain.memoryMiB * MIB);
  perDomain('libvirt_domain_info_vstate', 'State as virDomainState numbers it: 1 running, 5 shut off', (domain) =>
    domain.running ? STATE.running : STATE.shutoff,
  );

  new Counter({
    name: 'libvirt_domain_info_cpu_time_seconds_total',
    help: 'CPU time the domain has used since it started',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const domain of engine.domains()) {
        if (domain.cpuTimeNs !== undefined)
          this.inc({ domain: domain.name, host: domain.host }, domain.cpuTimeNs / 1e9);
      }
    },
  });

  new Gauge({
    name: 'libvirt_domain_info_meta',
    help: 'Always 1; joins the uuid to the other series',
    labelNames: [...labelNames, 'uuid'],
    registers,
    collect() {
      this.reset();
      for (const { name, host, uuid } of engine.domains()) this.set({ domain: name, host, uuid }, 1);
    },
  });

  new Gauge({
    name: 'libvirt_up',
    help: '1 when the last poll of the host succeeded',
    labelNames: ['host'],
    registers,
    collect() {
      this.reset();
      for (const host of engine.hosts()) this.set({ host: host.name }, answers(host) ? 1 : 0);
    },
  });

  new Gauge({
    name: 'libvirt_domains',
    help: 'Domains on the host at the last poll',
    labelNames: ['host'],
    registers,
    collect() {
      this.reset();
      for (const host of engine.hosts()) this.set({ host: host.name }, host.domains);
    },
  });
}
