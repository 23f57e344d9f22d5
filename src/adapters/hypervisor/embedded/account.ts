// Which account the embedded libvirtd and its guests run as. Not who owns them: that is whoever started virtscale.
// libvirtd run by root is never in session mode, so root always drops to an unprivileged account.
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { EmbeddedHostError } from './embedded-host-error.ts';

const run = promisify(execFile);

/** A user that libvirtd is run as instead of root. */
export interface Account {
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
}

const OWN_ACCOUNT = 'virtscale';
const USERADD_LIMIT_MS = 10_000;

async function findAccount(user: string): Promise<Account | undefined> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const fields = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === user);
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
  return Number.isInteger(uid) && Number.isInteger(gid) && uid > 0 ? { user, uid, gid } : undefined;
}

/**
 * The account to drop to, or undefined when this process is not root and stays who it is. A real account with an entry
 * in /etc/passwd: libvirt 9.0 logs faults for each client when its own uid has none. Makes the system account `virtscale`
 * the first time (says so); takes `nobody` where none can be made.
 * @throws EmbeddedHostError `no-rights` when there is no account to drop to
 */
export async function unprivilegedAccount(log: (line: string) => void): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const present = await findAccount(OWN_ACCOUNT);
  if (present) return present;
  const options = ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent'];
  try {
    await run('useradd', [...options, '--shell', '/usr/sbin/nologin', OWN_ACCOUNT], { timeout: USERADD_LIMIT_MS });
    log(`made the system account '${OWN_ACCOUNT}': guests never run as root`);
  } catch {
    // No useradd, a read-only /etc, or another virtscale was quicker: look again.
  }
  const account = (await findAccount(OWN_ACCOUNT)) ?? (await findAccount('nobody'));
  if (account) return account;
  throw new EmbeddedHostError(
    'no-rights',
    `running as root, and there is no unprivileged account to run guests as ('${OWN_ACCOUNT}' could not be made)`,
    `Make one with 'useradd --system ${OWN_ACCOUNT}', or start virtscale as an ordinary user`,
  );
}

/** The program and arguments that run `command` as `account`. The group of /dev/kvm goes along, so that KVM can be had. */
export async function commandAs(
  account: Account | undefined,
  command: readonly [string, ...string[]],
): Promise<readonly [string, ...string[]]> {
  if (!account) return command;
  const kvmGroup = await stat('/dev/kvm').then(
    ({ gid }) => gid,
    () => 0,
  );
  const groups = kvmGroup > 0 ? `--groups=${kvmGroup}` : '--clear-groups';
  const ids = [`--reuid=${account.uid}`, `--regid=${account.gid}`, groups];
  return ['setpriv', ...ids, '--no-new-privs', '--', ...command];
}
