// A strict reader of the part of JSON Schema (2020-12, as OpenAPI 3.1 uses it) that the API's document is made of: what does not
// fit, with its place. Keys that a schema does not name are wrong unless it allows them; a keyword not known here throws.
// Independent of what made the document.

export type Schema = { readonly [keyword: string]: unknown };

const KNOWN = new Set(
  `$ref type const enum anyOf oneOf allOf properties required additionalProperties items minItems maxItems minimum maximum
   exclusiveMinimum exclusiveMaximum minLength maxLength pattern format description example examples default propertyNames title`.split(
    /\s+/,
  ),
);

export function problemsWith(value: unknown, schema: Schema, root: Schema, at = '$'): readonly string[] {
  for (const keyword of Object.keys(schema)) {
    if (!KNOWN.has(keyword)) throw new Error(`${at}: the keyword ${keyword} is not known here`);
  }
  if (typeof schema['$ref'] === 'string') return problemsWith(value, resolve(schema['$ref'], root), root, at);
  const problems: string[] = [];
  const fail = (what: string): void => void problems.push(`${at}: ${what}: ${JSON.stringify(value)?.slice(0, 100)}`);

  const type = schema['type'] ?? [];
  const types: readonly string[] = Array.isArray(type) ? type : [type];
  if (types.length > 0 && !types.some((type) => isOfType(value, type))) fail(`is no ${types.join(' or ')}`);
  if ('const' in schema && JSON.stringify(schema['const']) !== JSON.stringify(value)) fail('is not the constant');
  if (Array.isArray(schema['enum']) && !schema['enum'].includes(value)) fail('is none of the values');

  const any = (schema['anyOf'] ?? schema['oneOf']) as readonly Schema[] | undefined;
  if (any !== undefined && !any.some((one) => problemsWith(value, one, root, at).length === 0)) fail('fits no branch');
  if (schema['allOf'] !== undefined)
    problems.push(...problemsWithAll(value, schema['allOf'] as readonly Schema[], root, at));

  if (typeof value === 'number') problems.push(...numberProblems(value, schema, at));
  if (typeof value === 'string') problems.push(...textProblems(value, schema, at));
  if (Array.isArray(value)) {
    const items = schema['items'] as Schema | undefined;
    if (items !== undefined)
      problems.push(...value.flatMap((one, index) => problemsWith(one, items, root, `${at}[${index}]`)));
    if (value.length > Number(schema['maxItems'] ?? Infinity)) fail('has too many items');
    if (value.length < Number(schema['minItems'] ?? 0)) fail('has too few items');
  }
  if (
    isObject(value) &&
    (schema['properties'] !== undefined || schema['additionalProperties'] !== undefined || types.includes('object'))
  ) {
    problems.push(...objectProblems(value, schema, root, at));
  }
  return problems;
}

function objectProblems(
  value: Readonly<Record<string, unknown>>,
  schema: Schema,
  root: Schema,
  at: string,
): readonly string[] {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, Schema>>;
  const required = (schema['required'] ?? []) as readonly string[];
  const more = schema['additionalProperties'];
  const problems = required.filter((key) => !Object.hasOwn(value, key)).map((key) => `${at}: ${key} is missing`);
  for (const [key, member] of Object.entries(value)) {
    const place = `${at}.${key}`;
    const known = properties[key];
    if (known !== undefined) problems.push(...problemsWith(member, known, root, place));
    else if (isObject(more)) problems.push(...problemsWith(member, more, root, place));
    else if (more !== true) problems.push(`${place}: is not in the schema`);
  }
  return problems;
}

/** The members that any of the parts names are known to all of them. */
function problemsWithAll(value: unknown, parts: readonly Schema[], root: Schema, at: string): readonly string[] {
  const whole = parts.map((part) => (typeof part['$ref'] === 'string' ? resolve(part['$ref'], root) : part));
  const properties = Object.assign({}, ...whole.map((part) => part['properties'] ?? {}));
  const required = whole.flatMap((part) => (part['required'] ?? []) as readonly string[]);
  return problemsWith(value, { type: 'object', properties, required }, root, at);
}

function numberProblems(value: number, schema: Schema, at: string): readonly string[] {
  const within =
    value >= Number(schema['minimum'] ?? -Infinity) &&
    value <= Number(schema['maximum'] ?? Infinity) &&
    value > Number(schema['exclusiveMinimum'] ?? -Infinity) &&
    value < Number(schema['exclusiveMaximum'] ?? Infinity);
  return within ? [] : [`${at}: ${value} is out of range`];
}

function textProblems(value: string, schema: Schema, at: string): readonly string[] {
  const problems: string[] = [];
  const pattern = schema['pattern'];
  if (typeof pattern === 'string' && !new RegExp(pattern, 'u').test(value))
    problems.push(`${at}: ${value} does not match`);
  if (value.length < Number(schema['minLength'] ?? 0)) problems.push(`${at}: is too short`);
  if (value.length > Number(schema['maxLength'] ?? Infinity)) problems.push(`${at}: is too long`);
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value) && !Number.isNaN(Date.parse(value));
  if (schema['format'] === 'date-time' && !isTime) problems.push(`${at}: ${value} is no RFC 3339 time in UTC`);
  return problems;
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'null':
      return value === null;
    case 'object':
      return isObject(value);
    default:
      return type === typeof value;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function resolve(reference: string, root: Schema): Schema {
  const found = reference
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>((at, key) => (at as Schema | undefined)?.[key], root);
  if (!isObject(found)) throw new Error(`${reference} leads nowhere`);
  return found;
}
