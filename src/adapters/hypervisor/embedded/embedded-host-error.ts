// The one error of the embedded host: what is wrong with this machine or these folders, and what to do about it.
// Not for faults of a running host: those come from the libvirt client.

export type EmbeddedHostErrorCode =
  | 'missing-program'
  | 'too-old'
  | 'no-rights'
  | 'bad-folder'
  | 'no-start'
  | 'no-stop'
  | 'no-image'
  | 'aborted';

export class EmbeddedHostError extends Error {
  override readonly name = 'EmbeddedHostError';
  readonly code: EmbeddedHostErrorCode;
  /** One sentence for people: what to do. */
  readonly advice: string;

  constructor(code: EmbeddedHostErrorCode, problem: string, advice: string, options?: ErrorOptions) {
    super(`${problem}. ${advice}`, options);
    this.code = code;
    this.advice = advice;
  }
}
