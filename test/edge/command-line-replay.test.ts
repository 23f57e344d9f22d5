// `virtscale replay` on real files: the same, another answer, torn lines, modules of one's own, nothing there.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Evaluation } from '../../src/core/evaluation.ts';
import type { Memory } from '../../src/core/memory.ts';
import { EvaluationEncoder } from '../../src/core/recording.ts';
import { turnsOf } from '../core/recorded-turns.ts';
import { run } from './command-runner.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** What the real decision function says of made-up pictures. */
function evaluations(count: number): readonly Evaluation[] {
  let memory: Memory = {};
  return Array.from(turnsOf({ vms: 6, groups: 2, hosts: 2, turns: count }), (turn) => {
    const { decisions, memory: memoryAfter } = decide(turn.snapshot, turn.policies, memory, turn.nowMs);
    const evaluation = { ...turn, memory, decisions, memoryAfter };
    memory = memoryAfter;
    return evaluation;
  });
}

async function recorded(...files: readonly (readonly Evaluation[])[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-'));
  folders.push(folder);
  for (const [index, turns] of files.entries()) {
    const encoder = new EvaluationEncoder();
    const lines = turns.map((turn) => `${encoder.encode(turn).line}\n`);
    await writeFile(join(folder, `00000000${index + 1}.jsonl`), lines.join(''));
  }
  return folder;
}

it('says that all is the same, of a folder and of one file', async () => {
  const turns = evaluations(12);
  const folder = await recorded(turns.slice(0, 8), turns.slice(8));
  const all = await run(`replay ${folder}`);
  expect(all).toMatchObject({ status: 0, out: '12 evaluations with 24 decisions, all the same, byte for byte\n' });
  const one = await run(`replay ${join(folder, '000000002.jsonl')} --json`);
  expect(one.status).toBe(0);
  expect(JSON.parse(one.out)).toEqual({
    evaluations: 4,
    decisions: 8,
    different: 0,
    differences: [],
    notReplayable: 0,
    unknownPlacements: [],
    lost: 0,
    unreadable: 0,
  });
});

it('shows the first difference and ends with status 1', async () => {
  const turns = evaluations(5).map((turn, index) => {
    const decisions = turn.decisions.map((one) => (one.group === 'group-1' ? { ...one, text: 'Otherwise.' } : one));
    return index < 3 ? turn : { ...turn, decisions };
  });
  const { status, out, err } = await run(`replay ${await recorded(turns)}`);
  expect(status).toBe(1);
  expect(out).toContain(
    'first difference: 2026-03-01T00:00:03.000Z, group group-1, decision at text\n  recorded: "Otherwise."\n',
  );
  expect(err).toContain('2 of 5 evaluations are decided differently');
});

it('passes over torn lines and what hangs on them, and says so', async () => {
  const folder = await recorded(evaluations(3), evaluations(2));
  await writeFile(join(folder, '000000003.jsonl'), '["whole",2,{"at"\n["change",{},{}]\n');
  const { status, out } = await run(`replay ${folder}`);
  expect(status).toBe(0);
  expect(out).toContain('2 lines cannot be read and are passed over\n5 evaluations');
});

it('says what it cannot replay', async () => {
  const turns = evaluations(3).map((turn) => ({ ...turn, snapshot: { ...turn.snapshot, placement: 'coldest-rack' } }));
  const { status, out } = await run(`replay ${await recorded(turns)}`);
  expect(status).toBe(0);
  expect(out).toContain("3 evaluations cannot be replayed: placed by a module of one's own (coldest-rack)");
});

it('needs something to replay', async () => {
  const folder = await recorded();
  expect(await run(`replay ${folder}`)).toMatchObject({
    status: 2,
    err: expect.stringContaining('holds no evaluation'),
  });
  const missing = await run(`replay ${join(folder, 'none')}`);
  expect(missing).toMatchObject({ status: 2, err: expect.stringContaining('it does not exist') });
});
