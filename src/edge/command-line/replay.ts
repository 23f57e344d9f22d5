// `replay`: runs a recording through the decision function of this version and says whether it decides the same.
// Not here: the comparison (core/replay), reading a recording (recording-lines).

import { setImmediate } from 'node:timers/promises';
import type { Command } from 'commander';
import { decide } from '../../core/decide.ts';
import type { Evaluation } from '../../core/evaluation.ts';
import type { Placements } from '../../core/placement/registry.ts';
import { Replay, type Replayed } from '../../core/replay.ts';
import { CommandFailure } from './command-failure.ts';
import { recordedLines, recordingFiles } from './recording-lines.ts';
import { printable, type Terminal } from './terminal.ts';

export interface ReplayOptions {
  /** A file of a recording, or a folder with its files (`*.jsonl`). */
  readonly path: string;
  readonly json: boolean;
  /** All there are; absent: our own. */
  readonly placements?: Placements;
}

interface Found {
  /** Evaluations that are said to have been lost while recording. */
  lost: number;
  /** Lines that could not be read. */
  unreadable: number;
}

const SAY_EVERY_MS = 2000;

/** `placementsOf`: the algorithms of a configuration, a user's own among them. */
export function addReplayCommand(
  root: Command,
  terminal: Terminal,
  placementsOf: (options: { readonly config?: string }) => Promise<Placements>,
): void {
  root
    .command('replay')
    .description('run recorded evaluations through this version again: it must decide the same, byte for byte')
    .argument('<path>', "a file of a recording, or its folder (the daemon's: recording/ in its state folder)")
    .option(
      '-c, --config <file>',
      'configuration with the placement algorithms (default: virtscale.yaml if there is one)',
    )
    .option('--json', 'print JSON')
    .action(async (path: string, { config, json = false }: { config?: string; json?: boolean }) => {
      const placements = await placementsOf(config === undefined ? {} : { config });
      await replayRecording(terminal, { path, json, placements });
    });
}

/** Throws `CommandFailure`: 1 when anything differs, 2 when there is nothing to replay. */
export async function replayRecording(terminal: Terminal, options: ReplayOptions): Promise<void> {
  const files = await recordingFiles(options.path);
  const run = new Replay(decide, options.placements);
  const found: Found = { lost: 0, unreadable: 0 };
  let saidMs = performance.now();
  for (const file of files) {
    for await (const evaluation of evaluationsOf(file, found)) {
      const count = run.add(evaluation);
      if (performance.now() - saidMs < SAY_EVERY_MS) continue;
      saidMs = performance.now();
      if (!options.json) terminal.error(`${count} evaluations, up to ${evaluation.at}`);
      // Ctrl-C comes through.
      await setImmediate();
    }
  }
  const result = run.result();
  if (result.evaluations === 0) throw new CommandFailure(2, `${options.path} holds no evaluation`);
  if (options.json) terminal.json({ ...result, ...found }, 2);
  else print(terminal, result, found);
  if (result.different > 0) {
    throw new CommandFailure(1, `${result.different} of ${result.evaluations} evaluations are decided differently`);
  }
}

/** Lines that cannot be read, such as a torn last one, are counted and passed over, with those that need them. */
async function* evaluationsOf(file: string, found: Found): AsyncGenerator<Evaluation> {
  for await (const read of recordedLines(file)) {
    if ('problem' in read) {
      found.unreadable += 1;
      continue;
    }
    found.lost += read.lost;
    yield read.evaluation;
  }
}

function print(terminal: Terminal, result: Replayed, { lost, unreadable }: Found): void {
  const [first] = result.differences;
  if (lost > 0) terminal.line(`${lost} evaluations were lost while recording`);
  if (unreadable > 0) terminal.line(`${unreadable} lines cannot be read and are passed over`);
  if (result.notReplayable > 0) {
    const names = result.unknownPlacements.map(printable).join(', ');
    terminal.line(`${result.notReplayable} evaluations cannot be replayed: placed by a module of one's own (${names})`);
  }
  if (first === undefined) {
    const replayed = result.evaluations - result.notReplayable;
    const same = terminal.styled('green', 'the same');
    terminal.line(`${replayed} evaluations with ${result.decisions} decisions, all ${same}, byte for byte`);
    return;
  }
  const where = first.where === '' ? '' : ` at ${printable(first.where)}`;
  terminal.line(`first difference: ${first.at}, group ${printable(first.group)}, ${first.what}${where}`);
  terminal.line(`  recorded: ${printable(first.recorded)}`);
  terminal.line(`  replayed: ${printable(first.replayed)}`);
}
