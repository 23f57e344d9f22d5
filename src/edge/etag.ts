// Entity tags and the conditions made of them. Of what can be edited the tag is one of the editable part: counters that change
// each second must not make an edit fail. Not here: which part that is (routes).

import { createHash } from 'node:crypto';
import { ProblemError } from './problem.ts';

/** A strong tag of anything JSON can tell. */
export function etagOf(value: unknown): string {
  return `"${createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22)}"`;
}

/** Throws `ProblemError` (412) when `If-Match` is there and names another state. */
export function checkIfMatch(header: string | undefined, etag: string): void {
  if (header === undefined || header.trim() === '*' || tagsOf(header).includes(etag)) return;
  throw new ProblemError('precondition-failed', 'it has changed since that ETag was given: read it again', {
    errors: [{ where: 'header.if-match', what: `is not ${etag}` }],
  });
}

/** Whether `If-None-Match` names the present state: then 304. Weak comparison, as HTTP wants it there. */
export function isUnchanged(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.trim() === '*' || tagsOf(header).some((tag) => tag.replace(/^W\//, '') === etag);
}

function tagsOf(header: string): readonly string[] {
  return header.match(/(?:W\/)?"[^"]*"/g) ?? [];
}
