// The form of `balancers:` in virtscale.yaml. Not here: what paths are relative to (daemon-file), talking to any of them (adapters/balancer).

import { z } from 'zod';
import type { HaproxySocket } from './daemon-config.ts';
import { isLoopback, readListen } from './listen.ts';
import { formBy, name, oneOf, reading, shown, strict, textUpTo, wholeBetween } from './schemas.ts';

const ARGUMENTS_MAX = 50;
const SERVER_WORDS_MAX = 200;
/** HAProxy's own limit; 0 would be a server that gets nothing. */
const WEIGHT_MAX = 256;

/** What HAProxy and nginx take for the name of a section. */
const section = textUpTo(100).refine((text) => /^[A-Za-z0-9_.:-]+$/.test(text), {
  error: 'must be the name of a backend: letters, digits, dots, dashes, colons and underscores',
});

/** The socket has no password, so another machine's is never right. */
const socket = reading<HaproxySocket>((value) => {
  const bad = (why: string) =>
    ({ ok: false, reason: `${why}; write /run/haproxy/admin.sock or 127.0.0.1:9999` }) as const;
  if (typeof value !== 'string' || value === '' || value.length > 100)
    return bad(`must be a socket, not ${shown(value)}`);
  if (value.startsWith('/')) return { ok: true, value: { path: value } };
  const address = readListen(value);
  if (!address.ok) return bad(`${shown(value)} is neither an absolute path nor an address with a port`);
  if (!isLoopback(address.value)) return bad('must be a port of this machine: the socket has no password');
  return { ok: true, value: address.value };
});

/** They become part of a line of commands: nothing that ends one, quotes, or begins another may be in them. */
const serverWords = reading<string>((value) => {
  if (
    typeof value !== 'string' ||
    value.length > SERVER_WORDS_MAX ||
    !/^[\w.,:/@%=+-]+( [\w.,:/@%=+-]+)*$/.test(value)
  ) {
    const reason = `must be words of a server line such as maxconn 16: up to ${SERVER_WORDS_MAX} letters, digits, single spaces and _ . , : / @ % = + -`;
    return { ok: false, reason: `${reason}; not ${shown(value)}` };
  }
  const own = value.split(' ').find((word) => word === 'weight' || word === 'no-check');
  if (own === 'weight') return { ok: false, reason: 'has a weight in it: write it as weight: 100' };
  if (own !== undefined) return { ok: false, reason: 'must leave the check in: it takes a dead VM out' };
  return { ok: true, value };
});

const argument = reading((value) => {
  // `[-p, 8]`: a number is meant as the text it looks like.
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && text.length <= 1000
    ? { ok: true, value: text }
    : { ok: false, reason: `must be text, not ${shown(value)}` };
});

const command = z
  .array(argument, {
    error: ({ input }) =>
      typeof input === 'string'
        ? `must be a list of the program and its arguments, such as [${input.split(/\s+/).slice(0, 10).join(', ')}]: no shell is used`
        : undefined,
  })
  .min(1, { error: 'must name a program' })
  .max(ARGUMENTS_MAX, { error: `has more than ${ARGUMENTS_MAX} arguments` });

export const balancer = formBy('type', {
  haproxy: strict({
    name,
    type: oneOf(['haproxy']),
    socket,
    backend: section,
    weight: wholeBetween(1, WEIGHT_MAX).optional(),
    server: serverWords.optional(),
  }),
  file: strict({
    name,
    type: oneOf(['file']),
    file: textUpTo(1000),
    format: oneOf(['haproxy', 'nginx']),
    backend: section.optional(),
    reload: command.optional(),
  }),
});
