// The seeds' eight calls: what they answer key by key, how they are called, and how they fail.

import { describe, expect, it } from 'vitest';
import { aHost, aLoneVm, anImage } from './fake-engine.ts';
import { type Ask, seeds } from './seed-calls.ts';

const HOSTS = [
  aHost({ name: 'a', id: 1 }),
  aHost({
    name: 'b',
    id: 2,
    capacity: { cpus: 4, memoryMiB: 4096.9, memoryFreeMiB: 2048.7, diskGiB: 160.9, diskFreeGiB: 157.5 },
    runningVcpus: 2,
    running: 1,
  }),
  aHost({ name: 'c', id: 7, running: 0, runningVcpus: 9 }),
];

describe('what the calls answer', () => {
  it('/vm/create, /vm/query, /pm/listvms, /vm/destroy: the life of a VM', async () => {
    const { engine, text, json } = seeds({ hosts: HOSTS, groups: [] });
    expect(await text('/vm/create?name=test_vm&instance_type=2&image_id=1')).toBe('{"vmid":1}');
    expect(engine.commands).toEqual(['create test_vm medium backend']);
    expect(await text('/vm/query?vmid=1')).toBe('{"vmid":1,"name":"test_vm","instance_type":2,"pmid":1}');
    expect(await text('/pm/listvms?pmid=1')).toBe('{"vmids":[1]}');
    expect(await text('/pm/listvms?pmid=7')).toBe('{"vmids":[]}');
    expect(await text('/vm/destroy?vmid=1')).toBe('{"status":1}');
    expect(await json('/vm/query?vmid=1')).toEqual({ vmid: 0, error: expect.stringContaining('there is no VM 1') });
    expect(await json('/vm/destroy?vmid=1')).toEqual({ status: 0, error: expect.stringContaining('there is no VM 1') });
  });

  it('/vm/types: whole numbers; a disk of 0 is as large as the image', async () => {
    const { text } = seeds({
      flavors: [
        { id: 1, name: 'small', vcpus: 1, memoryMiB: 512 },
        { id: 3, name: 'odd', vcpus: 4, memoryMiB: 2047.5, diskGiB: 2.5 },
      ],
    });
    expect(await text('/vm/types')).toBe(
      '{"types":[{"tid":1,"cpu":1,"ram":512,"disk":0},{"tid":3,"cpu":4,"ram":2048,"disk":3}]}',
    );
  });

  it('/pm/list, /pm/query, /image/list', async () => {
    const { text } = seeds({ hosts: HOSTS, images: [anImage({ id: 100, name: 'Ubuntu12.04amd64' })] });
    expect(await text('/pm/list')).toBe('{"pmids":[1,2,7]}');
    expect(await text('/pm/query?pmid=2')).toBe(
      '{"pmid":2,"capacity":{"cpu":4,"ram":4096,"disk":160},"free":{"cpu":2,"ram":2048,"disk":157},"vms":1}',
    );
    expect(await text('/image/list')).toBe('{"images":[{"id":100,"name":"Ubuntu12.04amd64"}]}');
  });

  it('lists go by id, however the files stand', async () => {
    const images = [anImage({ id: 2, name: 'b' }), anImage({ id: 1, name: 'a' })];
    const flavors = [2, 1].map((id) => ({ id, name: `f${id}`, vcpus: id, memoryMiB: 64 }));
    const { json } = seeds({ hosts: HOSTS.toReversed(), images, flavors });
    expect(await json('/pm/list')).toEqual({ pmids: [1, 2, 7] });
    expect(await json('/image/list')).toMatchObject({ images: [{ id: 1 }, { id: 2 }] });
    expect(await json('/vm/types')).toMatchObject({ types: [{ tid: 1 }, { tid: 2 }] });
  });

  it('more vCPUs running than there are CPUs leave 0 free, not less', async () => {
    expect(await seeds({ hosts: HOSTS }).json('/pm/query?pmid=7')).toMatchObject({ free: { cpu: 0 }, vms: 0 });
  });

  it('a VM whose flavor nobody knows any more has the instance_type 0', async () => {
    const { json } = seeds({ vms: [aLoneVm({ id: 9, flavor: { name: 'gone', vcpus: 1, memoryMiB: 1 } })] });
    expect(await json('/vm/query?vmid=9')).toMatchObject({ vmid: 9, instance_type: 0, pmid: 1 });
  });

  it('the only image need not be named; of several one must be', async () => {
    const one = seeds({ groups: [] });
    expect(await one.json('/vm/create?name=a&instance_type=1')).toEqual({ vmid: 1 });
    const two = seeds({ images: [anImage(), anImage({ id: 2, name: 'other' })] });
    expect(await two.json('/vm/create?name=a&instance_type=1')).toEqual({
      vmid: 0,
      error: 'image_id is missing; /image/list lists the images to choose from',
    });
    expect(two.engine.commands).toEqual([]);
    expect(await seeds({ images: [] }).json('/vm/create?name=a&instance_type=1')).toEqual({
      vmid: 0,
      error: 'there are no images',
    });
  });
});

describe('how they are called', () => {
  it.each([
    ['/vm/types/', {}],
    ['/vm/types', { method: 'POST' }],
    ['/vm/types/', { method: 'POST' }],
    ['/vm/types?and=more', {}],
  ])('%s %o', async (path, how) => {
    const { text } = seeds();
    expect(await text(path, how)).toBe(await text('/vm/types'));
  });

  const FORM = 'application/x-www-form-urlencoded';
  const form = new FormData();
  form.set('name', 'a');
  form.set('instance_type', '1');
  it.each<[string, string, Ask]>([
    ['form', '', { body: 'name=a&instance_type=1', headers: { 'content-type': FORM } }],
    ['JSON', '', { body: '{"name":"a","instance_type":1}', headers: { 'content-type': 'application/json' } }],
    [
      'JSON that calls itself a form',
      '',
      { body: '{"name":"a","instance_type":"1"}', headers: { 'content-type': FORM } },
    ],
    ['multipart', '', { body: form }],
    ['the query alone', '?name=a&instance_type=1', {}],
    ['query and body', '?name=a', { body: 'instance_type=1', headers: { 'content-type': FORM } }],
  ])('POST: %s', async (_, query, how) => {
    const { engine, json } = seeds({ groups: [] });
    expect(await json(`/vm/create/${query}`, { method: 'POST', ...how })).toEqual({ vmid: 1 });
    expect(engine.commands).toEqual(['create a small backend']);
  });

  it.each([
    ['[1]', 'the body must be a JSON object such as {"vmid": 1}'],
    ['{', 'the body is not valid JSON'],
    ['{"name":{"a":1}}', '"name" must be text or a number'],
    ['{"name":"b"}', 'name is given 2 times; give it once'],
  ])('POST with the body %s is refused in the form of the call', async (body, error) => {
    const how = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
    expect(await seeds().json('/vm/create?name=a', how)).toEqual({ vmid: 0, error });
  });

  it.each([
    '/vm',
    '/vm/',
    '/pm',
    '/image',
    '/vm/creat',
    '/vm/create/more',
    '/VM/types',
    '/vm/types//',
    '/pm/hasOwnProperty',
    '/image/query?id=1',
  ])('%s is no call: 0', async (path) => {
    const response = await seeds().ask(path);
    if (path.startsWith('/VM')) expect(response.status).toBe(404);
    else expect([response.status, await response.text()]).toEqual([200, '0']);
  });

  it.each(['PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s is no call either, and changes nothing', async (method) => {
    const { engine, text } = seeds();
    expect(await text('/vm/create?name=a&instance_type=1', { method })).toBe('0');
    expect(engine.commands).toEqual([]);
  });

  it('HEAD changes nothing', async () => {
    const { engine, ask } = seeds();
    expect((await ask('/vm/destroy?vmid=7', { method: 'HEAD' })).status).toBe(200);
    expect(engine.commands).toEqual([]);
  });
});

describe('arguments that are wrong', () => {
  const BAD_IDS = [
    ['', 'is missing'],
    ['=', 'is empty'],
    ['=-1', 'must be a whole number'],
    ['=1.0', 'must be a whole number'],
    ['=1e3', 'must be a whole number'],
    ['=0x1', 'must be a whole number'],
    ['=+1', 'must be a whole number'],
    ['=%D9%A1', 'must be a whole number'],
    ['=null', 'must be a whole number'],
    ['=1;drop', 'must be a whole number'],
    ['=99999999999999999999999999', 'is larger than any id'],
    ['=0', 'there is no'],
    ['=4242', 'there is no'],
  ] as const;
  const CALLS = [
    ['/vm/query', 'vmid', 'vmid'],
    ['/vm/destroy', 'vmid', 'status'],
    ['/pm/query', 'pmid', 'pmid'],
    ['/pm/listvms', 'pmid', 'vmids'],
  ] as const;
  const CASES = CALLS.flatMap(([path, name, key]) =>
    BAD_IDS.map(([value, why]) => [path, name, value, key, why] as const),
  );

  it.each(CASES)('%s?%s%s: %s is 0 (%s)', async (path, name, value, key, why) => {
    const { engine, json } = seeds();
    const answer = await json(`${path}${value === '' ? '' : `?${name}${value}`}`);
    expect(answer).toEqual({ [key]: 0, error: expect.stringContaining(why) });
    expect(Object.keys(answer)).toEqual([key, 'error']);
    expect(engine.commands).toEqual([]);
  });

  it.each([
    ['', 'name is missing'],
    ['name=a', 'instance_type is missing'],
    ['nme=a&instance_type=1', 'name is missing; there is "nme"'],
    ['name=&instance_type=1', 'name is empty'],
    ['name=a&name=b&instance_type=1', 'name is given 2 times; give it once'],
    ['name=a&instance_type=1&instance_type=1', 'instance_type is given 2 times; give it once'],
    ['name=a&instance_type=small', 'instance_type must be a whole number from 1, not "small"'],
    ['name=a&instance_type=9', 'there is no instance_type 9; /vm/types lists them'],
    ['name=a&instance_type=1&image_id=9', 'there is no image_id 9; /image/list lists them'],
    ['name=a&instance_type=1&image_id=', 'image_id is empty'],
    ['name=a&instance_type=1&image_id=-1', 'image_id must be a whole number from 1, not "-1"'],
  ])('/vm/create?%s: %s', async (query, error) => {
    const { engine, json } = seeds();
    expect(await json(`/vm/create?${query}`)).toEqual({ vmid: 0, error });
    expect(engine.commands).toEqual([]);
  });

  it('a long one is not repeated in full', async () => {
    const { error } = await seeds().json(`/vm/query?vmid=${'x'.repeat(50_000)}`);
    expect(error.length).toBeLessThan(200);
  });
});

describe('what the engine says', () => {
  it('a refusal, with each host and its reason', async () => {
    const { engine, json } = seeds();
    const hosts = [
      { name: 'a', chosen: false, text: '128 MiB free, 512 needed' },
      { name: 'b', chosen: false, text: 'cordoned: new disks' },
    ];
    engine.refusal = { ok: false, refused: 'no-capacity', reason: 'no host could ever hold it', hosts };
    expect(await json('/vm/create?name=a&instance_type=1')).toEqual({
      vmid: 0,
      error: 'no host could ever hold it; a: 128 MiB free, 512 needed; b: cordoned: new disks',
    });
    engine.refusal = { ok: false, refused: 'conflict', reason: 'it is being removed' };
    expect(await json('/vm/destroy?vmid=7')).toEqual({ status: 0, error: 'it is being removed' });
  });

  it('an operation that fails later, with its reason', async () => {
    const full = aHost({ traits: { ...aHost().traits, cordoned: 'new disks' } });
    const { json } = seeds({ hosts: [full], groups: [] });
    const answer = await json('/vm/create?name=a&instance_type=1');
    expect(answer).toEqual({ vmid: 0, error: expect.stringContaining('local: ') });
  });

  it('a fault is logged, not told, and has the form of the call', async () => {
    const { engine, log, json } = seeds();
    engine.beforeCommand = () => Promise.reject(new Error('SQLITE_FULL'));
    expect(await json('/vm/create?name=a&instance_type=1')).toEqual({
      vmid: 0,
      error: 'this is a fault of virtscale; its log says more',
    });
    expect(JSON.stringify(log)).toContain('a request failed inside');
  });

  it.each([
    ['unreachable', 'no route to host', 'a does not answer: no route to host'],
    ['connecting', undefined, 'a has not answered yet'],
  ] as const)('a host that is %s has no numbers, but keeps its VMs', async (condition, reason, error) => {
    const host = aHost({ name: 'a', condition, ...(reason !== undefined && { reason }) });
    const { json } = seeds({ hosts: [host], groups: [], vms: [aLoneVm({ id: 3, host: 'a' }, { state: 'unknown' })] });
    expect(await json('/pm/query?pmid=1')).toEqual({ pmid: 0, error });
    expect(await json('/pm/listvms?pmid=1')).toEqual({ vmids: [3] });
    expect(await json('/pm/list')).toEqual({ pmids: [1] });
  });

  it('never destroys what somebody else made', async () => {
    const { engine, json } = seeds({ vms: [aLoneVm({ id: 30, kind: 'adopted' })] });
    expect(await json('/vm/destroy?vmid=30')).toEqual({
      status: 0,
      error: expect.stringContaining('somebody else made'),
    });
    expect(engine.commands).toEqual([]);
  });
});

describe('waiting', () => {
  it('answers when the VM is there, not before', async () => {
    const { engine, json } = seeds({ groups: [] });
    engine.work.pace = 'manual';
    let answered: unknown;
    const answer = json('/vm/create?name=a&instance_type=1').then((value) => {
      answered = value;
    });
    for (let step = 0; step < 3; step += 1) {
      await turn();
      expect(answered).toBeUndefined();
      engine.work.advance();
    }
    await answer;
    expect(answered).toEqual({ vmid: 1 });
  });

  it('a client that hangs up takes a create back', async () => {
    const { engine, ask } = seeds({ groups: [] });
    engine.work.pace = 'manual';
    const gone = new AbortController();
    const app = ask('/vm/create?name=a&instance_type=1', { signal: gone.signal });
    await turn();
    engine.work.advance();
    gone.abort();
    await turn();
    engine.work.advance();
    await app;
    expect(engine.work.get('op-1')?.operation.state).toBe('cancelled');
    expect(engine.vms()).toEqual([]);
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
