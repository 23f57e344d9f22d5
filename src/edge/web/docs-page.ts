// /v1/docs: reads /v1/openapi.json in the browser and shows it. Nothing from elsewhere, no markup made of data.

import { page } from './page.ts';

const STYLE = `
details { border-top: 1px solid var(--line); padding: .45rem 0; } details:first-of-type { border-top: 0; }
summary { cursor: pointer; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
.verb { font: 600 .75rem ui-monospace, monospace; min-width: 4rem; text-transform: uppercase; color: var(--accent); }
.verb.patch, .verb.post { color: var(--warn); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 500; }
`;

const BODY = `<header><h1>virtscale HTTP API</h1><span class="dim" id="version"></span>
<a href="/v1/openapi.json">openapi.json</a><a href="/">status</a></header>
<main id="main"><p class="dim" id="state">Reading the document…</p></main>`;

const SCRIPT = `
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return element;
};
const typeOf = (schema) => {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').at(-1);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const many = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (many) return many.map(typeOf).join(schema.allOf ? ' & ' : ' | ');
  if (schema.type === 'array') return typeOf(schema.items) + '[]';
  if (schema.properties) return '{ ' + Object.entries(schema.properties).map(([name, inner]) => name + ': ' + typeOf(inner)).join(', ') + ' }';
  return [schema.type].flat().join(' | ') + (schema.format ? ' (' + schema.format + ')' : '');
};
const table = (heads, rows) => make('table', {},
  make('thead', {}, make('tr', {}, ...heads.map((head) => make('th', {}, head)))),
  make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((cell, at) => make('td', {}, at === 0 || at === 1 ? make('code', {}, cell) : cell))))));
const operation = (verb, path, spec) => {
  const details = make('details', {}, make('summary', {}, make('span', { class: 'verb ' + verb }, verb), make('code', {}, path), make('span', { class: 'dim' }, spec.summary ?? '')));
  const parameters = (spec.parameters ?? []).map((one) => [one.name + (one.required ? ' *' : ''), typeOf(one.schema), one.in + (one.schema?.description ? ': ' + one.schema.description : '')]);
  if (parameters.length > 0) details.append(table(['parameter', 'type', 'where'], parameters));
  const body = spec.requestBody?.content?.['application/json']?.schema;
  if (body) details.append(table(['body', 'type', ''], [['application/json', typeOf(body), '']]));
  details.append(table(['status', 'answers', ''], Object.entries(spec.responses).map(([status, response]) =>
    [status, Object.values(response.content ?? {}).map((one) => typeOf(one.schema)).join(' | '), response.description])));
  return details;
};
const schema = (name, spec) => {
  const rows = Object.entries(spec.properties ?? {}).map(([key, inner]) => [key + (spec.required?.includes(key) ? '' : '?'), typeOf(inner), inner.description ?? '']);
  return make('details', { id: 'schema-' + name }, make('summary', {}, make('code', {}, name), make('span', { class: 'dim' }, spec.description ?? '')), table(['field', 'type', ''], rows.length > 0 ? rows : [['', typeOf(spec), '']]));
};
try {
  const answer = await fetch('/v1/openapi.json', { signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error('HTTP ' + answer.status);
  const document_ = await answer.json();
  const main = document.getElementById('main');
  document.getElementById('version').textContent = document_.info.version;
  const tags = new Map();
  for (const [path, verbs] of Object.entries(document_.paths)) for (const [verb, spec] of Object.entries(verbs)) {
    const tag = spec.tags?.[0] ?? 'other';
    tags.set(tag, [...(tags.get(tag) ?? []), operation(verb, path, spec)]);
  }
  const sections = [...tags].flatMap(([tag, operations]) => [make('h2', {}, tag), make('div', { class: 'card' }, ...operations)]);
  const schemas = Object.entries(document_.components?.schemas ?? {}).map(([name, spec]) => schema(name, spec));
  main.replaceChildren(...sections, make('h2', {}, 'schemas'), make('div', { class: 'card' }, ...schemas));
} catch (error) {
  document.getElementById('state').textContent = 'The document could not be read: ' + error.message;
}
`;

export const docsPage = page({ title: 'virtscale API', style: STYLE, body: BODY, script: SCRIPT });
