// The form of what the store keeps beside VMs and operations: images, tokens, kept answers.
// Not here: VM records (model-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type { CatalogImage, ImageSource, Scope, Token } from '../../core/catalog.ts';
import type { KeptAnswer } from '../../ports/store.ts';
import { image, oneOf, type Shape, sha256 } from './model-schemas.ts';

type SourceKind = ImageSource['kind'];

/** All kinds: one that is added to the model must be added here. */
const sources = {
  upload: z.object({ kind: z.literal('upload') }),
  path: z.object({ kind: z.literal('path'), path: z.string() }),
  url: z.object({ kind: z.literal('url'), url: z.string() }),
  ssh: z.object({ kind: z.literal('ssh'), user: z.string().exactOptional(), host: z.string(), path: z.string() }),
  host: z.object({ kind: z.literal('host'), path: z.string() }),
  built: z.object({ kind: z.literal('built') }),
} satisfies { readonly [K in SourceKind]: z.ZodType<Extract<ImageSource, { kind: K }>> };

const { upload, path, url, ssh, host, built } = sources;
const source: z.ZodType<ImageSource> = z.discriminatedUnion('kind', [upload, path, url, ssh, host, built]);

export const catalogImage: z.ZodType<CatalogImage> = z
  .object({
    name: z.string(),
    source,
    state: oneOf<CatalogImage['state']>({ importing: true, ready: true, failed: true }),
    image: image.exactOptional(),
    reason: z.string().exactOptional(),
    addedAt: z.string(),
    configured: z.boolean(),
    owner: z.string().exactOptional(),
  } satisfies Shape<CatalogImage>)
  .refine((found) => found.state !== 'ready' || found.image !== undefined, {
    path: ['image'],
    error: 'is missing, though the image is said to be ready',
  });

export const token: z.ZodType<Token> = z.object({
  name: z.string(),
  scope: oneOf<Scope>({ post: true, read: true, operate: true, admin: true }),
  sha256,
  createdAt: z.string(),
  expiresAt: z.string().exactOptional(),
  user: z.string().exactOptional(),
  signIn: z.literal(true).exactOptional(),
} satisfies Shape<Token>);

export const keptAnswer: z.ZodType<KeptAnswer> = z.object({
  key: z.string(),
  fingerprint: z.string(),
  status: z.int().min(100).max(599),
  headers: z.record(z.string(), z.string()),
  body: z.string(),
  at: z.string(),
} satisfies Shape<KeptAnswer>);
