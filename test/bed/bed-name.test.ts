import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { bedNameIn, newBedName, ownerLives } from './bed-name.ts';

it('a bed is its owner’s as long as that very process lives', async () => {
  const name = await newBedName('h');
  expect(name).toMatch(/^vsh-\d+-\d+-\d+$/);
  expect(await ownerLives(name)).toBe(true);
  // The same pid, started at another time: somebody else.
  expect(await ownerLives(name.replace(/-\d+-(\d+)$/, '-1-$1'))).toBe(false);
  expect(await ownerLives('vsh-1-2-3-ctl')).toBe(false);
});

it('a bed of a process that has ended is nobody’s', async () => {
  const module = JSON.stringify(new URL('./bed-name.ts', import.meta.url).href);
  const script = `import(${module}).then(async ({ newBedName }) => console.log(await newBedName('e')))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let name = '';
  child.stdout.on('data', (chunk: Buffer) => (name += chunk.toString()));
  await once(child, 'close');
  expect(name.trim()).toMatch(new RegExp(`^vse-${child.pid}-`));
  expect(await ownerLives(name.trim())).toBe(false);
});

it('no two beds of one process have one name', async () => {
  const names = await Promise.all(Array.from({ length: 20 }, () => newBedName('h')));
  expect(new Set(names).size).toBe(20);
});

it.each([
  ['vsh-12-345-6', 'vsh-12-345-6'],
  ['vsh-12-345-6-ctl', 'vsh-12-345-6'],
  ['vsh-12-345-67', 'vsh-12-345-67'],
  ['vse-12-345-6', undefined],
  ['my-vsh-12-345-6', undefined],
  ['vsh-12-345-6x', undefined],
  ['vsh-12', undefined],
  ['', undefined],
])('the name in %j is %j', (text, name) => {
  expect(bedNameIn(text, 'h')).toBe(name);
});
