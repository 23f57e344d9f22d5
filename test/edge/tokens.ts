// A token for a test: what the client shows, and what the engine keeps of it.

import { createHash } from 'node:crypto';
import type { Scope, Token } from '../../src/core/catalog.ts';
import { clock, NOW_MS } from './pictures.ts';

export function tokenFor(
  name: string,
  scope: Scope,
  more: Partial<Token> = {},
): { readonly text: string; readonly token: Token } {
  const text = `vs_${createHash('sha256').update(`text of ${name}`).digest('base64url')}`;
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { text, token: { name, scope, sha256, createdAt: clock.wallOf(NOW_MS), ...more } };
}
