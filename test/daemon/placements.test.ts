// Users' own placement algorithms: real modules, really imported, among them the one of docs/PLACEMENT.md.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlacementConfig } from '../../src/config/daemon-config.ts';
import { explain, needOf, type PlaceRequest, place, roomsOf } from '../../src/core/placement/place.ts';
import { PLACEMENT_NAMES } from '../../src/core/placement/registry.ts';
import { loadPlacements, PlacementModuleError } from '../../src/placements.ts';
import { hostOf, SMALL, snapshotOf } from '../core/builders.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'placements-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const NAME = './mine.mjs';
const config = (over: Partial<PlacementConfig> = {}): PlacementConfig => ({
  algorithm: NAME,
  modules: [{ name: NAME, path: join(folder, 'mine.mjs') }],
  overcommit: {},
  ...over,
});

const rooms = roomsOf(snapshotOf({ hosts: [hostOf('h1'), hostOf('h2'), hostOf('h3')] }));
const request: PlaceRequest = {
  need: needOf(SMALL),
  count: 2,
  set: 'web',
  rules: { algorithm: NAME },
  allOrNothing: false,
};

async function write(text: string): Promise<void> {
  await writeFile(join(folder, 'mine.mjs'), text);
}

async function failure(text?: string, deadlineMs?: number): Promise<string> {
  if (text !== undefined) await write(text);
  const error = await loadPlacements(config(), deadlineMs).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(PlacementModuleError);
  return error instanceof Error ? error.message : '';
}

describe('a module of the user', () => {
  it('chooses: the example of the documentation', async () => {
    const text = await readFile(new URL('../../docs/PLACEMENT.md', import.meta.url), 'utf8');
    const example = /```js\n(.*?)```/s.exec(text)?.[1] ?? '';
    expect(example).toContain('export const placement');
    await write(example);
    const placements = await loadPlacements(config());
    expect([...placements.keys()]).toEqual([...PLACEMENT_NAMES, NAME]);
    const placed = place(rooms, { ...request, count: 4 }, placements);
    expect(placed).toMatchObject({ hosts: ['h1', 'h2', 'h3', 'h1'], algorithm: NAME });
    expect(placed).not.toHaveProperty('fallback');
  });

  it('is loaded anew when its text has changed, and is the same module when it has not', async () => {
    const always = (host: string) => `export const placement = { choose: () => ({ host: '${host}' }) };`;
    await write(always('h3'));
    const first = await loadPlacements(config());
    expect(place(rooms, request, first).hosts).toEqual(['h3', 'h3']);
    expect((await loadPlacements(config())).get(NAME)).toBe(first.get(NAME));
    await write(always('h2'));
    expect(place(rooms, request, await loadPlacements(config())).hosts).toEqual(['h2', 'h2']);
    expect(place(rooms, request, first).hosts).toEqual(['h3', 'h3']);
  });

  it('may refuse all hosts, each with a reason', async () => {
    await write(
      `export const placement = { choose: (all) => ({ refused: new Map([[all[1].host, 'not at night']]) }) };`,
    );
    const placed = place(rooms, request, await loadPlacements(config()));
    expect(placed.hosts).toEqual([]);
    const reasons = explain(rooms, request, placed).map(({ name, text }) => [name, text.replace(/ \(.*\)/, '')]);
    expect(reasons).toEqual([
      ['h1', 'fits, but others come first'],
      ['h3', 'fits, but others come first'],
      ['h2', 'not at night'],
    ]);
  });

  it.each([
    ['throws', `throw new Error('oh\\nno')`, 'threw: oh no'],
    ['throws what is no error', `throw null`, 'threw: null'],
    ['names a stranger', `return { host: 'h9' }`, 'named h9, which is none of the hosts it was given'],
    ['names none', `return { host: undefined }`, 'named undefined, which is'],
    ['answers nothing', `return undefined`, 'answered neither a host nor a Map of reasons'],
    ['promises an answer', `return Promise.resolve({ host: 'h1' })`, 'answered neither'],
    ['refuses without reasons', `return { refused: true }`, 'answered neither'],
    ['answers what cannot be looked at', `return { get host() { throw new Error('boo') } }`, 'threw: boo'],
    ['changes what a host has', `candidates[0].free.vcpus = 0; return { host: 'h1' }`, 'threw: Cannot assign'],
    ['changes what is needed', `context.need.memoryMiB = 0; return { host: 'h1' }`, 'threw: Cannot assign'],
    ['changes the list', `candidates.length = 0; return { host: 'h1' }`, 'threw: Cannot assign'],
    ['talks without end', `throw new Error('x'.repeat(5000))`, `${'x'.repeat(200)}…`],
  ])('that %s is replaced by least-loaded, and the trail says so', async (_name, body, reason) => {
    await write(`export const placement = { choose(candidates, context) { ${body} } };`);
    const placed = place(rooms, request, await loadPlacements(config()));
    expect(placed).toMatchObject({ hosts: ['h1', 'h2'], algorithm: 'least-loaded' });
    const [line] = explain(rooms, request, placed);
    expect(line).toMatchObject({ name: 'least-loaded', chosen: false });
    expect(line?.text).toContain(`placement algorithm ${NAME} `);
    expect(line?.text).toContain(reason);
    expect(line?.text).toMatch(/; least-loaded is used instead$/);
  });

  it('that is not right is refused in one clear line', async () => {
    expect(await failure()).toBe(`placement ${NAME}: there is no such file (${join(folder, 'mine.mjs')})`);
    expect(await failure('export const other = 1;')).toBe(`placement ${NAME}: it exports nothing named placement`);
    expect(await failure('export const placement = {};')).toBe(`placement ${NAME}: its placement has no method choose`);
    expect(await failure(`throw new Error('not today\\nsecond line');`)).toBe(
      `placement ${NAME}: it cannot be loaded: not today`,
    );
    expect(await failure('export const placement = {')).toContain('it cannot be loaded: ');
    expect(await failure('await new Promise(() => {}); export const placement = { choose() {} };', 50)).toBe(
      `placement ${NAME}: it was not loaded within 0.05 s`,
    );
  });

  it('that is a folder is refused', async () => {
    const modules = [{ name: NAME, path: folder }];
    await expect(loadPlacements(config({ modules }))).rejects.toThrow(/^placement \.\/mine\.mjs: EISDIR/);
  });
});

describe('without modules', () => {
  it('there are ours, the threshold as configured', async () => {
    expect([...(await loadPlacements(undefined)).keys()]).toEqual(PLACEMENT_NAMES);
    const low = await loadPlacements(config({ algorithm: 'threshold', modules: [], maxLoad: 0.0001 }));
    const busy = place(rooms, { ...request, count: 9, rules: { algorithm: 'threshold' } }, low);
    expect(busy.hosts).toEqual(['h1', 'h2', 'h3']);
    expect(busy.refused?.get('h1')).toMatch(/is promised, above the threshold of 0 %$/);
  });
});
