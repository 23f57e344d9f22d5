// Real servers for tests of adapters that call out: on a free port, and gone with all their connections when they are closed.
// Not here: what they answer.

import type { Server, Socket } from 'node:net';

/** Returns the port on 127.0.0.1; what ends the server, with the connections it has then, is added to `closers`. */
export async function listenOn(server: Server, closers: (() => Promise<unknown>)[]): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
