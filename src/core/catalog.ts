// What the daemon keeps beside VMs: images that it brings to hosts, and the tokens that let programs in. Plain records.
// Not here: where an image's bytes lie (ports/image-store), how a token is checked (edge).

import type { Image } from './model.ts';

/** Where an image comes from. */
export type ImageSource =
  /** Sent to us by PUT. */
  | { readonly kind: 'upload' }
  /** A file of the daemon's machine. */
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  /** A file of another machine, fetched through ssh. */
  | { readonly kind: 'ssh'; readonly user?: string; readonly host: string; readonly path: string }
  /** It lies on every host already; virtscale never moves it. */
  | { readonly kind: 'host'; readonly path: string }
  /** The guest that virtscale builds for its embedded hosts. */
  | { readonly kind: 'built' };

/**
 *   importing ──checked──▶ ready
 *       └──────▶ failed (tried again when somebody asks for it)
 */
export interface CatalogImage {
  readonly name: string;
  readonly source: ImageSource;
  readonly state: 'importing' | 'ready' | 'failed';
  /** Present when `ready`. */
  readonly image?: Image;
  /** Why it failed, in words for people. */
  readonly reason?: string;
  /** Wall time, RFC 3339. */
  readonly addedAt: string;
  /** It stands in the configuration (or the seeds' image file) and cannot be deleted through the API. */
  readonly configured: boolean;
  /** The user who brought it and alone sees it; absent: the operator's, for everybody. */
  readonly owner?: string;
}

/**
 * read: look. operate: also make, change and delete VMs and images. admin: also hosts and tokens. Each includes those before it.
 * post: nothing but post metrics, for guests; operate and admin include it.
 */
export type Scope = 'post' | 'read' | 'operate' | 'admin';

/** A token as it is kept: its text cannot be had back from this. */
export interface Token {
  /**
   * Chosen by people, unique; the `owner` of what is done with it. Of a user's token `USER/NAME`: what is done with it is the user's.
   */
  readonly name: string;
  readonly scope: Scope;
  /** SHA-256 of the token's text, hex. The text has 256 random bits, so a slow hash would add nothing. */
  readonly sha256: string;
  /** Wall times, RFC 3339. */
  readonly createdAt: string;
  readonly expiresAt?: string;
  /** The user it belongs to: it reaches no further than his role, and ends with him. Absent: the operator's. */
  readonly user?: string;
  /** It came of signing in: it ends when he signs out or changes his password. */
  readonly signIn?: true;
}
