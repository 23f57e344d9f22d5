// /v1/images and /v1/flavors: what VMs are made from. Images come as a stream (PUT) or are fetched (POST).
// Not here: how a stream is taken from the request (upload).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ImageSource } from '../../core/catalog.ts';
import type { ImageStatus } from '../../engine/view.ts';
import { requireScope } from '../access.ts';
import { etagOf, isUnchanged } from '../etag.ts';
import { publicImage, publicNumberedFlavor, publicOperation } from '../fabric-representation.ts';
import {
  flavorsSchema,
  formatSchema,
  imageImportSchema,
  imageSchema,
  imagesSchema,
  numberedFlavorSchema,
  plainName,
  sha256Schema,
} from '../fabric-schemas.ts';
import { callerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { nameSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { declaredSha256, Upload } from '../upload.ts';
import { withoutAbsent } from './present.ts';
import {
  answered,
  ifNoneMatchHeader,
  jsonResponse,
  keyHeader,
  noQuery,
  notModified,
  operationLocation,
  operationResponse,
  problemResponses,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const read = { query: noQuery, headers: ifNoneMatchHeader };
const UNCHANGED = { 304: { description: 'As it was when that ETag was given' } };

const listImages = createRoute({
  method: 'get',
  path: '/v1/images',
  tags: ['images'],
  summary: 'All images',
  request: read,
  responses: { 200: jsonResponse(imagesSchema, 'The images'), ...UNCHANGED, ...problemResponses() },
});

const getImage = createRoute({
  method: 'get',
  path: '/v1/images/{name}',
  tags: ['images'],
  summary: 'One image',
  request: { ...read, params: z.object({ name: nameSchema }) },
  responses: { 200: jsonResponse(imageSchema, 'The image'), ...UNCHANGED, ...problemResponses(404) },
});

const putImage = createRoute({
  method: 'put',
  path: '/v1/images/{name}',
  tags: ['images'],
  summary:
    'Send an image as a stream of any size. It is checked before it can be used; one that breaks off leaves nothing',
  request: {
    params: z.object({ name: plainName }),
    query: z.strictObject({
      format: formatSchema.optional().openapi({ description: 'Absent: by its header' }),
      sha256: sha256Schema.optional().openapi({ description: 'Another checksum is refused. Or as `Repr-Digest`' }),
    }),
    headers: keyHeader.extend({
      'repr-digest': z.string().max(1000).optional().openapi({
        description: 'RFC 9530, such as sha-256=:base64:',
      }),
    }),
    body: {
      required: true,
      content: { 'application/octet-stream': { schema: z.any().openapi({ type: 'string', format: 'binary' }) } },
    },
  },
  responses: {
    200: jsonResponse(imageSchema, 'It was there already, with the checksum given; nothing was read'),
    201: jsonResponse(imageSchema, 'The image'),
    ...writeProblems(),
  },
});

const importImage = createRoute({
  method: 'post',
  path: '/v1/images',
  tags: ['images'],
  summary: 'Fetch an image from elsewhere',
  request: {
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: imageImportSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems() },
});

const deleteImage = createRoute({
  method: 'delete',
  path: '/v1/images/{name}',
  tags: ['images'],
  summary: 'Delete an image that nothing uses',
  request: { params: z.object({ name: nameSchema }), query: noQuery, headers: keyHeader },
  responses: { 204: { description: 'It is gone' }, ...writeProblems(404) },
});

const listFlavors = createRoute({
  method: 'get',
  path: '/v1/flavors',
  tags: ['flavors'],
  summary: 'All flavors',
  request: read,
  responses: { 200: jsonResponse(flavorsSchema, 'The flavors'), ...UNCHANGED, ...problemResponses() },
});

const getFlavor = createRoute({
  method: 'get',
  path: '/v1/flavors/{name}',
  tags: ['flavors'],
  summary: 'One flavor',
  request: { ...read, params: z.object({ name: nameSchema }) },
  responses: { 200: jsonResponse(numberedFlavorSchema, 'The flavor'), ...UNCHANGED, ...problemResponses(404) },
});

export function addImageRoutes(app: OpenAPIHono, context: RouteContext): void {
  const { engine } = context;
  app.openapi(listImages, (c) => tagged(c, { images: engine.images().map(publicImage) }));

  app.openapi(getImage, (c) => {
    const { name } = c.req.valid('param');
    const image = engine.image(name);
    if (image === undefined) throw new ProblemError('not-found', `there is no image ${JSON.stringify(name)}`);
    return tagged(c, publicImage(image));
  });

  addUploadRoute(app, context);

  app.openapi(importImage, async (c) => {
    const { name, source: given, format, sha256 } = c.req.valid('json');
    const source = sourceOf(given);
    // Otherwise whoever may make VMs could read any file of the daemon's machine, or of one its ssh key opens.
    if (source.kind !== 'url') requireScope(c.get('admitted'), 'admin', `importing by ${source.kind}`);
    const work = engine.importImage(name, source, withoutAbsent({ format, sha256 }), callerOf(c));
    const status = accepted(await answered('importing the image', work));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(deleteImage, async (c) => {
    const { name } = c.req.valid('param');
    accepted(await answered('deleting the image', engine.deleteImage(name, callerOf(c))), 'path');
    return c.body(null, 204);
  });

  app.openapi(listFlavors, (c) => tagged(c, { flavors: engine.flavors().map(publicNumberedFlavor) }));

  app.openapi(getFlavor, (c) => {
    const { name } = c.req.valid('param');
    const flavor = engine.flavors().find((one) => one.name === name);
    if (flavor === undefined) throw new ProblemError('not-found', `there is no flavor ${JSON.stringify(name)}`);
    return tagged(c, publicNumberedFlavor(flavor));
  });
}

function addUploadRoute(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(putImage, async (c) => {
    const { name } = c.req.valid('param');
    const { format, sha256: asked } = c.req.valid('query');
    const sha256 = declaredSha256(asked, c.req.header('repr-digest'));
    const before = engine.image(name);
    if (before !== undefined && sha256 !== undefined && hasContent(before, sha256)) {
      return c.json(publicImage(before), 200, locationOf(name));
    }
    const upload = new Upload(c.req.raw);
    const options = { ...withoutAbsent({ format, sha256 }), signal: upload.signal };
    const image = accepted(await upload.takenBy(engine.uploadImage(name, upload.bytes, options, callerOf(c))), 'query');
    return c.json(publicImage(image), 201, locationOf(name));
  });
}

function hasContent({ state, image }: ImageStatus, sha256: string): boolean {
  return state === 'ready' && image?.content?.sha256 === sha256;
}

function locationOf(name: string): { location: string } {
  return { location: `/v1/images/${encodeURIComponent(name)}` };
}

type GivenSource = z.output<typeof imageImportSchema>['source'];

function sourceOf(source: GivenSource): Exclude<ImageSource, { kind: 'upload' | 'built' }> {
  if ('url' in source) return { kind: 'url', url: source.url };
  if ('path' in source) return { kind: 'path', path: source.path };
  if ('host' in source) return { kind: 'host', path: source.host };
  return { kind: 'ssh', ...source.ssh };
}

/** 200 with its ETag, or 304 when the client has it already (which has no body, so the types leave it out). */
function tagged<T extends object>(c: Context, body: T) {
  const etag = etagOf(body);
  if (isUnchanged(c.req.header('if-none-match'), etag)) return notModified(etag) as never;
  return c.json(body, 200, { etag });
}
