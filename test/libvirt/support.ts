/** Connections to a fake daemon for the tests of this folder, and their clearing away after each test. */
import { afterEach } from 'vitest';
import { LibvirtClient, type LibvirtClientOptions } from '../../src/libvirt/client.ts';
import { Connection, type ConnectOptions } from '../../src/libvirt/connection.ts';
import { type FakeConnection, FakeLibvirtd } from '../support/fake-libvirtd.ts';

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A fake daemon that is stopped after the test. */
export const startDaemon = async (): Promise<FakeLibvirtd> => {
  const daemon = await FakeLibvirtd.start();
  cleanups.push(() => daemon.stop());
  return daemon;
};

/** An open connection to a fake daemon, and the daemon's end of it. */
export const open = async (
  daemon: FakeLibvirtd,
  options: Partial<ConnectOptions> = {},
): Promise<{ connection: Connection; peer: FakeConnection }> => {
  const index = daemon.connections.length;
  const connection = await Connection.open({ uri: daemon.uri, ...options });
  cleanups.push(() => connection.close());
  return { connection, peer: await daemon.connection(index) };
};

/** A client of a fake daemon, closed after the test. */
export const clientOf = (daemon: FakeLibvirtd, options: Partial<LibvirtClientOptions> = {}): LibvirtClient => {
  const client = new LibvirtClient({ uri: daemon.uri, ...options });
  cleanups.push(() => client.close());
  return client;
};

/** What a promise rejects with; fails the test when it resolves. */
export const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`resolved, though it should have rejected, with ${String(value)}`);
    },
    (error: unknown) => error,
  );
