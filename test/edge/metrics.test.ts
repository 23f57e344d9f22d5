// /metrics, read back by a strict parser of its own.

import { describe, expect, it } from 'vitest';
import { edgeApp } from './edge-app.ts';
import { aDecision, aGroup, aHost, aVm } from './fake-engine.ts';
import { aFullDecision, aFullGroup } from './full-group.ts';
import { type Family, parsePrometheus } from './prometheus-text.ts';

const VM = { id: 7, name: 'web-7', uuid: 'u', host: 'local' };
const ENDPOINT = { address: '127.0.1.7', port: 80 };

async function scrape(app: ReturnType<typeof edgeApp>['app']): Promise<ReadonlyMap<string, Family>> {
  const answer = await app.request('/metrics');
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  return parsePrometheus(await answer.text());
}

function value(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const samples = [...families.values()].flatMap((family) => family.samples);
  return samples.find(
    (sample) => sample.name === name && Object.entries(labels).every(([key, wanted]) => sample.labels[key] === wanted),
  )?.value;
}

describe('/metrics', () => {
  it('has every promised name before anything has happened', async () => {
    const families = await scrape(edgeApp().app);
    const names = `poll_duration_seconds poll_failures_total turn_duration_seconds decision_duration_seconds decisions_total
      actions_total action_duration_seconds group_desired group_min group_max group_vms group_cpu_percent
      launch_duration_seconds launch_failures_total breaker_open host_up events_total event_subscribers
      event_subscribers_dropped_total build_info
      candidate_desired candidate_actions_total group_actions_total template_state hooks_ended_total balancer_up
      health_replacements_total`;
    for (const name of names.split(/\s+/)) expect(families.has(`virtscale_${name}`), name).toBe(true);
    expect(families.has('process_cpu_seconds_total')).toBe(true);
    expect(value(families, 'virtscale_build_info', { version: '1.2.3' })).toBe(1);
    expect(value(families, 'virtscale_events_total', { type: 'vm.launched' })).toBe(0);
  });

  it('takes what the engine measures', async () => {
    const { app, metrics } = edgeApp();
    metrics.polled('a', 0.02, 'ok');
    metrics.polled('a', 5, 'failed');
    metrics.turnEnded(0.1);
    metrics.decided('web', 0.0002, aDecision());
    metrics.decided('web', 0.0002, aDecision({ cause: 'none' }));
    metrics.stepped('web', 'define', 0.05, 'ok');
    metrics.stepped('web', 'define', 0.05, 'retry');
    metrics.subscribers(2);
    metrics.subscriberDropped(4008);
    const families = await scrape(app);
    expect(value(families, 'virtscale_poll_duration_seconds_bucket', { host: 'a', le: '0.025' })).toBe(1);
    expect(value(families, 'virtscale_poll_duration_seconds_count', { host: 'a' })).toBe(2);
    expect(value(families, 'virtscale_poll_failures_total', { host: 'a' })).toBe(1);
    expect(value(families, 'virtscale_turn_duration_seconds_sum')).toBeCloseTo(0.1);
    expect(value(families, 'virtscale_decisions_total', { group: 'web', cause: 'none' })).toBe(1);
    expect(value(families, 'virtscale_actions_total', { group: 'web', step: 'define', outcome: 'retry' })).toBe(1);
    expect(value(families, 'virtscale_event_subscribers')).toBe(2);
    expect(value(families, 'virtscale_event_subscribers_dropped_total', { code: '4008' })).toBe(1);
  });

  it('counts events, launches and failures from the log', async () => {
    const { app, engine } = edgeApp();
    engine.log.append(
      { type: 'vm.launched', group: 'web', vm: VM, endpoint: ENDPOINT, launchMs: 2500 },
      { type: 'vm.failed', group: 'web', vm: VM, reason: 'not ready', step: 'started' },
    );
    const families = await scrape(app);
    expect(value(families, 'virtscale_launch_duration_seconds_sum', { group: 'web', way: 'cold' })).toBe(2.5);
    expect(value(families, 'virtscale_launch_failures_total', { group: 'web' })).toBe(1);
    expect(value(families, 'virtscale_events_total', { type: 'vm.failed' })).toBe(1);
  });

  it('counts by which way VMs came, what became of hooks, and who was unhealthy', async () => {
    const { app, engine } = edgeApp();
    engine.log.append(
      { type: 'policy.loaded', group: 'web', file: 'f' },
      { type: 'vm.launched', group: 'web', vm: VM, launchMs: 6, way: 'paused' },
      { type: 'vm.launched', group: 'web', vm: VM, launchMs: 400, way: 'fork' },
      { type: 'vm.fallback', group: 'web', vm: VM, from: 'fork', to: 'cold', reason: 'compressed' },
      { type: 'hook.ended', group: 'web', vm: VM, hook: 'launch', outcome: 'timed-out', tries: 3, text: '' },
    );
    expect(value(await scrape(app), 'virtscale_vm_unhealthy_total', { group: 'web' })).toBe(0);
    engine.log.append({ type: 'vm.unhealthy', group: 'web', vm: VM, reason: 'HTTP 500' });
    const families = await scrape(app);
    const launches = (labels: Record<string, string>) =>
      value(families, 'virtscale_launch_duration_seconds_bucket', { group: 'web', ...labels });
    expect([launches({ way: 'paused', le: '0.005' }), launches({ way: 'paused', le: '0.01' })]).toEqual([0, 1]);
    expect(launches({ way: 'fork', le: '0.5' })).toBe(1);
    expect(value(families, 'virtscale_launch_fallbacks_total', { group: 'web', from: 'fork', to: 'cold' })).toBe(1);
    expect(value(families, 'virtscale_hooks_ended_total', { hook: 'launch', outcome: 'timed-out' })).toBe(1);
    expect(value(families, 'virtscale_vm_unhealthy_total', { group: 'web' })).toBe(1);
  });

  it('shows what a candidate would have done beside what was done', async () => {
    const { app, metrics, engine } = edgeApp({ groups: [aFullGroup()] });
    engine.log.append(
      { type: 'policy.loaded', group: 'all', file: 'f' },
      { type: 'policy.loaded', group: 'all', file: 'f', candidate: 'gentler' },
    );
    metrics.decided('all', 0.0002, aFullDecision({ desiredBefore: 3, desired: 2 }));
    metrics.decided('all', 0.0002, aDecision({ desiredBefore: 2, desired: 2 }));
    metrics.observed('all', 'gentler', aDecision({ desiredBefore: 2, desired: 4 }));
    metrics.observed('all', 'gentler', aDecision({ desiredBefore: 4, desired: 4 }));
    const families = await scrape(app);
    const actions = (name: string, direction: string) =>
      value(families, `virtscale_${name}_actions_total`, { group: 'all', direction });
    expect([actions('candidate', 'out'), actions('candidate', 'in')]).toEqual([1, 0]);
    expect([actions('group', 'out'), actions('group', 'in')]).toEqual([0, 1]);
    expect(value(families, 'virtscale_candidate_desired', { group: 'all', candidate: 'gentler' })).toBe(3);
    expect(value(families, 'virtscale_candidate_desired', { candidate: 'fresh' })).toBeUndefined();
    expect(value(families, 'virtscale_health_replacements_total', { group: 'all' })).toBe(1);
  });

  it('shows templates, refreshes, what is suspended, and whether balancers do as they are told', async () => {
    const { app, engine } = edgeApp({ groups: [aFullGroup()] });
    const families = await scrape(app);
    expect(value(families, 'virtscale_template_state', { host: 'local', state: 'ready' })).toBe(1);
    expect(value(families, 'virtscale_template_state', { host: 'far', state: 'ready' })).toBe(0);
    expect(value(families, 'virtscale_template_state', { host: 'far', state: 'impossible' })).toBe(1);
    expect(value(families, 'virtscale_template_bytes', { host: 'local' })).toBe(123_456_789);
    expect(value(families, 'virtscale_refresh_vms', { group: 'all', what: 'total' })).toBe(3);
    expect(value(families, 'virtscale_group_suspended', { group: 'all', process: 'remove' })).toBe(1);
    expect(value(families, 'virtscale_group_suspended', { group: 'all', process: 'launch' })).toBe(0);
    expect(value(families, 'virtscale_group_vms', { group: 'all', phase: 'standby' })).toBe(1);
    const up = async () => value(await scrape(app), 'virtscale_balancer_up', { balancer: 'front' });
    expect(await up()).toBe(1);
    engine.log.append({ type: 'balancer.failed', balancer: 'front', reason: 'no socket' });
    expect(await up()).toBe(0);
    engine.log.append({ type: 'balancer.recovered', balancer: 'front' });
    expect(await up()).toBe(1);
  });

  it('shows groups and hosts as they are at the scrape', async () => {
    const hosts = [aHost(), aHost({ name: 'b', condition: 'unreachable' })];
    const vms = [aVm(), aVm({ id: 8, phase: 'launching' }), aVm({ id: 9, phase: 'launching' })];
    const { app, engine } = edgeApp({ hosts, groups: [aGroup({ vms })] });
    const families = await scrape(app);
    expect(value(families, 'virtscale_group_vms', { group: 'web', phase: 'launching' })).toBe(2);
    expect(value(families, 'virtscale_group_vms', { group: 'web', phase: 'draining' })).toBe(0);
    expect(value(families, 'virtscale_group_cpu_percent', { group: 'web' })).toBe(91.2);
    expect(value(families, 'virtscale_host_up', { host: 'local' })).toBe(1);
    expect(value(families, 'virtscale_host_up', { host: 'b' })).toBe(0);
    expect(value(families, 'libvirt_up', { host: 'b' })).toBe(0);
    expect(value(families, 'virtscale_group_desired', { group: 'web' })).toBe(1);
    await engine.setDesired('web', 4);
    expect(value(await scrape(app), 'virtscale_group_desired', { group: 'web' })).toBe(4);
  });

  it('gives domains the names dashboards know, whatever they are called', async () => {
    const odd = 'a"b\\c\nd';
    const domain = { host: 'local', uuid: 'u1', vcpus: 2, memoryMiB: 256, cpuTimeNs: 1.5e9, running: true };
    const { app } = edgeApp({
      domains: [
        { ...domain, name: 'vm1' },
        { ...domain, name: odd, uuid: 'u2', running: false },
        { host: 'b', name: 'vm1', uuid: 'u3', vcpus: 1, memoryMiB: 64, running: true },
      ],
    });
    for (const families of [await scrape(app), await scrape(app)]) {
      const of = (name: string, labels: Record<string, string>) =>
        value(families, `libvirt_domain_info_${name}`, labels);
      expect(of('cpu_time_seconds_total', { domain: 'vm1', host: 'local' })).toBe(1.5);
      expect(of('cpu_time_seconds_total', { domain: 'vm1', host: 'b' })).toBeUndefined();
      expect(of('memory_usage_bytes', { domain: 'vm1', host: 'local' })).toBe(268_435_456);
      expect(of('virtual_cpus', { domain: 'vm1', host: 'b' })).toBe(1);
      expect(of('vstate', { domain: odd })).toBe(5);
      expect(of('vstate', { domain: 'vm1' })).toBe(1);
      expect(of('meta', { domain: odd })).toBe(1);
      expect(families.get('libvirt_domain_info_cpu_time_seconds_total')?.type).toBe('counter');
    }
  });

  it('scrapes a thousand domains in well under a second', async () => {
    const domains = Array.from({ length: 1000 }, (_, at) => ({
      host: `h${at % 10}`,
      name: `vm${at}`,
      uuid: `u${at}`,
      vcpus: 1,
      memoryMiB: 128,
      cpuTimeNs: at,
      running: true,
    }));
    const { app } = edgeApp({ domains });
    const startedAt = performance.now();
    const families = await scrape(app);
    expect(performance.now() - startedAt).toBeLessThan(1000);
    expect(families.get('libvirt_domain_info_virtual_cpus')?.samples).toHaveLength(1000);
  });
});
