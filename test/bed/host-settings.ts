// The files of one host of a bed: libvirtd's and QEMU's settings, its storage pool, sshd. Written from nothing: what the
// machine itself has in /etc/libvirt (perhaps somebody's VMs) is never taken over. Starts nothing.
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Credentials } from './credentials.ts';

export const POOL = 'virtscale';

export interface HostPlace {
  readonly name: string;
  readonly address: string;
  /** The host's folder; the same path inside and outside of its namespaces. */
  readonly dir: string;
}

/** The VMs' quota, when there is one: the host's cgroup as the host sees it, a file of a VM's cgroup, and what goes into it. */
export interface VmQuota {
  readonly file: string;
  readonly text: string;
}

const VM_QUOTA_HOOK = join(import.meta.dirname, 'vm-quota-hook.sh');

export async function writeHostSettings(
  place: HostPlace,
  hosts: readonly { readonly name: string; readonly address: string }[],
  credentials: Credentials,
  vmQuota: VmQuota | undefined,
): Promise<void> {
  const { dir } = place;
  const in_ = (name: string): string => join(dir, name);
  for (const folder of ['etc/hooks', 'etc/storage/autostart', 'run', 'lib', 'log', 'cache', 'cgroup', 'pool']) {
    await mkdir(in_(folder), { recursive: true });
  }
  await writeFile(in_('etc/libvirtd.conf'), libvirtdConf(place, credentials));
  await writeFile(in_('etc/qemu.conf'), qemuConf(place));
  await writeFile(in_(`etc/storage/${POOL}.xml`), poolXml(in_('pool')));
  await symlink(`/etc/libvirt/storage/${POOL}.xml`, in_(`etc/storage/autostart/${POOL}.xml`));
  await writeFile(in_('sshd_config'), sshdConfig(place, credentials));
  const names = hosts.map(({ name, address }) => `${address} ${name}\n`).join('');
  await writeFile(in_('hosts'), `127.0.0.1 localhost\n${names}`);
  await writeFile(in_('shadow'), 'root:*:19000:0:99999:7:::\n', { mode: 0o600 });
  if (vmQuota === undefined) return;
  const settings = `CGROUP='${in_('cgroup')}'\nQUOTA_FILE='${vmQuota.file}'\nQUOTA='${vmQuota.text}'\n`;
  await writeFile(in_('etc/vm-quota.conf'), settings);
  await copyFile(VM_QUOTA_HOOK, in_('etc/hooks/qemu'));
  await chmod(in_('etc/hooks/qemu'), 0o755);
}

function libvirtdConf({ name, address, dir }: HostPlace, { caCert, certOf }: Credentials): string {
  const { cert, key } = certOf(name);
  const lines = [
    `host_uuid = "${randomUUID()}"`,
    'auth_unix_rw = "none"', // only root gets into the bed's folder
    'listen_tcp = 1',
    'auth_tcp = "none"', // the address exists in the bed's own namespaces alone
    'listen_tls = 1',
    'auth_tls = "none"', // beyond the client's certificate
    `listen_addr = "${address}"`,
    `ca_file = "${caCert}"`,
    `cert_file = "${cert}"`,
    `key_file = "${key}"`,
    `log_outputs = "3:file:${join(dir, 'libvirtd.log')}"`,
    'max_clients = 500',
    'max_workers = 60',
    'max_client_requests = 50',
    'keepalive_interval = 5',
    'keepalive_count = 3',
  ];
  return `${lines.join('\n')}\n`;
}

function qemuConf({ address }: HostPlace): string {
  const lines = [
    'security_driver = "none"',
    'stdio_handler = "file"', // no virtlogd needed
    'namespaces = [ ]', // the host is one already
    'cgroup_controllers = [ ]', // see cpu-quota.ts
    'user = "root"',
    'group = "root"',
    'dynamic_ownership = 0',
    'remember_owner = 0',
    'max_core = 0',
    `migration_address = "${address}"`,
    `migration_host = "${address}"`,
  ];
  return `${lines.join('\n')}\n`;
}

function poolXml(path: string): string {
  return `<pool type='dir'><name>${POOL}</name><target><path>${path}</path></target></pool>\n`;
}

function sshdConfig({ address, dir }: HostPlace, { authorizedKeys, sshHostKey }: Credentials): string {
  const lines = [
    'Port 22',
    `ListenAddress ${address}`,
    `HostKey ${sshHostKey}`,
    `AuthorizedKeysFile ${authorizedKeys}`,
    `PidFile ${join(dir, 'sshd.pid')}`,
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'StrictModes no',
    'UsePAM no',
  ];
  return `${lines.join('\n')}\n`;
}
