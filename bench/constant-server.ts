// A bare node:http server that answers everything with one constant: what an HTTP answer costs in Node when nothing is done for it.
// A program of its own: node bench/constant-server.ts '{"body":"…"}'.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { announce } from './child-server.ts';

export interface ConstantServerOptions {
  readonly body: string;
}

export const CONSTANT_SERVER = import.meta.filename;

async function serveConstant({ body }: ConstantServerOptions): Promise<void> {
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const server = createServer((_request, response) => response.writeHead(200, headers).end(body));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  announce(`http://127.0.0.1:${port}`, async () => server.closeAllConnections());
}

if (process.argv[1] === CONSTANT_SERVER) await serveConstant(JSON.parse(process.argv[2] ?? '{}'));
