// The engine's own log lines, in the order of arguments pino has. Events are not logged here: the log subscribes to them.

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
