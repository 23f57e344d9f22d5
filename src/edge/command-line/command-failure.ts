// An end of a command that is told to the user in one line: what, where, what to do. Anything else that is thrown is a bug.

/** 2: what was given is wrong. 1: it was right and did not work. 130: Ctrl-C. */
export type ExitStatus = 1 | 2 | 130;

export class CommandFailure extends Error {
  readonly exitStatus: ExitStatus;

  constructor(exitStatus: ExitStatus, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CommandFailure';
    this.exitStatus = exitStatus;
  }
}

/** Why a file that the user named cannot be read. `what`: as messages call it, with its path. */
export function cannotRead(what: string, error: unknown): CommandFailure {
  const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
  return new CommandFailure(2, `cannot read ${what}: ${isAbsent ? 'it does not exist' : String(error)}`, error);
}
