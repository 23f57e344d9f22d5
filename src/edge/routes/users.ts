// /v1/users: who shares the hosts. Not here: signing in (sign-in), their tokens (tokens), what they see (visibility).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { UserChange } from '../../engine/user-view.ts';
import { type Access, type Admitted, requireScope } from '../access.ts';
import type { Accounts } from '../accounts.ts';
import { about } from '../audit.ts';
import { credentialsOf, peerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { nameSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { publicUser } from '../user-representation.ts';
import { userCreateSchema, userNameParams, userPatchSchema, userSchema, usersSchema } from '../user-schemas.ts';
import type { Visibility } from '../visibility.ts';
import { withoutAbsent } from './present.ts';
import { answered, jsonResponse, noQuery, problemResponses, type RouteContext, writeProblems } from './route-parts.ts';

const createUser = createRoute({
  method: 'post',
  path: '/v1/users',
  tags: ['users'],
  summary: 'Make a user: by admins; by anybody, for himself, where signing up is open',
  request: {
    query: noQuery,
    body: { required: true, content: { 'application/json': { schema: userCreateSchema } } },
  },
  responses: { 201: jsonResponse(userSchema, 'The user'), ...writeProblems() },
});

const listUsers = createRoute({
  method: 'get',
  path: '/v1/users',
  tags: ['users'],
  summary: 'All users, by name; to a user himself alone',
  request: { query: noQuery },
  responses: { 200: jsonResponse(usersSchema, 'The users'), ...problemResponses() },
});

const getUser = createRoute({
  method: 'get',
  path: '/v1/users/{name}',
  tags: ['users'],
  summary: 'One user: his quota, and what of it is used',
  request: { params: userNameParams, query: noQuery },
  responses: { 200: jsonResponse(userSchema, 'The user'), ...problemResponses(404) },
});

const patchUser = createRoute({
  method: 'patch',
  path: '/v1/users/{name}',
  tags: ['users'],
  summary: 'Change a password; by admins also role, quota and whether he is let in',
  request: {
    params: userNameParams,
    query: noQuery,
    body: { required: true, content: { 'application/json': { schema: userPatchSchema } } },
  },
  responses: { 200: jsonResponse(userSchema, 'The user as he is now'), ...writeProblems(404) },
});

const deleteUser = createRoute({
  method: 'delete',
  path: '/v1/users/{name}',
  tags: ['users'],
  summary: 'Delete a user who has nothing any more, or hand over what he has. His name is never given again',
  request: {
    params: userNameParams,
    query: z.strictObject({
      to: nameSchema.optional().openapi({ description: 'The user who gets his VMs and images. By admins only' }),
    }),
  },
  responses: { 204: { description: 'He is gone, and so are his tokens' }, ...writeProblems(404) },
});

export interface UserRoutes extends Pick<RouteContext, 'engine'> {
  readonly access: Access;
  readonly accounts: Accounts;
  readonly visibility: Visibility;
}

export function addUserRoutes(app: OpenAPIHono, { engine, access, accounts, visibility }: UserRoutes): void {
  app.openapi(createUser, async (c) => {
    const { name, password, role, quota } = c.req.valid('json');
    about(c, { name });
    const admitted = signedUpOr(c, access, accounts);
    if (admitted === undefined) {
      if (role === 'admin' || quota !== undefined) throw forAdmins(role === undefined ? 'quota' : 'role');
      return c.json(publicUser(await accounts.signUp(name, password, peerOf(c))), 201, locationOf(name));
    }
    requireScope(admitted, 'admin', 'making a user');
    const hash = await accounts.passwords.hash(password);
    const wanted = { name, role: role ?? 'user', password: hash, ...(quota && { quota }) } as const;
    const { users } = visibility.viewOf(admitted);
    const made = await answered('making the user', users.add(wanted, { keepAdmin: accounts.keepAdmin }));
    return c.json(publicUser(accepted(made)), 201, locationOf(name));
  });

  app.openapi(listUsers, (c) => c.json({ users: engine.users.all.map(publicUser) }, 200));

  app.openapi(getUser, (c) => {
    const { name } = c.req.valid('param');
    const found = engine.users.find(name);
    if (found === undefined) throw noUser(name);
    return c.json(publicUser(found), 200);
  });

  app.openapi(patchUser, async (c) => {
    const { name } = c.req.valid('param');
    const { password, oldPassword, role, disabled, quota } = c.req.valid('json');
    if (engine.users.get(name) === undefined) throw noUser(name);
    const admitted = c.get('admitted');
    const isAdmin = admitted.scope === 'admin';
    for (const [part, value] of Object.entries({ role, disabled, quota })) {
      if (value !== undefined && !isAdmin) throw forAdmins(part);
    }
    if (password !== undefined && (admitted.owner === name || !isAdmin)) {
      if (oldPassword === undefined) throw missingOld();
      await accounts.prove(name, oldPassword, peerOf(c));
    }
    const change: UserChange = {
      ...withoutAbsent({ role, disabled, quota }),
      ...(password !== undefined && { password: await accounts.passwords.hash(password) }),
      ...(admitted.token?.user === name && { keepToken: admitted.token.name }),
    };
    const work = engine.users.change(name, change, { keepAdmin: accounts.keepAdmin });
    return c.json(publicUser(accepted(await answered('changing the user', work), 'body')), 200);
  });

  app.openapi(deleteUser, async (c) => {
    const { name } = c.req.valid('param');
    const { to } = c.req.valid('query');
    if (engine.users.get(name) === undefined) throw noUser(name);
    if (to !== undefined && c.get('admitted').scope !== 'admin') throw forAdmins('to', 'query');
    const options = { keepAdmin: accounts.keepAdmin, ...(to !== undefined && { to }) };
    accepted(await answered('deleting the user', engine.users.remove(name, options)), 'query');
    return c.body(null, 204);
  });
}

/** Who asks; undefined: nobody who shows anything, where anybody may become a user. */
function signedUpOr(c: Context, access: Access, accounts: Accounts): Admitted | undefined {
  const credentials = credentialsOf(c);
  try {
    const admitted = access.admit(credentials);
    c.set('admitted', admitted);
    return admitted;
  } catch (error) {
    if (credentials.authorization === undefined && accounts.isSignUpOpen) return undefined;
    throw error;
  }
}

function noUser(name: string): ProblemError {
  return new ProblemError('not-found', `there is no user ${JSON.stringify(name)}`);
}

function forAdmins(member: string, part = 'body'): ProblemError {
  const what = 'only an admin may say this';
  return new ProblemError('insufficient-scope', `${member}: ${what}`, {
    scope: 'admin',
    errors: [{ where: `${part}.${member}`, what }],
  });
}

function missingOld(): ProblemError {
  const what = 'is needed to change the password';
  return new ProblemError('invalid-request', `oldPassword ${what}`, { errors: [{ where: 'body.oldPassword', what }] });
}

function locationOf(name: string): { location: string } {
  return { location: `/v1/users/${encodeURIComponent(name)}` };
}
