// /v1/tokens: who may come in. A token's text is told once and not kept; only its hash goes on to the engine.
// Not here: tokens that come of signing in (sign-in).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { hasAdmin, isClaimed } from '../../core/admission.ts';
import type { User } from '../../core/user.ts';
import type { EngineView } from '../../engine/view.ts';
import type { Access, Admitted } from '../access.ts';
import { freshToken } from '../accounts.ts';
import { about } from '../audit.ts';
import { publicToken } from '../fabric-representation.ts';
import { newTokenSchema, tokenCreateSchema, tokensSchema } from '../fabric-schemas.ts';
import { ProblemError } from '../problem.ts';
import { nameSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import {
  answered,
  jsonResponse,
  keyHeader,
  noQuery,
  problemResponses,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const listTokens = createRoute({
  method: 'get',
  path: '/v1/tokens',
  tags: ['tokens'],
  summary: 'All tokens, without their text',
  request: { query: noQuery },
  responses: { 200: jsonResponse(tokensSchema, 'The tokens, expired ones too'), ...problemResponses() },
});

const createToken = createRoute({
  method: 'post',
  path: '/v1/tokens',
  tags: ['tokens'],
  summary: 'Make a token. Its text is in this answer and nowhere else',
  request: {
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: tokenCreateSchema } } },
  },
  responses: { 201: jsonResponse(newTokenSchema, 'The token with its text'), ...writeProblems() },
});

const deleteToken = createRoute({
  method: 'delete',
  path: '/v1/tokens/{name}',
  tags: ['tokens'],
  summary: 'Delete a token: it lets nobody in any more, from now on',
  request: { params: z.object({ name: nameSchema }), query: noQuery, headers: keyHeader },
  responses: { 204: { description: 'It is gone' }, ...writeProblems(404) },
});

export function addTokenRoutes(
  app: OpenAPIHono,
  { engine, access }: Pick<RouteContext, 'engine'> & { readonly access: Access },
): void {
  app.openapi(listTokens, (c) => c.json({ tokens: engine.tokens.all.map(publicToken) }, 200));

  app.openapi(createToken, async (c) => {
    const { name, scope, expiresIn, user: wished } = c.req.valid('json');
    about(c, { name });
    const whose = ownerOf(c.get('admitted'), wished, engine);
    if (whose !== undefined && scope === 'admin' && whose.role !== 'admin') {
      throw forbidden('body.scope', `${whose.name} is no admin: his tokens reach as far as operate`);
    }
    if (scope !== 'admin' && whose === undefined && access.closesWithFirstToken && !access.isClaimed) {
      const why = 'nobody could do anything without a token from then on, make another one included';
      throw new ProblemError('conflict', `the first token must have the scope admin: ${why}`, {
        errors: [{ where: 'body.scope', what: 'must be admin for the first token' }],
      });
    }
    const { text, sha256 } = freshToken();
    const expiresAt = expiresIn === undefined ? undefined : new Date(Date.now() + expiresIn).toISOString();
    const token = {
      name,
      scope,
      sha256,
      ...(expiresAt !== undefined && { expiresAt }),
      ...(whose && { user: whose.name }),
    };
    const added = publicToken(accepted(await answered('keeping the token', engine.tokens.add(token))));
    c.set('repeatedBody', JSON.stringify(added));
    return c.json({ token: text, ...added }, 201);
  });

  app.openapi(deleteToken, async (c) => {
    const { name } = c.req.valid('param');
    const gone = engine.tokens.all.find((token) => token.name === name);
    if (gone?.scope === 'admin' && gone.user === undefined && access.closesWithFirstToken) {
      const left = {
        tokens: engine.tokens.all.filter((token) => token !== gone),
        users: engine.users.all.map(({ user }) => user),
      };
      if (isClaimed(left) && !hasAdmin(left, new Date().toISOString())) {
        const why = 'nobody could make or delete tokens any more. Delete the others first, or make another admin';
        throw new ProblemError('conflict', `${JSON.stringify(name)} is the last token with the scope admin: ${why}`);
      }
    }
    accepted(await answered('deleting the token', engine.tokens.remove(name)), 'path');
    return c.body(null, 204);
  });
}

/** The user a new token shall belong to: whoever makes it, when he is a user and no admin; else who an admin says. */
function ownerOf(
  { user: self }: Admitted,
  wished: string | undefined,
  engine: Pick<EngineView, 'users'>,
): User | undefined {
  const isUser = self?.role === 'user';
  const name = wished ?? (isUser ? self.name : undefined);
  if (name === undefined) return undefined;
  const found = engine.users.get(name);
  if (found !== undefined) return found;
  throw new ProblemError('not-found', `there is no user ${JSON.stringify(name)}`);
}

function forbidden(where: string, what: string): ProblemError {
  return new ProblemError('insufficient-scope', what, { errors: [{ where, what }] });
}
