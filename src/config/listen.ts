// The address the daemon listens on: "127.0.0.1:7070", "[::1]:7070", "localhost:7070". Not here: listening.

import type { Read } from './read.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 7070 };

export function readListen(value: unknown): Read<ListenAddress> {
  const text = typeof value === 'number' ? `${value}` : value;
  const bad = (why: string): Read<ListenAddress> => ({
    ok: false,
    reason: `${why}; write an address and a port, such as 127.0.0.1:7070 or [::1]:7070`,
  });
  if (typeof text !== 'string') return bad('must be text');
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^:[\]\s/]{1,253})):(\d{1,5})$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined) return bad(`"${text.slice(0, 60)}" is no address with a port`);
  const port = Number(match[3]);
  if (port > 65_535) return bad(`${port} is not a port`);
  return { ok: true, value: { host, port } };
}

/** True when only this machine can reach it. */
export function isLoopback({ host }: ListenAddress): boolean {
  return /^127(\.\d{1,3}){3}$/.test(host) || host === '::1' || host.toLowerCase() === 'localhost';
}
