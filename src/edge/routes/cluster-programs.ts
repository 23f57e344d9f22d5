// /v1/clusters/{name}/exec and /files: programs and files on the nodes of a cluster. What programs write goes out as it comes.
// Not here: how a guest's agent runs them (engine, adapters), the lines of the answer (exec-lines).

import { setImmediate } from 'node:timers/promises';
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { stream } from 'hono/streaming';
import type { NodeOutput, NodeProgram } from '../../engine/cluster-view.ts';
import { clusterNameSchema, nodeExitsSchema, nodeNameSchema } from '../cluster-schemas.ts';
import { ExecLines } from '../exec-lines.ts';
import { ProblemError } from '../problem.ts';
import { durationWithin } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { Upload } from '../upload.ts';
import { clusterMeant, whose } from './cluster-meant.ts';
import { jsonResponse, keyHeader, type RouteContext, writeProblems } from './route-parts.ts';

const params = z.object({ name: clusterNameSchema });
const DEFAULT_TIMEOUT_MS = 60 * 60 * 1000;
const FILE_MAX_BYTES = 256 * 1024 * 1024;

const execSchema = z
  .strictObject({
    argv: z
      .array(z.string().min(1).max(8192))
      .min(1)
      .max(1000)
      .refine((words) => words.every((word) => !word.includes('\0')), 'must not have a NUL')
      .openapi({ description: 'A program, found by PATH, and its arguments: no shell reads them', example: ['uname'] }),
    nodes: z.array(nodeNameSchema).min(1).max(256).optional().openapi({ description: 'Absent: all' }),
    input: z.base64().max(60_000).optional().openapi({ description: 'What it reads from its standard input' }),
    timeout: durationWithin(1, '7d')
      .optional()
      .openapi({ description: 'Ended after this. Default 1h', example: '10m' }),
    together: z.boolean().optional().openapi({ description: 'Ended everywhere when any node of the cluster is lost' }),
  })
  .openapi('ClusterExec');

const exec = createRoute({
  method: 'post',
  path: '/v1/clusters/{name}/exec',
  tags: ['clusters'],
  summary: 'Run a program on nodes, as root. It ends with the connection',
  request: {
    params,
    query: whose,
    body: { required: true, content: { 'application/json': { schema: execSchema } } },
  },
  responses: {
    200: {
      description:
        'Lines of JSON as they come: `{node, stream, data}` with base64, and for each node one `{node, exitCode | signal | problem}`',
      content: { 'application/x-ndjson': { schema: z.string() } },
    },
    ...writeProblems(404),
  },
});

const putFile = createRoute({
  method: 'put',
  path: '/v1/clusters/{name}/files',
  tags: ['clusters'],
  summary: 'Put a file on nodes: on each of them whole, or not at all',
  request: {
    params,
    query: whose.extend({
      path: z
        .string()
        .max(4000)
        .regex(/^\/(?!.*\/$)[^\0]+$/, 'must be an absolute path of a file')
        .openapi({ example: '/root/pi.c' }),
      mode: z
        .string()
        .regex(/^[0-7]{3,4}$/, 'must be octal, such as 755')
        .optional()
        .openapi({ description: 'Default 644' }),
      nodes: z
        .string()
        .regex(/^node[1-9]\d{0,8}(?:,node[1-9]\d{0,8})*$/, 'must be nodes, separated by commas')
        .optional()
        .openapi({ description: 'Absent: all', example: 'node1,node2' }),
    }),
    headers: keyHeader,
    body: {
      required: true,
      content: { 'application/octet-stream': { schema: z.any().openapi({ type: 'string', format: 'binary' }) } },
    },
  },
  responses: { 200: jsonResponse(nodeExitsSchema, 'How it went on each node'), ...writeProblems(404) },
});

export function addClusterProgramRoutes(app: OpenAPIHono, { engine }: Pick<RouteContext, 'engine'>): void {
  const { clusters } = engine;
  const meant = clusterMeant(clusters);

  app.openapi(exec, async (c) => {
    const { name } = c.req.valid('param');
    const { cluster } = meant(c, name, c.req.valid('query').owner);
    const program = programOf(c.req.valid('json'));
    const lines = new ExecLines();
    const gone = AbortSignal.any([c.req.raw.signal, lines.givenUp]);
    const running = clusters.run(name, cluster.owner, program, (output) => lines.add(outputOf(output)), gone);
    const ended = running.then(
      (result) => {
        if (result.ok) for (const exit of result.value) lines.add({ ...exit });
      },
      () => lines.add({ problem: 'this is a fault of virtscale; its log says more' }),
    );
    void ended.finally(() => lines.end());
    // What is refused is refused before anything runs: then there is a status for it.
    const atOnce = await Promise.race([running.catch(() => undefined), setImmediate(undefined)]);
    if (atOnce !== undefined) accepted(atOnce);
    c.header('content-type', 'application/x-ndjson');
    const answer = stream(c, async (out) => {
      out.onAbort(() => lines.giveUp());
      for await (const batch of lines) await out.write(batch);
    });
    // The types know of no answer that is written piece by piece.
    return answer as never;
  });

  app.openapi(putFile, async (c) => {
    const { name } = c.req.valid('param');
    const { owner: asked, path, mode = '644', nodes } = c.req.valid('query');
    const { owner } = meant(c, name, asked).cluster;
    const upload = new Upload(c.req.raw);
    const file = { path, mode: Number.parseInt(mode, 8), ...(nodes !== undefined && { nodes: nodes.split(',') }) };
    const work = clusters.put(name, owner, file, bounded(upload.bytes), upload.signal);
    const exits = accepted(await upload.takenBy(work), 'query');
    return c.json({ nodes: exits.map((exit) => ({ ...exit })) }, 200);
  });
}

function programOf({ argv, input, nodes, timeout, together }: z.output<typeof execSchema>): NodeProgram {
  const [first, ...rest] = argv;
  // The schema has seen to it that there is one.
  if (first === undefined) throw new TypeError('no program');
  return {
    argv: [first, ...rest],
    timeoutMs: timeout ?? DEFAULT_TIMEOUT_MS,
    ...(nodes && { nodes }),
    ...(input !== undefined && { input: Buffer.from(input, 'base64') }),
    ...(together !== undefined && { together }),
  };
}

function outputOf({ node, stream: from, bytes }: NodeOutput): object {
  return { node, stream: from, data: Buffer.from(bytes).toString('base64') };
}

async function* bounded(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const piece of bytes) {
    size += piece.byteLength;
    if (size > FILE_MAX_BYTES) throw new ProblemError('body-too-large', `a file has at most ${FILE_MAX_BYTES} bytes`);
    yield piece;
  }
}
