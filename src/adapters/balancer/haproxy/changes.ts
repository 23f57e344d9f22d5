// Which commands make a backend what it should be. Pure. Not here: sending them (haproxy-balancer).

import { isOurServer } from '../server-name.ts';
import type { HaproxyServer } from './runtime-answers.ts';

/** A server as it should be. */
export interface WantedServer {
  /** As HAProxy calls it. */
  readonly name: string;
  /** An IP address in its usual form; absent: nobody knows it now, and a server that is there stays as it is. */
  readonly address?: string;
  readonly port: number;
  readonly state: 'ready' | 'drain';
}

export interface ServerSettings {
  readonly backend: string;
  /** 0–256; HAProxy's own default is 1. */
  readonly weight: number;
  /** Words behind the address of a new server. */
  readonly options: string;
}

/** What is to be done about one server. */
export interface Change {
  /** In this order, on one line. */
  readonly commands: readonly string[];
  /** Nobody is routed there any more: whether it is gone as well may wait for the last connection. */
  readonly isRemoval: boolean;
}

/** First what brings capacity, then what takes it. Empty: all is as it should be. What others put into the backend is not touched. */
export function changesOf(
  wanted: readonly WantedServer[],
  present: readonly HaproxyServer[],
  settings: ServerSettings,
): readonly Change[] {
  const now = new Map(present.map((server) => [server.name, server]));
  const listed = new Set(wanted.map(({ name }) => name));
  const ordered = [...wanted].sort((a, b) => Number(a.state === 'drain') - Number(b.state === 'drain'));
  const changes: Change[] = ordered.map((server) => ({
    commands: commandsFor(server, now.get(server.name), settings),
    isRemoval: false,
  }));
  for (const server of present) {
    if (!isOurServer(server.name) || listed.has(server.name)) continue;
    changes.push({ commands: removalOf(server, settings.backend), isRemoval: true });
  }
  return changes.filter(({ commands }) => commands.length > 0);
}

function commandsFor(wanted: WantedServer, now: HaproxyServer | undefined, settings: ServerSettings): string[] {
  const { address, name, port, state } = wanted;
  if (address === undefined) return [];
  const server = `${settings.backend}/${name}`;
  if (now === undefined) {
    const where = address.includes(':') ? `ipv6@[${address}]:${port}` : `${address}:${port}`;
    return [
      `add server ${server} ${where} weight ${settings.weight} ${settings.options}`.trim(),
      ...(/\bcheck\b/.test(settings.options) ? [`enable health ${server}`] : []),
      `set server ${server} state ${state}`,
    ];
  }
  const commands: string[] = [];
  if (now.address !== address || now.port !== port) commands.push(`set server ${server} addr ${address} port ${port}`);
  if (now.weight !== settings.weight) commands.push(`set server ${server} weight ${settings.weight}`);
  if (now.checkIsOff) commands.push(`enable health ${server}`);
  if (now.isMaintained || now.isDraining !== (state === 'drain')) commands.push(`set server ${server} state ${state}`);
  return commands;
}

function removalOf({ isMaintained, name }: HaproxyServer, backend: string): string[] {
  const server = `${backend}/${name}`;
  return [...(isMaintained ? [] : [`set server ${server} state maint`]), `del server ${server}`];
}
