// A client made from the seeds' text alone: drives all eight calls and says what it saw. Exit status 0 only when every call did
// what the text promises. It knows nothing of virtscale.
//   node seeds-client.mjs http://SERVER pm_file image_file flavor_file

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const [server = '', pmFile = '', imageFile = '', flavorFile = ''] = process.argv.slice(2);
const LOOK_FOR_MS = 20_000;
const failures = [];
let checks = 0;

/** Every answer is JSON with HTTP status 200: these clients look at nothing else. */
async function call(path, init) {
  const response = await fetch(server + path, { signal: AbortSignal.timeout(120_000), ...init });
  const text = await response.text();
  check(response.status === 200, `${path}: status ${response.status}`);
  console.log(`${init?.method ?? 'GET'} ${path} ${text}`);
  return JSON.parse(text);
}

function check(ok, what) {
  checks += 1;
  if (!ok) failures.push(what);
}

function equal(seen, wanted, what) {
  const [a, b] = [JSON.stringify(seen), JSON.stringify(wanted)];
  check(a === b, `${what}: ${a} instead of ${b}`);
}

/** "0 if invalid" */
function isZero(answer, key) {
  return answer === 0 || answer?.[key] === 0;
}

const isCount = (value) => Number.isInteger(value) && value >= 0;
const isId = (value) => Number.isInteger(value) && value > 0;

/** Numbers of a machine may be a moment old. */
async function eventually(what, ask) {
  for (const end = Date.now() + LOOK_FOR_MS; Date.now() < end; ) {
    if (await ask()) return check(true, what);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  check(false, `${what}: not within ${LOOK_FOR_MS / 1000} s`);
}

const lines = (file) => readFileSync(file, 'utf8').split('\n').filter(Boolean);
const machines = lines(pmFile);
const imageNames = lines(imageFile).map((path) => basename(path).replace(/\.[a-z0-9]+$/, ''));
const flavors = JSON.parse(`{${readFileSync(flavorFile, 'utf8').replace(/,(\s*[}\]])/g, '$1')}}`).types;

// Image service.
const { images } = await call('/image/list');
equal(
  images.map(({ name }) => name),
  imageNames,
  'the names of the images, from their paths',
);
check(
  images.every(({ id }) => isId(id)),
  'ids of images',
);
check(new Set(images.map(({ id }) => id)).size === images.length, 'one id for each image');
equal(Object.keys(images[0]), ['id', 'name'], 'keys of an image');

// VM types.
const { types } = await call('/vm/types');
equal(
  types.map(({ cpu, ram, disk }) => ({ cpu, ram, disk })),
  flavors,
  'the types as in the file',
);
check(
  types.every(({ tid }) => isId(tid)),
  'tids',
);
equal(Object.keys(types[0]), ['tid', 'cpu', 'ram', 'disk'], 'keys of a type');

// Resource service.
const { pmids } = await call('/pm/list');
check(pmids.length === machines.length && pmids.every(isId), `${machines.length} machines: ${pmids}`);
const before = new Map();
for (const pmid of pmids) {
  const pm = await call(`/pm/query?pmid=${pmid}`);
  before.set(pmid, pm);
  equal(Object.keys(pm), ['pmid', 'capacity', 'free', 'vms'], 'keys of a machine');
  equal(pm.pmid, pmid, 'the machine asked for');
  for (const key of ['cpu', 'ram', 'disk']) {
    check(isCount(pm.capacity[key]) && isCount(pm.free[key]), `${key} of machine ${pmid} is a whole number`);
    check(pm.capacity[key] > 0 && pm.free[key] <= pm.capacity[key], `${key} of machine ${pmid} makes sense`);
  }
  check(isCount(pm.vms), `vms of machine ${pmid}`);
  equal(await call(`/pm/listvms?pmid=${pmid}`), { vmids: [] }, 'nothing runs yet');
}

// The life of VMs: one of each type, and of each image.
const vms = [];
for (const [at, { tid }] of types.entries()) {
  const image = images[at % images.length];
  const name = `test_vm${at + 1}`;
  const { vmid } = await call(`/vm/create?name=${name}&instance_type=${tid}&image_id=${image.id}`);
  check(isId(vmid), `creating ${name}`);
  const vm = await call(`/vm/query?vmid=${vmid}`);
  equal(Object.keys(vm), ['vmid', 'name', 'instance_type', 'pmid'], 'keys of a VM');
  equal([vm.vmid, vm.name, vm.instance_type], [vmid, name, tid], 'the VM asked for');
  check(pmids.includes(vm.pmid), `${name} is on a machine that there is: ${vm.pmid}`);
  const { vmids } = await call(`/pm/listvms?pmid=${vm.pmid}`);
  check(vmids.includes(vmid), `${name} is listed on its machine`);
  vms.push(vm);
}
check(new Set(vms.map(({ vmid }) => vmid)).size === vms.length, 'vmids are never reused');
for (const pmid of pmids) {
  const here = vms.filter((vm) => vm.pmid === pmid).length;
  await eventually(`machine ${pmid} runs ${here} VMs more`, async () => {
    return (await call(`/pm/query?pmid=${pmid}`)).vms === before.get(pmid).vms + here;
  });
}

// The same calls written otherwise: a slash at the end, POST, as a form or as JSON.
const [first] = vms;
equal(await call(`/vm/query/?vmid=${first.vmid}`), first, 'a slash at the end');
equal(await call(`/vm/query?vmid=${first.vmid}`, { method: 'POST' }), first, 'POST with the arguments in the URL');
const form = new URLSearchParams({ vmid: String(first.vmid) });
equal(await call('/vm/query', { method: 'POST', body: form }), first, 'POST with a form');
const json = {
  method: 'POST',
  body: JSON.stringify({ vmid: first.vmid }),
  headers: { 'content-type': 'application/json' },
};
equal(await call('/vm/query/', json), first, 'POST with JSON');

// What cannot be.
const missing = Math.max(...vms.map(({ vmid }) => vmid)) + 1000;
check(isZero(await call(`/vm/query?vmid=${missing}`), 'vmid'), 'an invalid vmid');
check(isZero(await call('/vm/query'), 'vmid'), 'no vmid');
check(isZero(await call('/vm/query?vmid=1.5'), 'vmid'), 'a broken vmid');
check(isZero(await call(`/vm/destroy?vmid=${missing}`), 'status'), 'destroying what is not there');
check(isZero(await call('/pm/query?pmid=9999'), 'pmid'), 'an invalid pmid');
check(isZero(await call('/pm/listvms?pmid=9999'), 'vmids'), 'VMs of an invalid pmid');
const at = `name=other_vm&image_id=${images[0].id}`;
check(isZero(await call(`/vm/create?${at}&instance_type=9999`), 'vmid'), 'an unknown type');
check(
  isZero(await call(`/vm/create?name=other_vm&instance_type=${types[0].tid}&image_id=9999`), 'vmid'),
  'an unknown image',
);
check(
  isZero(await call(`/vm/create?${at.replace('other_vm', first.name)}&instance_type=${types[0].tid}`), 'vmid'),
  'a name twice',
);
check(isZero(await call(`/vm/create?instance_type=${types[0].tid}&image_id=${images[0].id}`), 'vmid'), 'no name');
for (const path of ['/vm/reboot?vmid=1', '/vm', '/pm/create', '/image/delete?id=1']) {
  equal(await call(path), 0, `${path} is invalid`);
}

// The end of VMs.
for (const { vmid, pmid, name } of vms) {
  equal(await call(`/vm/destroy?vmid=${vmid}`), { status: 1 }, `destroying ${name}`);
  check(isZero(await call(`/vm/query?vmid=${vmid}`), 'vmid'), `${name} is gone`);
  check(!(await call(`/pm/listvms?pmid=${pmid}`)).vmids.includes(vmid), `${name} is no longer listed`);
  check(isZero(await call(`/vm/destroy?vmid=${vmid}`), 'status'), `destroying ${name} once more`);
}
for (const pmid of pmids) {
  await eventually(`machine ${pmid} is as before`, async () => {
    return (await call(`/pm/query?pmid=${pmid}`)).vms === before.get(pmid).vms;
  });
}

for (const failure of failures) console.error(`WRONG ${failure}`);
console.log(`${checks} checks, ${failures.length} wrong`);
process.exitCode = failures.length === 0 && checks > 0 ? 0 : 1;
