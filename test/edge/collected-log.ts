// A daemon log that keeps its lines for a test to look at.

import type { Log } from '../../src/engine/log.ts';

export interface LogLine {
  readonly level: keyof Log;
  readonly fields: object;
  readonly message: string;
}

export class CollectedLog implements Log {
  readonly lines: LogLine[] = [];
  readonly debug = (fields: object, message: string): void => void this.lines.push({ level: 'debug', fields, message });
  readonly info = (fields: object, message: string): void => void this.lines.push({ level: 'info', fields, message });
  readonly warn = (fields: object, message: string): void => void this.lines.push({ level: 'warn', fields, message });
  readonly error = (fields: object, message: string): void => void this.lines.push({ level: 'error', fields, message });
}
