// Port: programs run inside a guest, by its agent. The contract is what test/contracts/hypervisor-guest-commands.ts checks.
// As in hypervisor.ts: throw only `Fault`, honour `signal`. Not here: who may do that, and interactive shells (ssh).

/** A piece of what a program wrote, as it came; may end in the middle of a line or a character. */
export interface GuestOutput {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

export interface ExecOptions {
  /** What it reads from its standard input, at most `EXEC_INPUT_MAX_BYTES`; absent: nothing. */
  readonly input?: Uint8Array;
  /** Told while the program runs; pieces of one stream come in order. Absent: nobody wants to know. */
  readonly onOutput?: (output: GuestOutput) => void;
  /** Longest it may run. Default 60 000. */
  readonly timeoutMs?: number;
  /** Of both streams together; more ends the program. Default 16 MiB. */
  readonly maxOutputBytes?: number;
}

/** How a program ended: by itself, or by a signal's number. */
export type ExecResult = { readonly exitCode: number } | { readonly signal: number };

/** Larger inputs go in several pieces, each to a program that appends it to a file. */
export const EXEC_INPUT_MAX_BYTES = 1024 * 1024;

export interface GuestCommands {
  /**
   * Runs a program of the guest as its agent's user (root) to its end, with what it starts as long as that keeps the output open. `argv[0]`
   * is found by PATH; no shell reads the rest. A program that is not there ends with 127, one that cannot be run with 126, as in a shell.
   * `gone`: there is no such domain, or it was restarted meanwhile. `conflict`: it does not run. `busy`: its agent does not answer (yet).
   * `refused`: the agent may not run programs, too much input or output. `timed-out`, `aborted`: told soon; the program and all that it
   * started are ended, first kindly and after 2 s by force, also when nobody waits for that any more.
   * Is not repeated: when an answer was lost (`unreachable`) the program may have run, and may still.
   */
  exec(
    uuid: string,
    argv: readonly [string, ...string[]],
    options: ExecOptions,
    signal: AbortSignal,
  ): Promise<ExecResult>;
}
