// What the hosts and clients of a bed prove themselves with: one certificate authority, a certificate per host and one for
// clients, and ssh keys. Made anew for each bed and removed with it. Good for tests alone: no revocation, a week's life.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './command.ts';

const DAYS = '7';
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];
/** Not the machine's own configuration, which would make an authority of every certificate. */
const CONFIG = '[req]\ndistinguished_name = name\n[name]\n';

export interface Credentials {
  /** With cacert.pem, clientcert.pem and clientkey.pem: libvirt's `pkipath`. */
  readonly pkiDir: string;
  readonly caCert: string;
  certOf(host: string): { readonly cert: string; readonly key: string };
  readonly sshKey: string;
  readonly sshHostKey: string;
  readonly authorizedKeys: string;
  readonly knownHosts: string;
}

interface NamedHost {
  readonly name: string;
  readonly address: string;
}

export async function makeCredentials(
  dir: string,
  hosts: readonly NamedHost[],
  signal: AbortSignal,
): Promise<Credentials> {
  const pkiDir = join(dir, 'pki');
  const sshDir = join(dir, 'ssh');
  await Promise.all([mkdir(pkiDir), mkdir(sshDir)]);
  const credentials: Credentials = {
    pkiDir,
    caCert: join(pkiDir, 'cacert.pem'),
    certOf: (host) => ({ cert: join(pkiDir, `${host}.pem`), key: join(pkiDir, `${host}.key`) }),
    sshKey: join(sshDir, 'id'),
    sshHostKey: join(sshDir, 'host'),
    authorizedKeys: join(sshDir, 'authorized_keys'),
    knownHosts: join(sshDir, 'known_hosts'),
  };
  await Promise.all([makeCertificates(credentials, hosts, signal), makeSshKeys(credentials, hosts, signal)]);
  return credentials;
}

async function makeCertificates(
  { pkiDir, caCert, certOf }: Credentials,
  hosts: readonly NamedHost[],
  signal: AbortSignal,
): Promise<void> {
  const caKey = join(pkiDir, 'ca.key');
  const config = join(pkiDir, 'openssl.cnf');
  await writeFile(config, CONFIG);
  const request = ['openssl', 'req', '-config', config, ...NEW_KEY] as const;
  const ca = ['-x509', '-subj', '/CN=virtscale test bed', '-keyout', caKey, '-out', caCert, '-days', DAYS];
  const caUse = ['-addext', 'basicConstraints=critical,CA:true', '-addext', 'keyUsage=critical,keyCertSign'];
  await run([...request, ...ca, ...caUse], { signal });
  const issue = async (name: string, extensions: readonly string[]): Promise<void> => {
    const { cert, key } = certOf(name);
    const all = ['basicConstraints=CA:false', 'keyUsage=critical,digitalSignature,keyEncipherment', ...extensions];
    const use = all.flatMap((extension) => ['-addext', extension]);
    const signed = ['-x509', '-CA', caCert, '-CAkey', caKey, '-subj', `/CN=${name}`, '-days', DAYS];
    await run([...request, ...signed, ...use, '-keyout', key, '-out', cert], { signal });
  };
  await Promise.all([
    issue('client', ['extendedKeyUsage=clientAuth']),
    // A host is a client too when it migrates a guest to another.
    ...hosts.map(({ name, address }) =>
      issue(name, ['extendedKeyUsage=serverAuth,clientAuth', `subjectAltName=DNS:${name},IP:${address}`]),
    ),
  ]);
  await copyFile(certOf('client').cert, join(pkiDir, 'clientcert.pem'));
  await copyFile(certOf('client').key, join(pkiDir, 'clientkey.pem'));
}

async function makeSshKeys(
  { sshKey, sshHostKey, authorizedKeys, knownHosts }: Credentials,
  hosts: readonly NamedHost[],
  signal: AbortSignal,
): Promise<void> {
  const keys = [sshKey, sshHostKey];
  await Promise.all(keys.map((path) => run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', path], { signal })));
  await copyFile(`${sshKey}.pub`, authorizedKeys);
  const hostKey = (await readFile(`${sshHostKey}.pub`, 'utf8')).trim();
  await writeFile(knownHosts, hosts.map(({ name, address }) => `${name},${address} ${hostKey}\n`).join(''));
}
