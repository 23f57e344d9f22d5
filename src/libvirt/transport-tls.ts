/**
 * Connects to a daemon over TLS, each side showing the other a certificate: where libvirt's clients keep theirs, the
 * check of the server's, and the daemon's verdict on ours. Bytes only, once connected.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { ConnectionError } from './errors.ts';
import { type ConnectTransportOptions, connectFault, type Transport, withinLimits } from './transport.ts';
import { recordTransport } from './transport-tls-records.ts';
import type { TlsTarget } from './uri.ts';

/** The one byte a daemon sends, inside the TLS session, when it lets us in. */
const ACCEPTED = 1;

/** The files of a client. */
export interface TlsFiles {
  readonly ca: string;
  /** Revoked certificates. Undefined: there is no such file. */
  readonly crl: string | undefined;
  /** Our own; undefined when there is none: a daemon may let anybody in. */
  readonly identity: { readonly cert: string; readonly key: string } | undefined;
  /** The certificate we would show if it were there. */
  readonly missingCert: string;
}

/**
 * Where libvirt looks: all in `pkiPath` when that is given; else, unless root, in `~/.pki/libvirt` what is there (the
 * certificate and its key only together), and the rest in /etc/pki. After libvirt's `virNetTLSContextLocateCredentials`.
 * @throws ConnectionError of kind auth, naming the file that is missing.
 */
export const locateTlsFiles = (
  pkiPath: string | undefined,
  { home = homedir(), isRoot = process.getuid?.() === 0, system = '/etc/pki' } = {},
): TlsFiles => {
  const inOne = (folder: string) => ({
    ca: join(folder, 'cacert.pem'),
    crl: join(folder, 'cacrl.pem'),
    cert: join(folder, 'clientcert.pem'),
    key: join(folder, 'clientkey.pem'),
  });
  const usual = {
    ca: join(system, 'CA/cacert.pem'),
    crl: join(system, 'CA/cacrl.pem'),
    cert: join(system, 'libvirt/clientcert.pem'),
    key: join(system, 'libvirt/private/clientkey.pem'),
  };
  const places =
    pkiPath !== undefined ? [inOne(pkiPath)] : [...(isRoot ? [] : [inOne(join(home, '.pki/libvirt'))]), usual];
  const last = places.at(-1) ?? usual;
  const ca = places.map((place) => place.ca).find(existsSync);
  if (ca === undefined) {
    throw missing(`the CA's certificate is not there: ${places.map((place) => place.ca).join(', nor ')}`, pkiPath);
  }
  const own = places.find(({ cert, key }) => existsSync(cert) && existsSync(key));
  if (own === undefined && existsSync(last.cert) !== existsSync(last.key)) {
    const [there, absent] = existsSync(last.cert) ? [last.cert, last.key] : [last.key, last.cert];
    throw missing(`${there} is there, but not ${absent}`, pkiPath);
  }
  return {
    ca,
    crl: places.map((place) => place.crl).find(existsSync),
    identity: own === undefined ? undefined : { cert: own.cert, key: own.key },
    missingCert: last.cert,
  };
};

// No `cause`: a file missing here would be taken for a missing socket there.
const missing = (what: string, pkiPath: string | undefined): ConnectionError =>
  new ConnectionError(
    'auth',
    `${what}; ${pkiPath === undefined ? "make libvirt's client certificates, or name their folder with pkipath=" : 'it belongs into the folder of pkipath'}`,
  );

const read = async (path: string, signal: AbortSignal): Promise<Buffer> => {
  try {
    return await readFile(path, { signal });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConnectionError('auth', `cannot read ${path}: ${why}; the account of this process must be able to`);
  }
};

/** What is wrong with the server's certificate, by Node's code. */
const certificateAdvice: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the server's certificate, or its CA's, has expired; make a new one",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet; are both clocks right?",
  CERT_REVOKED: "the server's certificate was revoked (cacrl.pem)",
  CRL_HAS_EXPIRED: 'the list of revoked certificates (cacrl.pem) is out of date; make a new one',
  UNABLE_TO_GET_CRL: 'cacrl.pem has no list of this CA; it must hold one of every CA in the chain',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'it is for another name; use a name that is in it, or give it this one (an address needs an IP entry), or no_verify=1 where nobody listens in',
};
const untrusted = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
]);

const handshakeFault = (where: string, ca: string, error: Error): ConnectionError => {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const options = { cause: error };
  const advice = untrusted.has(code) ? `no certificate in ${ca} vouches for it` : certificateAdvice[code];
  if (advice !== undefined) {
    return new ConnectionError('auth', `${where} is not trusted: ${error.message}: ${advice}`, options);
  }
  if (/^ERR_SSL_.*(WRONG_VERSION_NUMBER|PACKET_LENGTH|HTTP_REQUEST)/.test(code)) {
    return new ConnectionError('protocol', `${where} does not speak TLS; libvirt's TLS port is 16514`, options);
  }
  if (code.startsWith('ERR_SSL_')) {
    return new ConnectionError('protocol', `no TLS with ${where}: ${error.message}`, options);
  }
  if (code === 'ECONNRESET') {
    return new ConnectionError('protocol', `${where} hung up in the TLS handshake; is that its TLS port?`, options);
  }
  return connectFault(where, error);
};

const refusal = (where: string, { identity, missingCert }: TlsFiles, cause: Error | undefined): ConnectionError => {
  const why =
    identity === undefined
      ? `we have none to show: ${missingCert} is not there`
      : `${identity.cert} must be signed by a CA the server knows, be valid, and be allowed there (tls_allowed_dn_list)`;
  return new ConnectionError('auth', `${where} did not accept our certificate; ${why}`, { cause });
};

const optionsOf = async (target: TlsTarget, files: TlsFiles, signal: AbortSignal): Promise<ConnectionOptions> => {
  const { host, port, verify } = target;
  const { crl, identity } = files;
  return {
    host,
    port,
    rejectUnauthorized: verify,
    minVersion: 'TLSv1.2',
    ca: await read(files.ca, signal),
    ...(crl !== undefined && { crl: await read(crl, signal) }),
    ...(identity && { cert: await read(identity.cert, signal), key: await read(identity.key, signal) }),
  };
};

/** What went wrong with our own files, before anything was sent. */
const before = (where: string, error: unknown): unknown =>
  error instanceof ConnectionError
    ? new ConnectionError(error.kind, `cannot connect to ${where}: ${error.message}`, { cause: error })
    : error;

/** Node throws at once for a key that does not fit its certificate, has a password, or is no PEM file. */
const started = (options: ConnectionOptions, { ca, identity }: TlsFiles): TLSSocket => {
  try {
    return connect(options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const of = [ca, identity?.cert, identity?.key].filter((path) => path !== undefined).join(', ');
    throw new ConnectionError('auth', `the certificates cannot be used (${of}): ${why}`, { cause: error });
  }
};

/**
 * Connects, checks the server's certificate against the CA, the revocation list (when there is one) and the name in the
 * URI, and waits for the server's verdict on ours.
 * @throws ConnectionError: auth when either side does not accept the other, or a file is missing; protocol when the
 *   other side speaks no TLS; refused, unreachable, timed-out; or the signal's reason.
 */
export const connectTls = (
  target: TlsTarget,
  options: ConnectTransportOptions,
  places?: Parameters<typeof locateTlsFiles>[1],
): Promise<Transport> => {
  const { host, port, pkiPath } = target;
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return withinLimits<Transport>(where, options, (done, fail) => {
    const stop = new AbortController();
    let socket: TLSSocket | undefined;
    const run = async (): Promise<void> => {
      const files = locateTlsFiles(pkiPath, places);
      const settings = await optionsOf(target, files, stop.signal);
      stop.signal.throwIfAborted();
      const opened = started(settings, files);
      socket = opened;
      opened.setNoDelay(true).setKeepAlive(true);
      let secure = false;
      const onError = (error: Error): void =>
        fail(secure ? refusal(where, files, error) : handshakeFault(where, files.ca, error));
      const onEnd = (): void => {
        if (secure) fail(refusal(where, files, undefined));
      };
      const onReadable = (): void => {
        const verdict: Buffer | null = opened.read(1);
        if (verdict === null) return;
        opened.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onError);
        if (verdict[0] === ACCEPTED) done(recordTransport(opened));
        else fail(refusal(where, files, undefined));
      };
      opened.on('error', onError).on('end', onEnd).on('close', onEnd);
      opened.once('secureConnect', () => {
        secure = true;
        opened.on('readable', onReadable);
      });
    };
    run().catch((error: unknown) => fail(before(where, error)));
    return () => {
      stop.abort();
      socket?.on('error', () => undefined);
      socket?.destroy();
    };
  });
};
