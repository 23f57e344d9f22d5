// What people write for a physical machine (an address, localhost, a libvirt URI) to the URI it is reached by and what tells it
// from others. Not here: the file it stands in, and what a transport does with the URI's options.

import type { Read } from './read.ts';
import { shown } from './schemas.ts';
import { readHost, readPort, readUser } from './ssh-address.ts';

export interface PmAddress {
  readonly uri: string;
  /** The same however the address is written: lower-case host, no default port, none of the options that only say how to get there. */
  readonly key: string;
  /** Equal for two addresses of one hypervisor, whoever the user is and whatever the transport. */
  readonly machine: string;
  /** What people would call it: the host, with the port when that is not the usual one. Not yet made fit for names. */
  readonly label: string;
}

const LOCAL = 'qemu:///system';
const WAYS = `write ADDRESS, USER@ADDRESS, USER@ADDRESS:PORT, localhost or a libvirt URI such as ${LOCAL}`;
const DEFAULT_PORTS = { ssh: 22, tcp: 16_509, tls: 16_514 } as const;
const TRANSPORTS = ['unix', 'ssh', 'tcp', 'tls'] as const;
type Transport = (typeof TRANSPORTS)[number];

/** `10.0.0.5`, `root@10.0.0.5:2222`, `[2001:db8::5]`, `localhost`, `qemu+tls://kvm5/system`. */
export function readPmAddress(text: string): Read<PmAddress> {
  if (text.length > 500) return bad(text, 'is longer than 500 characters');
  if (text.toLowerCase() === 'localhost') return readUri(LOCAL);
  if (text.includes('://')) return readUri(text);
  if (/\s/u.test(text)) return bad(text, `has white space in it; one address a line: ${WAYS}`);
  const match = /^(?:(?<user>.*)@)?(?<host>\[[^\]]*\]|[^:]*)(?::(?<port>[^:]*))?$/su.exec(text)?.groups;
  // More than one colon outside brackets: readHost says what an IPv6 address needs.
  if (match === undefined) {
    const host = readHost(text.slice(text.lastIndexOf('@') + 1));
    return host.ok ? bad(text, `is no address; ${WAYS}`) : host;
  }
  return fromParts({
    driver: 'qemu',
    transport: 'ssh',
    user: match['user'],
    host: match['host'] ?? '',
    port: match['port'],
    path: '/system',
    query: 'no_tty=1',
  });
}

interface Parts {
  readonly driver: string;
  readonly transport: Transport;
  readonly user: string | undefined;
  readonly host: string;
  readonly port: string | undefined;
  readonly path: string;
  readonly query: string;
  /** The URI as it was written; made from the parts when absent. */
  readonly written?: string;
}

const URI =
  /^(?<driver>[a-z][a-z\d]*)(?:\+(?<transport>[a-z\d]+))?:\/\/(?:(?<user>[^@/?#]*)@)?(?<host>\[[^\]]*\]|[^:/?#]*)(?::(?<port>[^/?#]*))?(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/i;

function readUri(text: string): Read<PmAddress> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const stranger = /[\x00-\x20\x7f-\u{10ffff}"'`<>\\^{|}]/u.exec(text)?.[0];
  if (stranger !== undefined) return bad(text, `is no libvirt URI: ${shown(stranger)} has no place in it`);
  const groups = URI.exec(text)?.groups;
  const parts = groups && decodedParts(groups);
  if (!groups || !parts) return bad(text, `is no libvirt URI; ${WAYS}`);
  const driver = (groups['driver'] ?? '').toLowerCase();
  if (driver !== 'qemu' && driver !== 'test') {
    return bad(text, `is for ${driver}; only qemu (and libvirt's own test driver) are supported`);
  }
  const transport = groups['transport']?.toLowerCase() ?? (parts.host === '' ? 'unix' : 'tls');
  if (!isTransport(transport)) {
    const instead = transport.startsWith('libssh') ? '; write qemu+ssh://' : '';
    return bad(text, `asks for the transport ${transport}; there are ${TRANSPORTS.join(', ')}${instead}`);
  }
  const path = groups['path'] ?? '';
  if (driver === 'qemu' && path !== '/system' && path !== '/session') {
    return bad(text, 'needs /system or /session after the host');
  }
  if (path.length < 2) return bad(text, 'needs a path such as /default after the host');
  const { host, user } = parts;
  if (transport === 'unix') {
    if (host !== '' || user !== undefined || groups['port'] !== undefined) {
      return bad(text, 'has a host, but a unix socket is on this machine; write qemu+ssh:// for another one');
    }
  } else if (host === '') return bad(text, `needs a host for the transport ${transport}`);
  const query = groups['query'] ?? '';
  return fromParts({ driver, transport, user, host, port: groups['port'], path, query, written: text });
}

function fromParts({
  driver,
  transport,
  user,
  host: rawHost,
  port: rawPort,
  path,
  query,
  written,
}: Parts): Read<PmAddress> {
  const host = transport === 'unix' ? ({ ok: true, value: '' } as const) : readHost(rawHost);
  if (!host.ok) return host;
  const name = user === undefined ? undefined : readUser(user);
  if (name?.ok === false) return name;
  const given = rawPort === undefined ? undefined : readPort(rawPort);
  if (given?.ok === false) return given;
  const port = transport === 'unix' || given?.value === DEFAULT_PORTS[transport] ? undefined : given?.value;
  const which = identifying(query);
  if (which === undefined) return bad(written ?? '', 'has a % that is no percent-encoding');
  const hostText = host.value.includes(':') ? `[${host.value}]` : host.value;
  const scheme = transport === 'unix' ? driver : `${driver}+${transport}`;
  const at = `${hostText}${port === undefined ? '' : `:${port}`}`;
  const by = name === undefined ? '' : `${name.value}@`;
  // A session belongs to a user, so another user's is another hypervisor.
  const whose = path === '/session' ? by : '';
  const local = at === '' || ['localhost', '127.0.0.1', '[::1]'].includes(at);
  const uri = written ?? `${scheme}://${by}${rawHost}${given === undefined ? '' : `:${given.value}`}${path}?${query}`;
  return {
    ok: true,
    value: {
      uri,
      key: `${scheme}://${by}${at}${path}${which}`,
      machine: `${driver}://${whose}${local ? 'localhost' : at}${path}${which}`,
      label: [
        host.value || 'localhost',
        port,
        driver === 'test' ? 'test' : undefined,
        path === '/session' ? 'session' : undefined,
      ]
        .filter((part) => part !== undefined)
        .join('-'),
    },
  };
}

/** The options that say which hypervisor it is, not how to get there; undefined when one cannot be decoded. */
function identifying(query: string): string | undefined {
  const options: string[] = [];
  for (const option of query.split('&')) {
    const [name = '', ...value] = option.split('=');
    const decoded = decodedOr(value.join('='));
    const decodedName = decodedOr(name)?.toLowerCase();
    if (decoded === undefined || decodedName === undefined) return undefined;
    if (decodedName === 'socket' || decodedName === 'name') options.push(`${decodedName}=${encodeURI(decoded)}`);
  }
  return options.length === 0 ? '' : `?${options.toSorted().join('&')}`;
}

/** A dash that hides behind %2D is a dash. */
function decodedParts(
  groups: Readonly<Record<string, string | undefined>>,
): { user: string | undefined; host: string } | undefined {
  const host = decodedOr(groups['host'] ?? '');
  const user = decodedOr(groups['user'] ?? '');
  if (host === undefined || user === undefined) return undefined;
  return { host, user: groups['user'] === undefined ? undefined : user };
}

function decodedOr(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function isTransport(word: string): word is Transport {
  return (TRANSPORTS as readonly string[]).includes(word);
}

function bad(text: string, why: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason: `${shown(text)} ${why}` };
}
