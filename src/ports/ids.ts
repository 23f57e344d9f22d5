// Port: fresh identifiers, so that a simulation can be repeated from its seed.

export interface Ids {
  /** A random RFC 9562 version 4 UUID, lower case with dashes. */
  uuid(): string;
  /** Uniform in [0, 1), for jitter. */
  random(): number;
  /** A fresh ed25519 key with this comment: the public half as in authorized_keys, the private one as OpenSSH keeps it, unencrypted. */
  sshKey(comment: string): { readonly publicKey: string; readonly privateKey: string };
}
