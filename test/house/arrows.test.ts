// The arrows between the rooms are held by the linter; this shows that the linter really turns red when one turns.
// One-line files are laid out in a copy of the rooms and linted in one go with the project's own rules.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const run = promisify(execFile);

const forbidden = [
  ['core', 'node:fs'],
  ['core', 'zod'],
  ['core', '../ports/clock.ts'],
  ['core', '../main.ts'],
  ['core/strategies', '../../adapters/clock/system-clock.ts'],
  ['ports', '../engine/engine.ts'],
  ['ports', 'node:net'],
  ['libvirt', '../core/model.ts'],
  ['libvirt', 'ws'],
  ['config', 'hono'],
  ['config', '../engine/engine.ts'],
  ['engine', '../adapters/clock/system-clock.ts'],
  ['engine', '../libvirt/index.ts'],
  ['engine', 'node:fs'],
  ['adapters', '../engine/engine.ts'],
  ['adapters/store', '../../edge/app.ts'],
  ['edge', '../adapters/clock/system-clock.ts'],
  ['edge', '../libvirt/index.ts'],
] as const;

const allowed = [
  ['core', './model.ts'],
  ['core/strategies', '../model.ts'],
  ['ports', '../core/model.ts'],
  ['libvirt', 'node:net'],
  ['libvirt', 'node:fs/promises'],
  ['config', 'zod'],
  ['config', '../core/model.ts'],
  ['engine', '../core/model.ts'],
  ['engine', '../ports/clock.ts'],
  ['adapters/store', '../../ports/store.ts'],
  ['adapters/store', 'kysely'],
  ['edge', '../engine/view.ts'],
  ['edge', 'hono'],
  ['edge', '@hono/zod-openapi'],
] as const;

let copy: string;
let report: string;
const fileOf = (room: string, index: number) => `${room.replace('/', '-')}-probe-${index}.ts`;

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'arrows-'));
  const { vcs: _vcs, ...rules } = JSON.parse(await readFile(join(root, 'biome.json'), 'utf8'));
  await writeFile(join(copy, 'biome.json'), JSON.stringify(rules));
  for (const [index, [room, from]] of [...forbidden, ...allowed].entries()) {
    const folder = join(copy, 'src', room);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, fileOf(room, index)), `import { a } from '${from}';\n\na();\n`);
  }
  const biome = join(root, 'node_modules/.bin/biome');
  const linted = await run(biome, ['lint', '--max-diagnostics=none', '--colors=off', copy], { cwd: copy }).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  );
  report = linted.stdout + linted.stderr;
});

afterAll(() => rm(copy, { recursive: true }));

function isRefused(room: string, index: number): boolean {
  return report.split('\n').some((line) => line.includes(fileOf(room, index)) && line.includes('noRestrictedImports'));
}

describe('arrows', () => {
  it.each(forbidden.map((arrow, index) => [...arrow, index] as const))('%s may not import %s', (room, _from, index) => {
    expect(isRefused(room, index)).toBe(true);
  });

  it.each(allowed.map((arrow, index) => [...arrow, forbidden.length + index] as const))(
    '%s may import %s',
    (room, _from, index) => {
      expect(isRefused(room, index)).toBe(false);
    },
  );
});
