// Signing in and out, and who one is. Not here: users (users), tokens that people make (tokens).

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import type { Accounts } from '../accounts.ts';
import { about } from '../audit.ts';
import { publicToken } from '../fabric-representation.ts';
import { callerOf, peerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { accepted } from '../refusals.ts';
import { publicUser } from '../user-representation.ts';
import { signedInSchema, signInSchema, whoamiSchema } from '../user-schemas.ts';
import type { Visibility } from '../visibility.ts';
import { answered, jsonResponse, noQuery, problemResponses, type RouteContext, writeProblems } from './route-parts.ts';

const DEFAULT_EXPIRY_MS = 12 * 60 * 60 * 1000;

const signIn = createRoute({
  method: 'post',
  path: '/v1/sign-in',
  tags: ['users'],
  summary: 'A token for a name and a password. Tries are limited: `Retry-After` says when the next one counts',
  request: {
    query: noQuery,
    body: { required: true, content: { 'application/json': { schema: signInSchema } } },
  },
  responses: { 200: jsonResponse(signedInSchema, 'The token with its text, and the user'), ...writeProblems() },
});

const signOut = createRoute({
  method: 'post',
  path: '/v1/sign-out',
  tags: ['users'],
  summary: 'The token this comes with lets nobody in any more',
  request: { query: noQuery },
  responses: { 204: { description: 'It is gone' }, ...writeProblems() },
});

const whoami = createRoute({
  method: 'get',
  path: '/v1/whoami',
  tags: ['users'],
  summary: 'Who one is to the daemon, and how far one reaches',
  request: { query: noQuery },
  responses: { 200: jsonResponse(whoamiSchema, 'Who one is'), ...problemResponses() },
});

export interface SignInRoutes extends Pick<RouteContext, 'engine'> {
  readonly accounts: Accounts;
  readonly visibility: Visibility;
}

export function addSignInRoutes(app: OpenAPIHono, { engine, accounts, visibility }: SignInRoutes): void {
  app.openapi(signIn, async (c) => {
    const { name, password, expiresIn = DEFAULT_EXPIRY_MS } = c.req.valid('json');
    if (accounts.isUser(name)) about(c, { name });
    const { text, token, user } = await accounts.signIn(name, password, peerOf(c), expiresIn);
    const admitted = { owner: user.name, scope: token.scope, token, user };
    c.set('admitted', admitted);
    const status = visibility.viewOf(admitted).users.find(user.name);
    if (status === undefined) throw new ProblemError('conflict', 'the user was deleted in this moment');
    return c.json({ token: text, ...publicToken(token), user: publicUser(status) }, 200);
  });

  app.openapi(signOut, async (c) => {
    const { token } = c.get('admitted');
    if (token?.user === undefined) {
      const why = token === undefined ? 'nobody is signed in' : 'this is a token of the operator’s: delete it by name';
      throw new ProblemError('conflict', why);
    }
    const name = engine.tokens.find(token.sha256)?.name ?? token.name;
    accepted(await answered('signing out', engine.tokens.remove(name)), 'path');
    return c.body(null, 204);
  });

  app.openapi(whoami, (c) => {
    const { scope, token, user } = c.get('admitted');
    const status = user && engine.users.find(user.name);
    const shown = token && (engine.tokens.find(token.sha256)?.name ?? token.name);
    return c.json(
      {
        name: callerOf(c).owner,
        scope,
        ...(shown !== undefined && { token: shown }),
        ...(token?.expiresAt !== undefined && { expiresAt: token.expiresAt }),
        ...(status && { user: publicUser(status) }),
      },
      200,
    );
  });
}
