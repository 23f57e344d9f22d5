// /v1/docs: reads /v1/openapi.json in the browser, shows it and lets each call be tried. Works offline: nothing from elsewhere, no
// markup made of data. A token typed here stays in the browser's tab.

import { page } from './page.ts';

const STYLE = `
details { border-top: 1px solid var(--line); padding: .45rem 0; } details:first-of-type { border-top: 0; }
summary { cursor: pointer; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
.verb { font: 600 .75rem ui-monospace, monospace; min-width: 4rem; text-transform: uppercase; color: var(--accent); }
.verb.patch, .verb.post { color: var(--warn); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 500; }
.verb.put { color: var(--warn); } .verb.delete { color: var(--bad); }
label { display: flex; gap: .6rem; align-items: baseline; margin: .3rem 0; } label code { min-width: 11rem; }
input, textarea, button { font: inherit; color: inherit; background: var(--bg); border: 1px solid var(--line); border-radius: 6px; padding: .25rem .5rem; }
input { flex: 1; max-width: 32rem; } textarea { width: 100%; min-height: 7rem; font-family: ui-monospace, monospace; font-size: .85rem; }
button { cursor: pointer; border-color: var(--accent); color: var(--accent); padding: .25rem 1rem; }
pre { overflow: auto; max-height: 28rem; background: var(--bg); border: 1px solid var(--line); border-radius: 6px; padding: .6rem; margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.scope { border: 1px solid currentColor; border-radius: 99px; padding: 0 .5rem; font-size: .75rem; color: var(--dim); }
#tokens { display: flex; gap: .6rem; align-items: baseline; margin: 0 0 0 auto; }
`;

const BODY = `<header><h1>virtscale HTTP API</h1><span class="dim" id="version"></span>
<a href="/v1/openapi.json">openapi.json</a><a href="/">status</a>
<label id="tokens">Token <input id="token" type="password" autocomplete="off" spellcheck="false" placeholder="vs_… (kept in this tab only)"></label></header>
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
const token = document.getElementById('token');
token.value = sessionStorage.getItem('virtscale-token') ?? '';
token.addEventListener('input', () => sessionStorage.setItem('virtscale-token', token.value.trim()));
let root = {};
const resolve = (schema) => schema?.$ref ? schema.$ref.slice(2).split('/').reduce((at, key) => at[key], root) : schema;
const sample = (given) => {
  const schema = resolve(given);
  if (!schema) return null;
  if (schema.example !== undefined) return schema.example;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const many = schema.anyOf ?? schema.oneOf;
  if (many) return sample(many[0]);
  const type = [schema.type].flat()[0];
  if (type === 'object') return Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([key]) => schema.required?.includes(key)).map(([key, inner]) => [key, sample(inner)]));
  if (type === 'array') return [];
  if (type === 'integer' || type === 'number') return schema.minimum ?? schema.exclusiveMinimum ?? 0;
  return type === 'boolean' ? false : '';
};
const shown = (text) => {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
};
const tryIt = (verb, path, spec) => {
  const field = (one) => {
    const input = make('input', { placeholder: one.in + (one.required ? ', required' : ''), 'aria-label': one.name, spellcheck: 'false' });
    return { one, input, row: make('label', {}, make('code', {}, one.name), input) };
  };
  const fields = (spec.parameters ?? []).map(field);
  const content = spec.requestBody?.content ?? {};
  const json = content['application/json'];
  const body = json ? make('textarea', { 'aria-label': 'body', spellcheck: 'false' }) : content['application/octet-stream'] ? make('input', { type: 'file', 'aria-label': 'body' }) : undefined;
  if (json) body.value = spec.requestBody.required ? JSON.stringify(sample(json.schema), null, 2) : '';
  const send = make('button', { type: 'button' }, 'Send');
  const answer = make('pre', { 'aria-live': 'polite' });
  answer.hidden = true;
  send.addEventListener('click', async () => {
    const place = (where) => fields.filter(({ one, input }) => one.in === where && input.value !== '');
    let target = path;
    for (const { one, input } of place('path')) target = target.replace('{' + one.name + '}', encodeURIComponent(input.value));
    const query = new URLSearchParams(place('query').map(({ one, input }) => [one.name, input.value]));
    const headers = Object.fromEntries(place('header').map(({ one, input }) => [one.name, input.value]));
    if (token.value.trim() !== '') headers.authorization = 'Bearer ' + token.value.trim();
    const init = { method: verb.toUpperCase(), headers };
    if (json && body.value.trim() !== '') { init.body = body.value; headers['content-type'] = 'application/json'; }
    if (body && !json) { init.body = body.files[0]; headers['content-type'] = 'application/octet-stream'; }
    const startedAt = performance.now();
    answer.hidden = false;
    answer.textContent = 'Waiting…';
    try {
      const got = await fetch(target + (query.size > 0 ? '?' + query : ''), init);
      const text = await got.text();
      const lines = ['HTTP ' + got.status + ' after ' + Math.round(performance.now() - startedAt) + ' ms'];
      for (const name of ['location', 'etag', 'link', 'retry-after', 'idempotency-replayed', 'www-authenticate']) {
        if (got.headers.get(name) !== null) lines.push(name + ': ' + got.headers.get(name));
      }
      answer.textContent = lines.join('\\n') + '\\n\\n' + shown(text);
    } catch (error) {
      answer.textContent = 'No answer: ' + error.message;
    }
  });
  return make('div', { class: 'try' }, ...fields.map(({ row }) => row), body, make('p', {}, send), answer);
};
const table = (heads, rows) => make('table', {},
  make('thead', {}, make('tr', {}, ...heads.map((head) => make('th', {}, head)))),
  make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((cell, at) => make('td', {}, at === 0 || at === 1 ? make('code', {}, cell) : cell))))));
const operation = (verb, path, spec) => {
  const details = make('details', {}, make('summary', {}, make('span', { class: 'verb ' + verb }, verb), make('code', {}, path), make('span', { class: 'dim' }, spec.summary ?? ''), make('span', { class: 'scope' }, spec['x-scope'] ?? '')));
  const parameters = (spec.parameters ?? []).map((one) => [one.name + (one.required ? ' *' : ''), typeOf(one.schema), one.in + (one.schema?.description ? ': ' + one.schema.description : '')]);
  if (parameters.length > 0) details.append(table(['parameter', 'type', 'where'], parameters));
  const body = spec.requestBody?.content?.['application/json']?.schema;
  if (body) details.append(table(['body', 'type', ''], [['application/json', typeOf(body), '']]));
  details.append(table(['status', 'answers', ''], Object.entries(spec.responses).map(([status, response]) =>
    [status, Object.values(response.content ?? {}).map((one) => typeOf(one.schema)).join(' | '), response.description])));
  details.append(tryIt(verb, path, spec));
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
  root = document_;
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
