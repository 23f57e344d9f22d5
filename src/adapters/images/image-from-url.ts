// Reads an image from an http or https URL. Not here: taking it in, and when it has stalled (image-intake.ts).

import { Fault } from '../../ports/fault.ts';
import { abortFault } from './image-faults.ts';
import type { OpenedImage, OpenImageOptions } from './image-source.ts';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const REDIRECTS_MAX = 5;
const PACKED = /\.(?:gz|tgz|xz|txz|bz2|zst|lzma|lz4|zip|7z|rar|tar)$/i;

export interface UrlOptions extends OpenImageOptions {
  /** The bytes will be compared with a checksum: then it does not matter who brings them. */
  readonly verified: boolean;
}

/**
 * Up to 5 redirects, never away from http and https, and from https to http only for an image with a checksum.
 * Throws `Fault`: `refused`, `unreachable`, `timed-out`, `aborted`.
 */
export async function openImageFromUrl(url: string, options: UrlOptions): Promise<OpenedImage> {
  const { name } = options;
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const close = async (): Promise<void> => ended.abort();
  try {
    const response = await follow(webUrl(url, name), options, signal);
    const totalBytes = checked(response, name);
    const bytes = read(response, name, signal);
    return { bytes, close, ...(totalBytes !== undefined && { totalBytes }) };
  } catch (error) {
    await close();
    throw error;
  }
}

function refused(name: string, text: string, advice?: string): Fault {
  return new Fault('refused', `cannot fetch the image ${name}: ${text}`, advice === undefined ? {} : { advice });
}

function webUrl(text: string, name: string, base?: string): URL {
  if (!URL.canParse(text, base)) throw refused(name, `${shortened(text)} is no URL`);
  const url = new URL(text, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused(name, `${shortened(text)} begins with ${url.protocol}; images come by http:// or https://`);
  }
  if (url.username !== '' || url.password !== '') throw refused(name, 'its URL has a user or password in it');
  if (PACKED.test(url.pathname)) {
    const advice = 'Unpack it where it is, or fetch and unpack it and upload the image that was in it.';
    throw refused(name, `${shortened(url.pathname)} is packed`, advice);
  }
  return url;
}

async function follow(first: URL, options: UrlOptions, signal: AbortSignal): Promise<Response> {
  const { name, verified } = options;
  let url = first;
  for (let redirects = 0; ; redirects += 1) {
    const response = await request(url, options, signal);
    if (!REDIRECTS.has(response.status)) return response;
    response.body?.cancel().catch(() => {});
    const location = response.headers.get('location');
    if (location === null) throw refused(name, `${url.host} redirects, but does not say where to`);
    if (redirects === REDIRECTS_MAX) throw refused(name, `there are more than ${REDIRECTS_MAX} redirects`);
    const next = webUrl(location, name, url.href);
    if (url.protocol === 'https:' && next.protocol === 'http:' && !verified) {
      const advice = 'Give its sha256: then it does not matter who brings it.';
      throw refused(name, `${url.host} leads from https to http, where anybody could change it on its way`, advice);
    }
    url = next;
  }
}

/** Resolves when the headers are there. */
async function request(url: URL, { name, stallMs, signal: callers }: UrlOptions, signal: AbortSignal) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), stallMs);
  try {
    // Packed on the way it would have another length than it says.
    const headers = { 'accept-encoding': 'identity', 'user-agent': 'virtscale' };
    return await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.any([signal, late.signal]) });
  } catch (error) {
    if (callers.aborted) throw abortFault(name, callers);
    if (late.signal.aborted) throw new Fault('timed-out', `${url.host} does not answer within ${stallMs} ms`);
    throw connectionFault(error, name, url.host);
  } finally {
    clearTimeout(timer);
  }
}

/** Its length; undefined when the server does not say. */
function checked(response: Response, name: string): number | undefined {
  const { status, headers, statusText } = response;
  if (status !== 200) {
    const text = `cannot fetch the image ${name}: the server answered ${status} ${statusText}`.trimEnd();
    throw new Fault(status >= 500 || status === 429 ? 'unreachable' : 'refused', text);
  }
  const encoding = headers.get('content-encoding') ?? 'identity';
  if (encoding !== 'identity') throw refused(name, `the server sends it packed (${encoding})`);
  if (/^text\/html\b/i.test(headers.get('content-type') ?? '')) {
    throw refused(
      name,
      'the server answered with a web page',
      'Open the URL in a browser: it may ask for something first.',
    );
  }
  const length = headers.get('content-length');
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

async function* read(response: Response, name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  try {
    for await (const chunk of response.body) yield chunk;
  } catch (error) {
    if (signal.aborted) throw abortFault(name, signal);
    throw connectionFault(error, name, 'the server');
  }
}

/** What `fetch` says is in the cause. */
function connectionFault(error: unknown, name: string, who: string): Fault {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const text = [cause instanceof Error ? cause.message : String(cause), code].filter((part) => part !== '').join(', ');
  const message = `cannot fetch the image ${name}: the connection to ${who} failed: ${text}`;
  // Whoever answers there is not who it should be: that does not pass by itself.
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)) {
    return new Fault('refused', message, { advice: 'Look at the certificate of the server.', cause: error });
  }
  return new Fault('unreachable', message, { cause: error });
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
