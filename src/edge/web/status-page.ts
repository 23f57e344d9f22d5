// `/`: groups, VMs, hosts and events as they are now. Reads the API, then again when an event says something changed.
// Not here: the dashboard with charts and controls. Data becomes text nodes and attribute values, never markup.

import { page } from './page.ts';

const STYLE = `
.groups { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: .8rem; } .groups .card { margin: 0; }
.row { display: flex; justify-content: space-between; gap: 1rem; align-items: baseline; }
.name { font-weight: 600; font-size: 1.05rem; } .big { font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.why { margin: .5rem 0 0; } table { width: 100%; border-collapse: collapse; }
td, th { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; font-variant-numeric: tabular-nums; }
td.wide { white-space: normal; width: 99%; } tr:last-child td { border-bottom: 0; } th { color: var(--dim); font-weight: 500; font-size: .85rem; }
.scroll { overflow-x: auto; } .tag { border-radius: 99px; padding: .05rem .6rem; font-size: .8rem; border: 1px solid currentColor; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .calm { color: var(--accent); }
progress { width: 6rem; height: .55rem; accent-color: var(--accent); vertical-align: middle; margin-right: .5rem; }
#live { margin-left: auto; }
`;

const BODY = `<header><h1>virtscale</h1><a href="/v1/docs">API</a><a href="/metrics">metrics</a>
<label id="tokens" hidden>Token <input id="token" type="password" autocomplete="off" spellcheck="false" placeholder="vs_… (kept in this tab only)"></label>
<span id="live" class="tag warn">connecting</span></header>
<main>
<h2>Groups</h2><div class="groups" id="groups"><p class="dim">Reading…</p></div>
<h2>VMs</h2><div class="card scroll" id="vms"></div>
<h2>Hosts</h2><div class="card scroll" id="hosts"></div>
<h2>Events</h2><div class="card scroll"><table><tbody id="events"></tbody></table><p class="dim" id="quiet">Nothing has happened since this page was opened.</p></div>
</main>`;

const SCRIPT = `
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return element;
};
const byId = (id) => document.getElementById(id);
const LOUD = { up: 'good', 'in-service': 'good', standby: 'calm', saved: 'calm', running: 'good', launching: 'warn', draining: 'warn', removing: 'warn', connecting: 'warn', slow: 'warn', cordoned: 'warn', paused: 'warn', unknown: 'warn', unreachable: 'bad', absent: 'bad', stopped: 'bad' };
const tag = (text) => make('span', { class: 'tag ' + (LOUD[text] ?? 'dim') }, text);
const cpu = (value) => value === undefined ? make('span', { class: 'dim' }, '–')
  : make('span', {}, make('progress', { max: 100, value: value.toFixed(1) }), value.toFixed(0) + ' %');
const clock = (at) => new Date(at).toLocaleTimeString();
const table = (heads, rows, none) => rows.length === 0 ? make('p', { class: 'dim' }, none) : make('table', {},
  make('thead', {}, make('tr', {}, ...heads.map((head) => make('th', {}, head)))),
  make('tbody', {}, ...rows.map((cells) => make('tr', {}, ...cells.map((cell) => make('td', {}, cell ?? ''))))));

const marks = (group) => [
  group.paused && ['paused', 'warn'], group.breaker.open && ['launches stopped', 'bad'], group.mode === 'observe' && ['observing', 'calm'],
  group.suspended.length > 0 && ['suspended: ' + group.suspended.join(', '), 'warn'],
  group.refresh && ['refresh ' + group.refresh.state + (group.refresh.done === undefined ? '' : ' ' + group.refresh.done + ' of ' + group.refresh.total), group.refresh.state === 'stopped' ? 'bad' : 'warn'],
].filter(Boolean);
const groupCard = (group) => make('div', { class: 'card' },
  make('div', { class: 'row' }, make('span', { class: 'name' }, group.name),
    make('span', {}, ...marks(group).map(([text, loud]) => make('span', { class: 'tag ' + loud }, text)))),
  make('div', { class: 'row' }, make('span', {}, make('span', { class: 'big' }, group.vmCounts.inService), make('span', { class: 'dim' }, ' of ' + (group.desired ?? '?') + ' wanted, ' + group.min + ' to ' + group.max + (group.vmCounts.standby > 0 ? ', ' + group.vmCounts.standby + ' in standby' : ''))), cpu(group.cpuPercent)),
  make('p', { class: 'why dim' }, group.breaker.open ? group.breaker.reason ?? '' : group.text ?? 'Not evaluated yet.'));
const vmRow = (vm) => [vm.id, vm.name, vm.group ?? '', vm.host, make('span', {}, tag(vm.phase), vm.standby ? tag(vm.standby) : undefined, vm.protected ? make('span', { class: 'tag calm' }, 'protected') : undefined), tag(vm.state), cpu(vm.cpuPercent), vm.endpoint ? make('span', { class: 'mono' }, vm.endpoint.address + ':' + vm.endpoint.port) : '', clock(vm.phaseAt)];
const hostRow = (host) => [host.name, make('span', {}, tag(host.state), host.cordoned === undefined ? undefined : tag('cordoned')), host.vmCount + ' of ' + host.domainCount,
  host.capacity ? host.capacity.cpus : '', host.capacity ? (host.capacity.memoryFreeMiB / 1024).toFixed(1) + ' of ' + (host.capacity.memoryMiB / 1024).toFixed(1) + ' GiB' : '',
  host.capacity ? host.capacity.diskFreeGiB.toFixed(0) + ' of ' + host.capacity.diskGiB.toFixed(0) + ' GiB' : '', host.accel ?? '', host.reason ?? host.cordoned ?? ''];

const token = byId('token');
token.value = sessionStorage.getItem('virtscale-token') ?? '';
token.addEventListener('change', () => { sessionStorage.setItem('virtscale-token', token.value.trim()); refresh(); });
const read = async (path) => {
  const headers = token.value.trim() === '' ? {} : { authorization: 'Bearer ' + token.value.trim() };
  const answer = await fetch(path, { headers, signal: AbortSignal.timeout(10000) });
  byId('tokens').hidden = byId('tokens').hidden && answer.status !== 401;
  if (answer.status === 401) throw new Error('a token is needed');
  if (!answer.ok) throw new Error(path + ': HTTP ' + answer.status);
  return answer.json();
};
let reading = false;
let again = false;
const refresh = async () => {
  if (reading) { again = true; return; }
  reading = true;
  try {
    const [{ groups }, { vms }, { hosts }] = await Promise.all([read('/v1/groups'), read('/v1/vms?limit=1000'), read('/v1/hosts')]);
    byId('groups').replaceChildren(...(groups.length > 0 ? groups.map(groupCard) : [make('p', { class: 'dim' }, 'No policy is loaded.')]));
    byId('vms').replaceChildren(table(['id', 'name', 'group', 'host', 'phase', 'domain', 'CPU', 'endpoint', 'since'], vms.map(vmRow), 'No VMs.'));
    byId('hosts').replaceChildren(table(['name', 'state', 'VMs of domains', 'CPUs', 'memory free', 'disk free', 'accelerator', ''], hosts.map(hostRow), 'No hosts.'));
  } catch (error) {
    byId('groups').replaceChildren(make('p', { class: 'bad' }, 'Nothing to show: ' + error.message));
  } finally {
    reading = false;
    if (again) { again = false; setTimeout(refresh, 200); }
  }
};
const about = (event) => [event.group, event.host, event.vm?.name, event.decision?.text, event.endpoint && event.endpoint.address + ':' + event.endpoint.port, event.change?.what, event.way, event.balancer, event.text, event.reason, event.file].filter((part) => part !== undefined).join(' · ');
const show = (event) => {
  byId('quiet').hidden = true;
  byId('events').prepend(make('tr', {}, make('td', { class: 'dim' }, event.seq), make('td', { class: 'dim' }, clock(event.at)), make('td', { class: 'mono' }, event.type), make('td', { class: 'wide' }, about(event))));
  while (byId('events').childElementCount > 100) byId('events').lastElementChild.remove();
};
const live = (text, loud) => { byId('live').textContent = text; byId('live').className = 'tag ' + loud; };
let since;
let waitMs = 500;
const connect = () => {
  const url = new URL('/v1/events' + (since === undefined ? '' : '?since=' + since), location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const text = token.value.trim();
  const socket = text === '' ? new WebSocket(url) : new WebSocket(url, ['virtscale.events', 'virtscale.bearer.' + text]);
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.type === 'hello') { since ??= event.seq; waitMs = 500; live('live', 'good'); }
    else { since = event.seq; show(event); }
    refresh();
  };
  socket.onclose = (closed) => {
    if (closed.code === 4009 || closed.code === 4010) since = undefined;
    live('reconnecting', 'warn');
    setTimeout(connect, waitMs);
    waitMs = Math.min(waitMs * 2, 10000);
  };
};
byId('tokens').hidden = true;
refresh();
connect();
setInterval(refresh, 5000);
`;

export const statusPage = page({ title: 'virtscale', style: STYLE, body: BODY, script: SCRIPT });
