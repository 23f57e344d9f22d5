// Every error a client is told over HTTP, as an RFC 9457 document, and the error that carries one out of a handler.
// Not here: deciding that something is wrong (routes, guards).

/** One thing wrong with a request: where it stands and what is wrong there. */
export interface ProblemSpot {
  /** e.g. `body.desired`, `query.limit`, `header.host` */
  readonly where: string;
  readonly what: string;
}

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly ProblemSpot[];
  readonly [member: string]: unknown;
}

/** By the last part of a problem's `type`; docs/API.md has the table. */
const TITLES = {
  'invalid-request': [400, 'The request is not valid'],
  unauthenticated: [401, 'A token is needed'],
  'insufficient-scope': [403, 'The token does not reach this far'],
  'host-not-allowed': [403, 'This host name is not allowed'],
  'cross-origin': [403, 'Requests from other origins are refused'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  conflict: [409, 'The request conflicts with the present state'],
  'no-capacity': [409, 'No host can hold it'],
  'in-progress': [409, 'The same request is still being worked on'],
  ahead: [409, 'The event log has not come that far'],
  expired: [410, 'These events are no longer kept'],
  'precondition-failed': [412, 'It has changed in the meantime'],
  'body-too-large': [413, 'The request body is too large'],
  'unsupported-media-type': [415, 'The media type is not supported'],
  'idempotency-key-reused': [422, 'The idempotency key was used for another request'],
  'upgrade-required': [426, 'Only an upgrade to WebSocket is possible here'],
  'too-many': [429, 'Too much is waiting already'],
  internal: [500, 'Internal error'],
  'not-ready': [503, 'Not ready'],
  unreachable: [503, 'The host does not answer'],
  'too-many-subscribers': [503, 'Too many event subscribers'],
  'timed-out': [503, 'No answer in time'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemName = keyof typeof TITLES;
export const PROBLEM_NAMES = Object.keys(TITLES) as readonly ProblemName[];

export const PROBLEM_TYPE_PREFIX = 'urn:virtscale:problem:';
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** `more` are extension members and must not repeat the standard ones. */
export function problem(name: ProblemName, detail: string, more: Readonly<Record<string, unknown>> = {}): Problem {
  const [status, title] = TITLES[name];
  return { type: `${PROBLEM_TYPE_PREFIX}${name}`, title, status, detail, ...more };
}

/** Thrown by handlers and guards; becomes the response. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    name: ProblemName,
    detail: string,
    more: Readonly<Record<string, unknown>> = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = 'ProblemError';
    this.problem = problem(name, detail, more);
    this.headers = headers;
  }
}

export function problemResponse(document: Problem, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(document), {
    status: document.status,
    headers: { 'content-type': PROBLEM_MEDIA_TYPE, 'cache-control': 'no-store', ...headers },
  });
}
