// FileImageStore.fetch of a URL, from a real server on 127.0.0.1 that answers well, badly, slowly and not to the end.
// Not here: https (Node's own); what becomes of the bytes (test/contracts/image-store.ts).

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileImageStore, type FileImageStoreOptions } from '../../../src/adapters/images/file-image-store.ts';
import type { TakenImage, TakeOptions } from '../../../src/ports/image-store.ts';
import { collect, ERROR_PAGE, expectImageFault, noise, sha256Of } from '../../contracts/image-store.ts';
import { qcow2 } from './qcow2-builder.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const IMAGE = noise(2 * MIB);

let folder = '';
const servers: { close(): unknown }[] = [];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'virtscale-images-'));
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  expect(readdirSync(folder).filter((entry) => entry.startsWith('.'))).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

/** Returns where it listens, without a slash at the end. */
async function serve(answer: RequestListener): Promise<string> {
  const server: Server = createServer(answer);
  servers.push({
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
  return listening(server);
}

async function listening(server: Pick<Server, 'listen' | 'once' | 'address'>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens nowhere');
  return `http://127.0.0.1:${address.port}`;
}

/** Answers as it likes, byte for byte. */
async function serveRaw(answer: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  servers.push({
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  });
  return listening(server as unknown as Server);
}

function fetched(
  url: string,
  options: Partial<TakeOptions> = {},
  settings: FileImageStoreOptions = {},
): Promise<TakenImage> {
  const store = new FileImageStore(folder, settings);
  return store.fetch({ kind: 'url', url }, { name: 'debian', signal: never, ...options });
}

function send(
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
  body: Uint8Array = IMAGE,
) {
  response.writeHead(status, headers).end(body);
}

test.each([
  ['with a length', { 'content-length': String(IMAGE.length) }, IMAGE.length],
  ['without a length', { 'transfer-encoding': 'chunked' }, undefined],
] as const)('an image %s is fetched, checked and kept', async (_, headers, total) => {
  const url = await serve((_request, response) => send(response, 200, headers));
  const told: (readonly [number, number | undefined])[] = [];
  const onBytes = (bytes: number, of: number | undefined) => told.push([bytes, of]);
  const { format, content } = await fetched(`${url}/debian.img?x=1`, {
    onBytes,
    sha256: sha256Of(IMAGE),
    format: 'raw',
  });
  expect({ format, content }).toEqual({
    format: 'raw',
    content: { sha256: sha256Of(IMAGE), fileBytes: IMAGE.length, virtualBytes: IMAGE.length },
  });
  expect(told.at(-1)).toEqual([IMAGE.length, total]);
  expect((await collect(new FileImageStore(folder).read(content, never))).equals(IMAGE)).toBe(true);
});

test('the server is asked for the bytes as they are', async () => {
  let accepted: string | undefined;
  const url = await serve((request, response) => {
    accepted = request.headers['accept-encoding'];
    send(response, 200);
  });
  await fetched(`${url}/a.img`);
  expect(accepted).toBe('identity');
});

test('five redirects are followed, relative ones too, a sixth is not', async () => {
  const url = await serve((request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) send(response, 200);
    else
      send(response, [301, 302, 303, 307, 308][left % 5] ?? 302, { location: left === 2 ? '1' : `${url}/${left - 1}` });
  });
  expect((await fetched(`${url}/5`)).content.sha256).toBe(sha256Of(IMAGE));
  await expectImageFault(fetched(`${url}/6`), 'refused', /more than 5 redirects/);
});

test.each([
  ['nowhere', undefined, /does not say where/],
  ['to a file of this machine', 'file:///etc/passwd', /begins with file:/],
  ['to ftp', 'ftp://127.0.0.1/x.img', /begins with ftp:/],
  ['with data of its own', 'data:,text', /begins with data:/],
  ['to what is no URL', 'http://[', /is no URL/],
  ['with a password', 'http://u:p@127.0.0.1/x.img', /user or password/],
  ['to something packed', '/debian.qcow2.xz', /is packed/],
])('a redirect %s is refused', async (_, location, text) => {
  const url = await serve((_request, response) => send(response, 302, location === undefined ? {} : { location }));
  await expectImageFault(fetched(`${url}/a.img`), 'refused', text);
});

test.each([
  ['file:///etc/passwd', /begins with file:/],
  ['ftp://127.0.0.1/a.img', /begins with ftp:/],
  ['/debian.img', /is no URL/],
  ['http://u@127.0.0.1/a.img', /user or password/],
  ['http://127.0.0.1/debian.img.gz?raw=1', /is packed/],
  ['http://127.0.0.1/debian.raw.XZ', /is packed/],
])('%s is refused without asking anybody', async (url, text) => {
  await expectImageFault(fetched(url), 'refused', text);
});

test.each([
  [404, 'refused'],
  [403, 'refused'],
  [204, 'refused'],
  [206, 'refused'],
  [304, 'refused'],
  [429, 'unreachable'],
  [500, 'unreachable'],
  [503, 'unreachable'],
] as const)('status %i is %s', async (status, kind) => {
  const url = await serve((_request, response) => response.writeHead(status).end());
  await expectImageFault(fetched(`${url}/a.img`), kind, new RegExp(`answered ${status}`));
});

test('a web page is refused, whatever it says it is', async () => {
  for (const type of ['text/html; charset=utf-8', 'application/octet-stream']) {
    const url = await serve((_request, response) => send(response, 200, { 'content-type': type }, ERROR_PAGE));
    await expectImageFault(fetched(`${url}/a.img`), 'refused', /web page/);
  }
});

test('bytes that are packed on the way are refused', async () => {
  const url = await serve((_request, response) => send(response, 200, { 'content-encoding': 'gzip' }));
  await expectImageFault(fetched(`${url}/a.img`), 'refused', /packed \(gzip\)/);
});

test('another checksum than said is refused', async () => {
  const url = await serve((_request, response) => send(response, 200));
  await expectImageFault(fetched(`${url}/a.img`, { sha256: 'a'.repeat(64) }), 'refused', /has the checksum/);
});

test('what is too large or has no room is refused before it comes', async () => {
  let sent = 0;
  const gone: Promise<unknown>[] = [];
  const url = await serve((_request, response) => {
    gone.push(new Promise((resolve) => response.on('close', resolve)));
    response.on('error', () => {}).writeHead(200, { 'content-length': String(2 ** 41) });
    const more = (): void => {
      sent += 1;
      if (sent < 1000 && response.write(IMAGE)) setImmediate(more);
      else response.once('drain', more);
    };
    more();
  });
  let told = 0;
  const onBytes = (): void => {
    told += 1;
  };
  await expectImageFault(fetched(`${url}/a.img`, { onBytes }), 'refused', /larger than 1099511627776 bytes/);
  await expectImageFault(
    fetched(`${url}/a.img`, { onBytes }, { maxBytes: 2 ** 42, freeBytes: async () => 2 ** 40 }),
    'refused',
    /no space/,
  );
  expect(told).toBe(0);
  expect(sent).toBeLessThan(20);
  // At once: not when somebody collects what nobody reads.
  const beganAt = performance.now();
  await Promise.all(gone);
  expect(performance.now() - beganAt).toBeLessThan(3000);
  expect(gone.length).toBe(2);
});

test.each<readonly [string, (socket: Socket) => void, RegExp]>([
  [
    'ends before the length it said',
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2097152\r\n\r\n');
      socket.end(IMAGE.subarray(0, MIB));
    },
    /debian/,
  ],
  [
    'ends in the middle of its pieces',
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100000\r\n');
      socket.end(IMAGE.subarray(0, MIB));
    },
    /debian/,
  ],
  [
    'is cut off',
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2097152\r\n\r\n');
      socket.write(IMAGE.subarray(0, MIB), () => socket.resetAndDestroy());
    },
    /debian/,
  ],
  ['speaks something else', (socket) => socket.end('SSH-2.0-OpenSSH\r\n'), /debian/],
  ['says nothing and hangs up', (socket) => socket.end(), /debian/],
])('a server that %s is unreachable, and the next try works', async (_, answer, text) => {
  const url = await serveRaw(answer);
  await expectImageFault(fetched(`${url}/a.img`), 'unreachable', text);
  expect(readdirSync(folder)).toEqual([]);
  const better = await serve((_request, response) => send(response, 200));
  expect((await fetched(`${better}/a.img`)).content.sha256).toBe(sha256Of(IMAGE));
});

test('a server that is not there is unreachable', async () => {
  const url = await serve(() => {});
  for (const server of servers.splice(0)) server.close();
  await expectImageFault(fetched(`${url}/a.img`), 'unreachable', /ECONNREFUSED/);
});

test('a qcow2 image that was cut without anybody noticing is refused', async () => {
  // As HTTP/1.0 does it: the end of the connection is the end of the body.
  const url = await serveRaw((socket) => {
    socket.write('HTTP/1.0 200 OK\r\n\r\n');
    socket.end(qcow2().subarray(0, 6 * 4096));
  });
  await expectImageFault(fetched(`${url}/a.img`), 'refused', /debian/);
});

test.each<readonly [string, (socket: Socket) => void]>([
  ['never answers', () => {}],
  ['stops in the middle', (socket) => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MIB}\r\n\r\nabc`)],
])('a server that %s is timed out', async (_, answer) => {
  const url = await serveRaw(answer);
  await expectImageFault(fetched(`${url}/a.img`, {}, { stallMs: 80 }), 'timed-out', /80 ms|stalled/);
});

test('a server that gives a byte now and then is timed out by the bound on the whole', async () => {
  const url = await serveRaw((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MIB}\r\n\r\n`);
    const drip = setInterval(() => socket.write('x'), 10);
    socket.on('close', () => clearInterval(drip));
  });
  await expectImageFault(fetched(`${url}/a.img`, {}, { stallMs: 5000, fetchMs: 150 }), 'timed-out', /within 0.15 s/);
});

test('cancelled at any point, it is aborted, and the server sees the connection go', async () => {
  const gone: Promise<unknown>[] = [];
  const url = await serve((request, response) => {
    gone.push(new Promise((resolve) => response.on('close', resolve)));
    if (request.url === '/hang.img') return;
    response.on('error', () => {}).writeHead(200, { 'content-length': String(IMAGE.length) });
    response.write(IMAGE.subarray(0, MIB));
  });
  const inTheMiddle = new AbortController();
  const options = { signal: inTheMiddle.signal, onBytes: () => inTheMiddle.abort() };
  await expectImageFault(fetched(`${url}/a.img`, options), 'aborted', /cancelled/);
  const early = new AbortController();
  const hanging = fetched(`${url}/hang.img`, { signal: early.signal });
  setTimeout(() => early.abort(), 50);
  await expectImageFault(hanging, 'aborted', /cancelled/);
  await expectImageFault(fetched(`${url}/a.img`, { signal: AbortSignal.abort() }), 'aborted', /cancelled/);
  await Promise.all(gone);
  expect(gone.length).toBe(2);
});
