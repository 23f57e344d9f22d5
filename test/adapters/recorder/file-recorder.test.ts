// The recorder on real files: kept over restarts, below its share, with torn lines, a full queue and a disk that refuses.

import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { FileRecorder } from '../../../src/adapters/recorder/file-recorder.ts';
import { decisionOn, type Evaluation } from '../../../src/core/evaluation.ts';
import { EvaluationDecoder } from '../../../src/core/recording.ts';
import { recorderContract } from '../../contracts/recorder.ts';
import { turnsOf } from '../../core/recorded-turns.ts';

const MIB = 1024 * 1024;
const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'recorder-'));
  folders.push(made);
  return made;
}

async function recorded(into: string, turns: Iterable<Evaluation>, keepBytes = 100 * MIB): Promise<void> {
  const recorder = await FileRecorder.open({ folder: into, keepBytes });
  for (const turn of turns) recorder.record(turn);
  await recorder.close();
}

async function filesOf(from: string): Promise<readonly string[]> {
  return (await readdir(from)).sort().map((name) => join(from, name));
}

recorderContract('files', async () => FileRecorder.open({ folder: await folder(), keepBytes: 100 * MIB }));

const on = (group: string, turn: Evaluation | undefined) => turn && decisionOn(group, turn);
const small = () => turnsOf({ vms: 10, groups: 2, hosts: 2, turns: 40 });

it('reads what an earlier one wrote, and goes on in a file of its own', async () => {
  const into = await folder();
  const turns = [...small()];
  await recorded(into, turns.slice(0, 20));
  await writeFile(join(into, 'notes.txt'), 'of somebody else');
  const recorder = await FileRecorder.open({ folder: into, keepBytes: 100 * MIB });
  expect(await recorder.find('group-0', '2026-03-01T00:00:13.000Z')).toEqual(on('group-0', turns[13]));
  for (const turn of turns.slice(20)) recorder.record(turn);
  expect(await recorder.find('group-0', '2026-03-01T00:00:33.000Z')).toEqual(on('group-0', turns[33]));
  expect(await recorder.find('group-0', '2026-03-01T00:00:03.000Z')).toEqual(on('group-0', turns[3]));
  await recorder.close();
  expect((await readdir(into)).sort()).toEqual(['000000001.jsonl', '000000002.jsonl', 'notes.txt']);
  const text = await readFile(join(into, '000000002.jsonl'), 'utf8');
  const decoder = new EvaluationDecoder();
  const lines = text.trimEnd().split('\n');
  expect(lines.map((line) => decoder.decode(line))).toEqual(turns.slice(20));
});

it('leaves out a torn last line', async () => {
  const into = await folder();
  const turns = [...small()];
  await recorded(into, turns);
  const [file = ''] = await filesOf(into);
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.slice(0, -20));
  const recorder = await FileRecorder.open({ folder: into, keepBytes: 100 * MIB });
  expect((await recorder.find('group-0', '2030-01-01T00:00:00Z'))?.at).toBe(turns[38]?.at);
  await recorder.close();
  await appendFile(file, '\nrubbish\n["whole",2,{"at":"x"}]\n');
  const again = await FileRecorder.open({ folder: into, keepBytes: 100 * MIB });
  // What was decided stands at the beginning of the line: it had arrived.
  expect((await again.find('group-0', '2030-01-01T00:00:00Z'))?.at).toBe(turns[39]?.at);
  await again.close();
});

it('stays below its share: the oldest go, and what is left is whole', async () => {
  const into = await folder();
  const keepBytes = 2 * MIB;
  const recorder = await FileRecorder.open({ folder: into, keepBytes });
  const turns = turnsOf({ vms: 200, groups: 2, hosts: 4, turns: 150 });
  let largest = 0;
  let count = 0;
  for (const turn of turns) {
    recorder.record(turn);
    count += 1;
    if (count % 10 !== 0) continue;
    await recorder.find('none', '2030-01-01T00:00:00Z');
    const sizes = await Promise.all((await filesOf(into)).map(async (file) => (await stat(file)).size));
    largest = Math.max(
      largest,
      sizes.reduce((sum, size) => sum + size, 0),
    );
  }
  expect(recorder.lost).toBe(0);
  expect(largest).toBeLessThanOrEqual(keepBytes);
  expect(largest).toBeGreaterThan(keepBytes / 2);
  expect((await readdir(into)).includes('000000001.jsonl')).toBe(false);
  expect(await recorder.find('group-0', '2026-03-01T00:00:01Z')).toBeUndefined();
  expect((await recorder.find('group-0', '2026-03-01T00:02:20Z'))?.at).toBe('2026-03-01T00:02:20.000Z');
  await recorder.close();
});

it('loses what the disk is too slow for, and says so in the next whole frame', async () => {
  const into = await folder();
  const recorder = await FileRecorder.open({ folder: into, keepBytes: 100 * MIB, queueBytes: 20_000 });
  const turns = [...small()];
  for (const turn of turns.slice(0, 30)) recorder.record(turn);
  const lost = recorder.lost;
  expect(lost).toBeGreaterThan(0);
  await recorder.find('none', '2030-01-01T00:00:00Z');
  for (const turn of turns.slice(30)) {
    recorder.record(turn);
    await recorder.find('none', '2030-01-01T00:00:00Z');
  }
  expect(recorder.lost).toBe(lost);
  expect(await recorder.find('group-0', '2026-03-01T00:00:35Z')).toEqual(on('group-0', turns[35]));
  await recorder.close();
  const [file = ''] = await filesOf(into);
  expect(await readFile(file, 'utf8')).toContain(`"groups":["group-0","group-1"],"lost":${lost}}`);
});

it('tells of a disk that refuses, and takes nothing while it does', async () => {
  const into = await folder();
  const problems: string[] = [];
  const onProblem = (text: string): void => void problems.push(text);
  const recorder = await FileRecorder.open({ folder: into, keepBytes: 100 * MIB, onProblem });
  // Somebody's folder stands where the next file would be made.
  await mkdir(join(into, '000000001.jsonl'));
  const [first, second] = small();
  if (first === undefined || second === undefined) throw new Error('no turns');
  recorder.record(first);
  expect(await recorder.find('group-0', '2026-02-01T00:00:00Z')).toBeUndefined();
  expect(problems).toEqual([expect.stringMatching(/^evaluations are not recorded for 10 s: .*EEXIST/)]);
  recorder.record(second);
  expect(recorder.lost).toBe(2);
  // The latest is known all the same.
  expect(await recorder.find('group-0', '2026-03-02T00:00:00Z')).toEqual(on('group-0', second));
  await recorder.close();
});

it('does not take an evaluation that is too large for its share', async () => {
  const into = await folder();
  const problems: string[] = [];
  const recorder = await FileRecorder.open({ folder: into, keepBytes: MIB, onProblem: (text) => problems.push(text) });
  for (const turn of turnsOf({ vms: 2500, groups: 2, hosts: 4, turns: 2 })) recorder.record(turn);
  await recorder.close();
  expect(recorder.lost).toBe(2);
  expect(problems).toHaveLength(1);
  expect(await readdir(into)).toEqual([]);
});

it('closed, it takes nothing more', async () => {
  const into = await folder();
  const recorder = await FileRecorder.open({ folder: into, keepBytes: MIB });
  const [first, second] = small();
  if (first === undefined || second === undefined) throw new Error('no turns');
  recorder.record(first);
  await recorder.close();
  recorder.record(second);
  const [file = ''] = await filesOf(into);
  expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(1);
});
