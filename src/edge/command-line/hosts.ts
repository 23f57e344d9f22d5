// `virtscale hosts`: looking at hosts, and keeping new VMs away from one.

import type { Command } from 'commander';
import { hostSchema, hostsSchema, type PublicHost } from '../schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { gib, percent } from './figures.ts';
import type { Cell, Style, Terminal } from './terminal.ts';

export function addHostCommands(root: Command, contextOf: ContextOf): void {
  const hosts = root.command('hosts').description('hosts: list, show, cordon');
  listCommand(hosts, 'the hosts').action((options: ClientOptions) => showHosts(contextOf(options)));
  clientCommand(hosts, 'show', 'one host with all that is known of it')
    .argument('<name>')
    .action((name: string, options: ClientOptions) => showHost(contextOf(options), name));
  clientCommand(hosts, 'cordon', 'let a host take no new VMs; those on it stay')
    .argument('<name>')
    .requiredOption('-r, --reason <text>', 'why, for those who see it')
    .action((name: string, options: ClientOptions & { reason: string }) =>
      mark(contextOf(options), name, options.reason),
    );
  clientCommand(hosts, 'uncordon', 'let it take new VMs again')
    .argument('<name>')
    .action((name: string, options: ClientOptions) => mark(contextOf(options), name, null));
}

async function showHosts({ api, terminal, json }: ClientContext): Promise<void> {
  const { hosts } = await api.get('/v1/hosts', hostsSchema);
  if (json) return terminal.json(hosts, 2);
  printHosts(terminal, hosts);
}

const STYLES: Readonly<Record<PublicHost['state'], Style>> = {
  connecting: 'yellow',
  up: 'green',
  slow: 'yellow',
  unreachable: 'red',
};

export function printHosts(terminal: Terminal, hosts: readonly PublicHost[]): void {
  const rows = hosts.map((host): (Cell | string)[] => {
    const { id, name, uri, state, capacity, promised, accel, reason, cordoned } = host;
    const remarks = [
      ...(cordoned === undefined ? [] : [`cordoned: ${cordoned}`]),
      ...(reason === undefined ? [] : [reason]),
    ];
    return [
      `${id}`,
      { text: name, style: 'bold' },
      { text: state, style: STYLES[state] },
      `${host.vmCount}/${host.runningCount}/${host.domainCount}`,
      capacity === undefined ? '–' : `${promised.vcpus}/${capacity.cpus}`,
      capacity === undefined ? '–' : `${gib(capacity.memoryFreeMiB)}/${gib(capacity.memoryMiB)} GiB`,
      capacity === undefined ? '–' : `${capacity.diskFreeGiB.toFixed(0)}/${capacity.diskGiB.toFixed(0)} GiB`,
      accel ?? '–',
      remarks.join('; ') || uri,
    ];
  });
  const heads = ['ID', 'HOST', 'STATE', 'VMS/RUN/ALL', 'VCPUS/CPUS', 'MEMORY FREE', 'DISK FREE', 'ACCEL', ''];
  terminal.table(heads, rows, 'No hosts.');
}

async function showHost({ api, terminal, json }: ClientContext, name: string): Promise<void> {
  const host = await api.get(`/v1/hosts/${encodeURIComponent(name)}`, hostSchema);
  if (json) return terminal.json(host, 2);
  terminal.fields(hostFields(host));
}

function hostFields(host: PublicHost): readonly (readonly [string, Cell | string | undefined])[] {
  const { capacity, free, overcommit, promised, reserved } = host;
  const labels = Object.entries(host.labels).map(([key, value]) => `${key}=${value}`);
  return [
    ['host', { text: `${host.id} ${host.name}`, style: 'bold' }],
    ['uri', host.uri],
    ['state', { text: host.state, style: STYLES[host.state] }],
    ['why', host.reason],
    ['cordoned', host.cordoned],
    ['last seen', host.lastSeenAt],
    ['poll', host.pollMs === undefined ? undefined : `${host.pollMs.toFixed(0)} ms`],
    ['libvirt', host.libvirtVersion],
    ['QEMU', host.qemuVersion],
    ['accelerator', host.accel && `${host.accel}: ${host.accelReason ?? ''}`],
    ['CPU', [host.arch ?? '', host.cpuModel ?? ''].join(' ').trim()],
    ['CPUs', capacity && `${capacity.cpus}`],
    ['CPUs in use', capacity?.cpuPercent === undefined ? undefined : percent(capacity.cpuPercent)],
    ['memory', capacity && `${gib(capacity.memoryMiB)} GiB, ${gib(capacity.memoryFreeMiB)} GiB free`],
    ['disk', capacity && `${capacity.diskGiB.toFixed(1)} GiB, ${capacity.diskFreeGiB.toFixed(1)} GiB free`],
    ['promised', `${promised.vcpus} vCPUs, ${gib(promised.memoryMiB)} GiB memory`],
    [
      'to promise',
      free && `${free.vcpus} vCPUs, ${gib(free.memoryMiB)} GiB memory, ${free.diskGiB.toFixed(1)} GiB disk`,
    ],
    ['reserved', `${reserved.vcpus} CPUs, ${gib(reserved.memoryMiB)} GiB memory, ${reserved.diskGiB} GiB disk`],
    ['overcommit', `CPUs ${overcommit.cpus}, memory ${overcommit.memory}, disk ${overcommit.disk}`],
    ['labels', labels.join(', ')],
    ['domains', `${host.domainCount}: ${host.runningCount} run, ${host.vmCount} are VMs of virtscale`],
  ];
}

async function mark({ api, terminal, json }: ClientContext, name: string, cordoned: string | null): Promise<void> {
  const host = await api.send('PATCH', `/v1/hosts/${encodeURIComponent(name)}`, hostSchema, { body: { cordoned } });
  if (json) return terminal.json(host, 2);
  const text = cordoned === null ? 'takes new VMs' : `takes no new VMs: ${cordoned}`;
  terminal.line(`${terminal.styled('bold', host.name)} ${terminal.styled(undefined, text)}`);
}
