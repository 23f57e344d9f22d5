// The arguments of the seeds' calls: from the query, and for POST from the body too, as form or JSON.
// Not here: which arguments a call takes (calls).

import { didYouMean } from '../../config/did-you-mean.ts';

/** By name, each as often as it was given. */
export type SeedArguments = ReadonlyMap<string, readonly string[]>;

/** Ends a call in its failure form; the message becomes `error`. */
export class SeedRefusal extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SeedRefusal';
  }
}

const MAX_BODY_BYTES = 64 * 1024;
/** Fifteen digits are whole numbers in every client's JSON. */
const MAX_DIGITS = 15;

export function queryArguments(url: string): SeedArguments {
  const at = url.indexOf('?');
  const found = new Map<string, string[]>();
  if (at !== -1) addPairs(found, new URLSearchParams(url.slice(at + 1)));
  return found;
}

/** Query and body together. Throws `SeedRefusal` for a body that is too large, or neither form nor JSON. */
export async function allArguments(request: Request): Promise<SeedArguments> {
  const found = new Map(queryArguments(request.url)) as Map<string, string[]>;
  const type = request.headers.get('content-type') ?? '';
  const body = await boundedBody(request);
  if (/^multipart\/form-data\b/i.test(type)) {
    const form = await new Response(body, { headers: { 'content-type': type } }).formData().catch(() => {
      throw new SeedRefusal('the body is not the form that its Content-Type says');
    });
    addPairs(found, form.entries());
    return found;
  }
  // Python's urllib says "form" whatever it is given: the text itself tells.
  const text = new TextDecoder().decode(body).trim();
  if (text.startsWith('{') || /^application\/json\b/i.test(type)) addPairs(found, jsonPairs(text));
  else addPairs(found, new URLSearchParams(text));
  return found;
}

async function boundedBody({ body, headers }: Request): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = (): SeedRefusal => new SeedRefusal(`a body may have at most ${MAX_BODY_BYTES} bytes`);
  if (Number(headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function addPairs(found: Map<string, string[]>, pairs: Iterable<readonly [string, unknown]>): void {
  for (const [name, value] of pairs) {
    if (typeof value !== 'string') throw new SeedRefusal(`${shown(name)} must be text or a number`);
    const before = found.get(name);
    if (before === undefined) found.set(name, [value]);
    else before.push(value);
  }
}

function jsonPairs(text: string): readonly (readonly [string, unknown])[] {
  if (text === '') return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SeedRefusal('the body is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SeedRefusal('the body must be a JSON object such as {"vmid": 1}');
  }
  return Object.entries(value).map(([name, one]) => [name, typeof one === 'number' ? String(one) : one]);
}

/** Undefined when it was not given; an empty one was. */
export function optionalArgument(given: SeedArguments, name: string): string | undefined {
  const values = given.get(name);
  if (values === undefined) return undefined;
  if (values.length > 1) throw new SeedRefusal(`${name} is given ${values.length} times; give it once`);
  const text = values[0] ?? '';
  if (text === '') throw new SeedRefusal(`${name} is empty`);
  return text;
}

export function textArgument(given: SeedArguments, name: string): string {
  const text = optionalArgument(given, name);
  if (text !== undefined) return text;
  // Others are passed over, as the seeds' servers did; one that may be a slip of the missing one is told.
  const slip = [...given.keys()].find((other) => didYouMean(other, [name]) !== '');
  throw new SeedRefusal(`${name} is missing${slip === undefined ? '' : `; there is ${shown(slip)}`}`);
}

/** An id: digits only. `-1`, `1.0`, `1e3` and `0x10` are nobody's id. */
export function idArgument(given: SeedArguments, name: string): number {
  return idOf(name, textArgument(given, name));
}

export function optionalIdArgument(given: SeedArguments, name: string): number | undefined {
  const text = optionalArgument(given, name);
  return text === undefined ? undefined : idOf(name, text);
}

function idOf(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new SeedRefusal(`${name} must be a whole number from 1, not ${shown(text)}`);
  const id = text.length > MAX_DIGITS ? Number.NaN : Number(text);
  if (Number.isNaN(id)) throw new SeedRefusal(`${name} is larger than any id: ${shown(text)}`);
  return id;
}

/** Somebody's text as it may stand in a message. */
function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
