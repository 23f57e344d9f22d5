// The network of one bed: a namespace `ctl` with a bridge and DHCP, and one for each host, joined by veth pairs.
// 10.77.0.0/24 exists in these namespaces alone; nothing is ever routed there from the machine's own network.
//
//   BED-ctl: br0 10.77.0.1, dnsmasq ──v1──up0── BED-h1: br0 10.77.0.11, VMs
//                                   ──v2──up0── BED-h2: br0 10.77.0.12, VMs
import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, type CommandOptions, PATH, run } from './command.ts';

const SUBNET = '10.77.0';
const BRIDGE = 'br0';
/** Hosts have .11 to .14; VMs the rest. */
const DHCP_RANGE = `${SUBNET}.20,${SUBNET}.250,1h`;

export const hostAddress = (number: number): string => `${SUBNET}.${10 + number}`;
export const controlSpace = (bed: string): string => `${bed}-ctl`;
export const hostSpace = (bed: string, host: string): string => `${bed}-${host}`;

/** Runs a program inside a namespace. */
export async function runIn(space: string, command: Command, options: CommandOptions): Promise<string> {
  return await run(['ip', 'netns', 'exec', space, ...command], options);
}

export async function makeControlSpace(bed: string, signal: AbortSignal): Promise<void> {
  const space = controlSpace(bed);
  await run(['ip', 'netns', 'add', space], { signal });
  await makeBridge(space, `${SUBNET}.1`, signal);
}

/** The namespace of host `number`, its bridge, and the cable to the namespace `ctl`. */
export async function makeHostSpace(bed: string, host: string, number: number, signal: AbortSignal): Promise<void> {
  const [control, space] = [controlSpace(bed), hostSpace(bed, host)];
  await run(['ip', 'netns', 'add', space], { signal });
  await makeBridge(space, hostAddress(number), signal);
  const ends = ['name', `v${number}`, 'type', 'veth', 'peer', 'name', 'up0', 'netns', space];
  await run(['ip', '-n', control, 'link', 'add', ...ends], { signal });
  await run(['ip', '-n', space, 'link', 'set', 'up0', 'master', BRIDGE, 'up'], { signal });
  await run(['ip', '-n', control, 'link', 'set', `v${number}`, 'master', BRIDGE, 'up'], { signal });
}

async function makeBridge(space: string, address: string, signal: AbortSignal): Promise<void> {
  const ip = (...args: string[]): Promise<string> => run(['ip', '-n', space, ...args], { signal });
  await ip('link', 'set', 'lo', 'up');
  // Without the delay a VM's first packets (its DHCP request) pass at once.
  await ip('link', 'add', BRIDGE, 'type', 'bridge', 'forward_delay', '0');
  await ip('addr', 'add', `${address}/24`, 'dev', BRIDGE);
  await ip('link', 'set', BRIDGE, 'up');
}

/** Pulls the host's cable out of the bridge of `ctl`, or puts it back. */
export async function setCable(bed: string, number: number, state: 'up' | 'down'): Promise<void> {
  await run(['ip', '-n', controlSpace(bed), 'link', 'set', `v${number}`, state]);
}

/** DHCP for VMs, in `ctl`. It dies with this process. */
export async function startDhcp(bed: string, dir: string): Promise<ChildProcess> {
  const files = [`--dhcp-leasefile=${join(dir, 'leases')}`, '--conf-file=/dev/null', '--pid-file='];
  const service = ['--port=0', `--interface=${BRIDGE}`, '--bind-interfaces', `--dhcp-range=${DHCP_RANGE}`];
  const manner = ['--keep-in-foreground', '--user=root', '--dhcp-authoritative', '--no-ping', '--log-facility=-'];
  // dnsmasq changes its rights, and with that the kernel forgets that it was to die with its parent. tini does not, and takes
  // everything in its process namespace with it.
  const holder = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', 'tini', '--'];
  const command = [
    'ip',
    'netns',
    'exec',
    controlSpace(bed),
    ...holder,
    'dnsmasq',
    ...files,
    ...service,
    ...manner,
  ] as const;
  return await startOwned(command, join(dir, 'dnsmasq.log'));
}

/** Starts a program in the background that is killed when this process dies, however it does. Its words go to `logFile`. */
export async function startOwned(command: Command, logFile: string): Promise<ChildProcess> {
  const log = await open(logFile, 'a');
  try {
    const [program, ...args]: Command = ['setpriv', '--pdeathsig', 'KILL', '--', ...command];
    const child = spawn(program, args, {
      // A Ctrl-C on the terminal is ours to hear.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { PATH, HOME: '/root', LC_ALL: 'C' },
    });
    child.on('error', () => undefined); // seen as one that never started
    return child;
  } finally {
    await log.close();
  }
}
