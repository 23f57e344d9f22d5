// /v1/tokens: who may come in. A token's text is made here, told once and not kept; only its hash goes on to the engine.

import { createHash, randomBytes } from 'node:crypto';
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Access } from '../access.ts';
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

const TOKEN_BYTES = 32;
const TOKEN_PREFIX = 'vs_';

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
    const { name, scope, expiresIn } = c.req.valid('json');
    if (scope !== 'admin' && access.closesWithFirstToken && engine.tokens.all.length === 0) {
      const why = 'nobody could do anything without a token from then on, make another one included';
      throw new ProblemError('conflict', `the first token must have the scope admin: ${why}`, {
        errors: [{ where: 'body.scope', what: 'must be admin for the first token' }],
      });
    }
    const text = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url');
    const sha256 = createHash('sha256').update(text).digest('hex');
    const expiresAt = expiresIn === undefined ? undefined : new Date(Date.now() + expiresIn).toISOString();
    const token = { name, scope, sha256, ...(expiresAt !== undefined && { expiresAt }) };
    const added = publicToken(accepted(await answered('keeping the token', engine.tokens.add(token))));
    c.set('repeatedBody', JSON.stringify(added));
    return c.json({ token: text, ...added }, 201);
  });

  app.openapi(deleteToken, async (c) => {
    const { name } = c.req.valid('param');
    const others = engine.tokens.all.filter((token) => token.name !== name);
    const known = others.length < engine.tokens.all.length;
    if (known && access.closesWithFirstToken && others.length > 0 && !others.some(({ scope }) => scope === 'admin')) {
      const why = 'nobody could make or delete tokens any more. Delete the others first, or make another admin';
      throw new ProblemError('conflict', `${JSON.stringify(name)} is the last token with the scope admin: ${why}`);
    }
    accepted(await answered('deleting the token', engine.tokens.remove(name)), 'path');
    return c.body(null, 204);
  });
}
