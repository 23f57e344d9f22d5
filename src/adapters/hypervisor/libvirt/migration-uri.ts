// How another host's libvirt reaches this one, from how this daemon does. Pure.

/** Parameters of a URI that name files or manners of the machine that connects: they mean nothing on another one. */
const OF_THE_CALLER: ReadonlySet<string> = new Set([
  'keyfile',
  'known_hosts',
  'known_hosts_verify',
  'pkipath',
  'command',
  'netcat',
  'no_tty',
  'no_sanity',
  'sshauth',
]);

/**
 * `given` when somebody has said; else the daemon's own URI without what is the daemon's own. A unix socket leads there from this machine
 * alone: it is right between hosts that are on it, and a far host's libvirt says that it cannot connect. Undefined: a default socket, which
 * would lead another host to itself.
 */
export function migrationUriOf(uri: string, given?: string): string | undefined {
  if (given !== undefined) return given;
  const at = uri.indexOf('?');
  const [base, query] = at < 0 ? [uri, ''] : [uri.slice(0, at), uri.slice(at + 1)];
  const isLocal = /^[a-z]+(\+unix)?:\/\/\//i.test(base);
  const kept = query.split('&').filter((part) => part !== '' && !OF_THE_CALLER.has(part.split('=')[0] ?? ''));
  if (isLocal && !kept.some((part) => part.startsWith('socket='))) return undefined;
  return kept.length === 0 ? base : `${base}?${kept.join('&')}`;
}
