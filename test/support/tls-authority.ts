// A certificate authority for tests, and certificates of it, made by openssl: new ones for each test run, valid for a day.
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export class TlsAuthority {
  readonly #folder: string;
  readonly caFile: string;
  readonly #caKey: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.caFile = join(folder, 'cacert.pem');
    this.#caKey = join(folder, 'cakey.pem');
  }

  /** Makes the authority's own key and certificate in `folder`, which becomes readable to everybody. */
  static async create(folder: string): Promise<TlsAuthority> {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o755);
    const authority = new TlsAuthority(folder);
    const { caFile } = authority;
    const key = await authority.#newKey(authority.#caKey);
    const uses = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    // Ours, not the system's: that has extensions of its own, and two of a kind are one too many.
    const config = join(folder, 'ca.cnf');
    await writeFile(config, '[req]\ndistinguished_name=dn\n[dn]\n');
    await run('openssl', [
      'req',
      '-x509',
      '-config',
      config,
      '-new',
      '-key',
      key,
      '-subj',
      '/CN=test authority',
      ...uses,
      '-days',
      '1',
      '-out',
      caFile,
    ]);
    return authority;
  }

  /** A certificate for these names (`DNS:host`, `IP:127.0.0.1`); without names, one of a client. */
  async issue(name: string, names: readonly string[] = []): Promise<Certificate> {
    const cert = join(this.#folder, `${name}.pem`);
    const key = await this.#newKey(join(this.#folder, `${name}-key.pem`));
    const request = join(this.#folder, `${name}.csr`);
    const config = join(this.#folder, 'ca.cnf');
    await run('openssl', ['req', '-config', config, '-new', '-key', key, '-subj', `/CN=${name}`, '-out', request]);
    const extensions = join(this.#folder, `${name}.ext`);
    const purpose = names.length > 0 ? `serverAuth\nsubjectAltName=${names.join(',')}` : 'clientAuth';
    await writeFile(
      extensions,
      `keyUsage=digitalSignature,keyEncipherment\nbasicConstraints=CA:FALSE\nextendedKeyUsage=${purpose}\n`,
    );
    const signer = ['-CA', this.caFile, '-CAkey', this.#caKey, '-CAcreateserial'];
    await run('openssl', [
      'x509',
      '-req',
      '-in',
      request,
      ...signer,
      '-days',
      '1',
      '-extfile',
      extensions,
      '-out',
      cert,
    ]);
    await Promise.all([rm(request), rm(extensions)]);
    return { cert, key };
  }

  /** A list of revoked certificates, holding these. */
  async revoke(certs: readonly Certificate[]): Promise<string> {
    const config = join(this.#folder, 'crl.cnf');
    const index = join(this.#folder, 'index.txt');
    await writeFile(index, '');
    await writeFile(
      config,
      `[ca]\ndefault_ca=it\n[it]\ndatabase=${index}\ndefault_md=sha256\ndefault_crl_days=1\ncertificate=${this.caFile}\nprivate_key=${this.#caKey}\n`,
    );
    for (const { cert } of certs) await run('openssl', ['ca', '-config', config, '-revoke', cert]);
    const list = join(this.#folder, 'cacrl.pem');
    await run('openssl', ['ca', '-config', config, '-gencrl', '-out', list]);
    return list;
  }

  /** A folder as `pkipath=` wants it: the authority, and the client's certificate when there is one. */
  async pkiFolder(folder: string, client: Certificate | undefined): Promise<string> {
    await mkdir(folder, { recursive: true });
    await copyFile(this.caFile, join(folder, 'cacert.pem'));
    if (client !== undefined) {
      await copyFile(client.cert, join(folder, 'clientcert.pem'));
      await copyFile(client.key, join(folder, 'clientkey.pem'));
    }
    return folder;
  }

  /** Readable to all: the daemon under test runs as another account. Worth nothing after the test. */
  async #newKey(path: string): Promise<string> {
    await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path]);
    await chmod(path, 0o644);
    return path;
  }
}
