// A user and a host as they may stand in an address that is handed to ssh. Not here: libvirt URIs (pm-address), connecting.

import { isIPv4, isIPv6 } from 'node:net';
import type { Read } from './read.ts';
import { shown } from './schemas.ts';

/** The host in lower case, an IPv6 address in its shortest form and without brackets. */
export function readHost(text: string): Read<string> {
  const bad = (why: string): Read<string> => ({ ok: false, reason: `${shown(text)} ${why}` });
  if (text === '') return { ok: false, reason: 'the host is missing' };
  if (text.startsWith('-')) return bad('begins with a dash: ssh would take it for an option');
  if (text.startsWith('[') && text.endsWith(']')) {
    const address = text.slice(1, -1);
    if (isIPv6(address) && !address.includes('%')) {
      return { ok: true, value: new URL(`http://[${address}]`).hostname.slice(1, -1) };
    }
    return bad('is no IPv6 address (for one with a zone, use a name from ~/.ssh/config)');
  }
  if (isIPv6(text)) return bad(`is an IPv6 address; write it in brackets: [${text}]`);
  const stranger = strangerIn(text);
  if (stranger !== undefined) return bad(`is no host: ${stranger} has no place in it`);
  if (/^[\d.]+$/.test(text) && !isIPv4(text)) return bad('is no IP address: that has four numbers from 0 to 255');
  // Underscores are in no DNS name, but in names of ~/.ssh/config.
  const label = /^[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?$/i;
  if (text.length > 253 || !text.split('.').every((part) => label.test(part))) return bad('is no host name');
  return { ok: true, value: text.toLowerCase() };
}

export function readUser(text: string): Read<string> {
  const bad = (why: string): Read<string> => ({ ok: false, reason: `the user ${shown(text)} ${why}` });
  if (text === '') return { ok: false, reason: 'there is no user before the @' };
  if (text.startsWith('-')) return bad('begins with a dash: ssh would take it for an option');
  if (text.includes(':')) return bad('has a password behind it; ssh keys are used instead');
  const stranger = strangerIn(text);
  if (stranger !== undefined) return bad(`has a character that is not allowed: ${stranger}`);
  if (!/^[a-z\d_][a-z\d_.-]{0,63}$/i.test(text)) return bad('is no user name of up to 64 letters, digits, and _ . -');
  return { ok: true, value: text };
}

export function readPort(text: string): Read<number> {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= 65_535) return { ok: true, value };
  return { ok: false, reason: `${shown(text)} is no port; a port is from 1 to 65535` };
}

function strangerIn(text: string): string | undefined {
  const found = /[^a-z\d_.-]/iu.exec(text)?.[0];
  if (found === undefined) return undefined;
  if (/\s/u.test(found)) return 'white space';
  return /[\p{C}\p{Z}]/u.test(found) ? `U+${found.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}` : found;
}
