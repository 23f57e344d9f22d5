#!/usr/bin/env -S node --max-semi-space-size=2

// The program `virtscale`. Knows the process; everything else is the command line's (edge/command-line).

import { BUILT_IN, type Placements } from './core/placement/registry.ts';
import { CommandFailure } from './edge/command-line/command-failure.ts';
import { runCommandLine } from './edge/command-line/program.ts';
import { VERSION } from './version.ts';

// What reads our output may end before we do (`virtscale events | head`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

process.exitCode = await runCommandLine({
  arguments: process.argv.slice(2),
  stdout: process.stdout,
  stderr: process.stderr,
  // Opened only by a command that asks.
  get stdin() {
    return process.stdin;
  },
  env: process.env,
  cwd: process.cwd(),
  version: VERSION,
  serve: (options) => withMain((main) => main.serve(options)),
  stopEmbedded: (options, say) => withMain((main) => main.stopEmbedded(options, say)),
  placements: async (options) => {
    let placements: Placements = BUILT_IN;
    await withMain(async (main) => {
      placements = await main.placementsOf(options);
    });
    return placements;
  },
  cronProblem: async () => {
    const { CronCalendar } = await import('./adapters/calendar/cron-calendar.ts');
    const calendar = new CronCalendar();
    return (cron, timezone) => calendar.problem(cron, timezone);
  },
  onInterrupt: (listener) => {
    process.once('SIGINT', listener);
    return () => void process.off('SIGINT', listener);
  },
});

/** The daemon's rooms are loaded by the commands that need them, not by `virtscale status`. */
async function withMain(work: (main: typeof import('./main.ts')) => Promise<void>): Promise<void> {
  const main = await import('./main.ts');
  try {
    await work(main);
  } catch (error) {
    if (error instanceof main.BadConfiguration) throw new CommandFailure(2, error.message, error);
    throw error;
  }
}
