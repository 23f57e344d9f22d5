// The daemon's log: pino, one NDJSON line per event and per message of the daemon; made readable on a terminal.
// Not here: the event log itself (engine), what the events say in words (event-text).

import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';
import type { LogLevel } from '../config/daemon-config.ts';
import type { LoggedEvent } from '../core/events.ts';
import type { EventLog } from '../engine/view.ts';
import { EVENT_LEVELS, eventText } from './event-text.ts';

export interface LogOptions {
  readonly level?: LogLevel;
  /** Where lines go. Default: standard output, readable when that is a terminal. */
  readonly to?: DestinationStream;
}

export async function createLog({ level = 'info', to }: LogOptions = {}): Promise<Logger> {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, to ?? (process.stdout.isTTY ? await readable() : destination({ dest: 1, sync: true })));
}

/** pino-pretty is there in a checkout and need not be in an installation. */
async function readable(): Promise<DestinationStream> {
  try {
    const { PinoPretty } = await import('pino-pretty');
    return PinoPretty({
      destination: 1,
      sync: true,
      ignore: 'seq,at,type,group,host,vm,decision',
      translateTime: 'SYS:HH:MM:ss.l',
    });
  } catch {
    return destination({ dest: 1, sync: true });
  }
}

/** One line per event, its fields at the top level. Returns the way to stop. */
export function logEvents(log: Pick<Logger, 'info' | 'warn' | 'error'>, events: EventLog): () => void {
  return events.subscribe((event: LoggedEvent) => log[EVENT_LEVELS[event.type]]({ ...event }, eventText(event)));
}
