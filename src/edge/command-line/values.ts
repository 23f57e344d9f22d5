// What options and arguments are made into; each refuses what it cannot take in commander's own way.

import { InvalidArgumentError } from 'commander';
import { readDuration } from '../../config/duration.ts';
import { readSizeMiB } from '../../config/size.ts';
import type { ReadyCheck } from '../../core/model.ts';

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

export function countOfVms(text: string): number {
  const count = wholeNumber(text);
  if (count < 1) throw new InvalidArgumentError('It must be at least 1.');
  return count;
}

export function tailBytes(text: string): number {
  const bytes = wholeNumber(text);
  if (bytes < 1) throw new InvalidArgumentError('It must be at least 1.');
  return bytes;
}

/** `512M`, `2G`: in MiB. */
export function sizeMiB(text: string): number {
  const read = readSizeMiB(text);
  if (!read.ok) throw new InvalidArgumentError(`It ${read.reason}.`);
  if (read.value < 1) throw new InvalidArgumentError('It must be at least 1M.');
  return read.value;
}

/** Checked here, sent as it was written. */
export function duration(text: string): string {
  const read = readDuration(text);
  if (!read.ok) throw new InvalidArgumentError(`It ${read.reason}.`);
  return text;
}

/** For an option that may be given several times. */
export function label(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** For an option that may be given several times. */
export function several(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** `80`, `80/health`, `tcp:22` or `agent` */
export function readyCheck(text: string): ReadyCheck {
  if (text === 'agent') return { agent: true };
  const tcp = /^tcp:(\d{1,5})$/.exec(text);
  const match = tcp ?? /^(\d{1,5})(\/[^\s]*)?$/.exec(text);
  const port = Number(match?.[1]);
  if (match === null || port < 1 || port > 65_535) {
    throw new InvalidArgumentError('It must be PORT or PORT/PATH (http), such as 80/health, or tcp:PORT, or agent.');
  }
  return tcp === null ? { http: { port, path: match[2] ?? '/' } } : { tcp: { port } };
}

export function oneOf<T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((one) => one === text);
    if (word === undefined) throw new InvalidArgumentError(`It must be one of ${words.join(', ')}.`);
    return word;
  };
}

export const tokenScope = oneOf(['post', 'read', 'operate', 'admin']);
export const imageFormat = oneOf(['qcow2', 'raw']);
export const imagePlace = oneOf(['here', 'daemon', 'hosts']);

export function sha256(text: string): string {
  if (!/^[\da-f]{64}$/i.test(text)) throw new InvalidArgumentError('It must be 64 hexadecimal digits.');
  return text.toLowerCase();
}
