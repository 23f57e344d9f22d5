// The audit record: one entry for every write that was asked for over HTTP, and for every sign-in. Plain records.
// Not here: what is written there (edge/audit), keeping it (store). No entry ever holds a password, a token or a body.

/** What one call wanted, as it is kept. */
export interface AuditEntry {
  /** Wall time, RFC 3339: when it was answered. */
  readonly at: string;
  /** Whose it was: a user's or a token's name, `anonymous`; `unknown` when nobody was let in. */
  readonly who: string;
  /** The token it came with, by name; absent without one. */
  readonly token?: string;
  readonly method: string;
  /** As the API's document writes it: `/v1/vms/{id}`. */
  readonly route: string;
  /** What the route's parameters were, by name; of calls without any what they were about, such as the name of who signs in. */
  readonly target?: Readonly<Record<string, string>>;
  /** The socket's other end. */
  readonly from?: string;
  /** It came through a proxy: `from` is the proxy. */
  readonly proxied?: boolean;
  /** The answer's HTTP status. */
  readonly status: number;
  /** The operation it began. */
  readonly operation?: string;
  /** Why it was refused, as a problem's name. */
  readonly problem?: string;
}

/** As the log keeps it; `n` grows by one. */
export type LoggedAudit = AuditEntry & { readonly n: number };
