/**
 * Connects to a daemon over plain TCP: no encryption, so for trusted networks and tests only.
 */
import { connect } from 'node:net';
import { type ConnectTransportOptions, connectTransport, type Transport } from './transport.ts';

/** @throws ConnectionError of kind refused, unreachable or timed-out. */
export const connectTcp = (host: string, port: number, options: ConnectTransportOptions): Promise<Transport> =>
  connectTransport(
    connect({ host, port, noDelay: true, keepAlive: true, autoSelectFamily: true }),
    host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    options,
  );
