// Where an image comes from, as people write it: a path, a URL, or user@host:/path. Not here: fetching it or looking into it.

import { posix } from 'node:path';
import type { ImageSource } from '../core/catalog.ts';
import type { Read } from './read.ts';
import { shown } from './schemas.ts';
import { readHost, readUser } from './ssh-address.ts';

/** `path` is absolute, of both kinds; `host` has no brackets. */
export type FileImageSource = Extract<ImageSource, { kind: 'path' | 'url' | 'ssh' }>;

const PATH_MAX = 1000;
const PACKED = /\.(?:gz|tgz|xz|txz|bz2|zst|lzma|lz4|zip|7z|rar|tar)$/i;
const FOREIGN = /\.(?:vmdk|vdi|vhd|vhdx|ova|ovf)$/i;

/** `baseDir`: the absolute folder that relative paths start from. What is no image by its name is refused, with what to do about it. */
export function readImageSource(text: string, baseDir: string): Read<FileImageSource> {
  const source = readForm(text, baseDir);
  if (!source.ok) return source;
  const name = imageFileName(source.value);
  const bad = (why: string): Read<FileImageSource> => ({ ok: false, reason: `${shown(name)} ${why}` });
  if (/\.iso$/i.test(name))
    return bad('is an installation medium, no disk image; use a cloud image, or install one first');
  if (PACKED.test(name)) return bad('is packed; unpack it and name the image that was in it');
  if (FOREIGN.test(name))
    return bad('is of another hypervisor; convert it: qemu-img convert -O qcow2 FILE IMAGE.qcow2');
  return source;
}

/** The last part of its path. */
export function imageFileName(source: FileImageSource): string {
  if (source.kind === 'url') return decoded(posix.basename(new URL(source.url).pathname));
  return posix.basename(source.path);
}

function readForm(text: string, baseDir: string): Read<FileImageSource> {
  const bad = (why: string): Read<FileImageSource> => ({ ok: false, reason: `${shown(text)} ${why}` });
  if (text.length > PATH_MAX) return bad(`is longer than ${PATH_MAX} characters`);
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return bad('has a control character in it');
  if (text.startsWith('~')) return bad('begins with ~, which only a shell knows; write the full path');
  if (text.includes('\\')) return bad('has a \\ in it; the parts of a path are separated by /');
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined) return readUrl(text, scheme);
  const remote = /^(?:(?<user>[^@/]*)@)?(?<host>\[[^\]/]*\]|[^:/[\]]*):(?<path>.*)$/u.exec(text)?.groups;
  if (remote !== undefined) return readRemote(remote);
  if (text.endsWith('/')) return bad('is a folder; name the image file in it');
  return { ok: true, value: { kind: 'path', path: posix.resolve(baseDir, text) } };
}

function readUrl(text: string, scheme: string): Read<FileImageSource> {
  const bad = (why: string): Read<FileImageSource> => ({ ok: false, reason: `${shown(text)} ${why}` });
  if (scheme === 'file') return bad('is a file; write its path alone');
  if (scheme !== 'http' && scheme !== 'https')
    return bad(`begins with ${scheme}://; images come by http:// or https://`);
  if (/\s/u.test(text) || !URL.canParse(text)) return bad('is no URL');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return bad('has a user or password in it, which would show in logs');
  url.hash = '';
  return { ok: true, value: { kind: 'url', url: url.href } };
}

function readRemote(parts: Readonly<Record<string, string | undefined>>): Read<FileImageSource> {
  const { user, host: rawHost = '', path = '' } = parts;
  const host = readHost(rawHost);
  if (!host.ok) return host;
  const name = user === undefined ? undefined : readUser(user);
  if (name?.ok === false) return name;
  if (path.startsWith('~')) return { ok: false, reason: `${shown(path)} begins with ~; write the full path` };
  if (!path.startsWith('/'))
    return { ok: false, reason: `${shown(path)} must be a full path, as in root@10.0.0.5:/images/debian.img` };
  if (path.endsWith('/')) return { ok: false, reason: `${shown(path)} is a folder; name the image file in it` };
  const source = { kind: 'ssh', host: host.value, path: posix.normalize(path) } as const;
  return { ok: true, value: name === undefined ? source : { ...source, user: name.value } };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
