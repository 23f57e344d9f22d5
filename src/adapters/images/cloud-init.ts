// The texts that cloud-init in a guest reads at its first boot: who the guest is, and what to do. Not here: the disc they come on
// (seed-iso), and what the API checks before there is a VM (core/verify-create).

import { stringify } from 'yaml';
import type { CloudInit } from '../../core/model.ts';
import { readSshKey } from '../../core/ssh-key.ts';
import { Fault } from '../../ports/fault.ts';
import type { SeedFiles } from './seed-iso.ts';

/** cloud-init runs its first-boot steps once for each instance id: the VM's uuid. */
export type CloudInitOptions = CloudInit & {
  readonly instanceId: string;
  /** Its network configuration; absent: the guest asks DHCP on its first card. */
  readonly network?: Readonly<Record<string, unknown>>;
};

/** What cloud-init knows user-data by; it takes no notice of anything else. */
const KINDS = /^(?:#cloud-config\b|#!|#include\b|## template: *jinja\b|content-type: *multipart\/|mime-version:)/i;
const INSTANCE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/**
 * The user's own user-data is handed over as it is, and the keys come beside it, in the meta-data. Without it there is one that sets
 * the host name and the keys of the image's default user. Throws `Fault` `refused`.
 */
export function cloudInitFiles({ instanceId, hostname, network, sshKeys, userData }: CloudInitOptions): SeedFiles {
  if (!INSTANCE_ID.test(instanceId)) throw refused(`the instance id ${JSON.stringify(instanceId)} is none`);
  if (hostname.length > 253 || !hostname.split('.').every((label) => LABEL.test(label))) {
    throw refused(`${JSON.stringify(hostname.slice(0, 60))} is no host name`);
  }
  const keys = [...new Set(sshKeys.map(checkedKey))];
  const networked = network && { networkConfig: yaml(network) };
  const identity = { 'instance-id': instanceId, 'local-hostname': hostname };
  if (userData === undefined) {
    const config = { hostname, ...(keys.length > 0 && { ssh_authorized_keys: keys }) };
    return { metaData: yaml(identity), userData: `#cloud-config\n${yaml(config)}`, ...networked };
  }
  if (!KINDS.test(userData)) {
    throw refused(
      'the user-data is nothing that cloud-init knows',
      'Begin it with #cloud-config, #! or Content-Type: multipart.',
    );
  }
  return { metaData: yaml({ ...identity, ...(keys.length > 0 && { 'public-keys': keys }) }), userData, ...networked };
}

function checkedKey(text: string, index: number): string {
  const key = readSshKey(text);
  if (!key.ok) throw refused(`ssh key ${index + 1} ${key.reason}`);
  return key.value;
}

/** All texts in quotes: the guest's reader is of YAML 1.1, where `on`, `1:30` and `012` are no texts. One line each, however long. */
function yaml(value: Readonly<Record<string, unknown>>): string {
  return stringify(value, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 });
}

function refused(message: string, advice?: string): Fault {
  return new Fault('refused', message, advice === undefined ? {} : { advice });
}
