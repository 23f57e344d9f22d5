// Images, flavors, operations, tokens and targets as the HTTP API shows them.
// Not here: hosts, VMs, groups (representation), the shapes' declaration (fabric-schemas).

import type { ImageSource, Token } from '../core/catalog.ts';
import type { FlavorStatus, ImageStatus, OperationStatus, VmStatus } from '../engine/view.ts';
import type { PublicFlavor, PublicImage, PublicOperation, PublicTargets, PublicToken } from './fabric-schemas.ts';
import { publicFlavor, withoutSecrets } from './representation.ts';

export function publicImage(image: ImageStatus): PublicImage {
  const { content, format } = image.image ?? {};
  return {
    name: image.name,
    id: image.id,
    source: publicSource(image.source),
    state: image.state,
    ...(image.reason !== undefined && { reason: image.reason }),
    ...(format !== undefined && { format }),
    ...(content && {
      sha256: content.sha256,
      fileBytes: content.fileBytes,
      virtualBytes: content.virtualBytes,
    }),
    addedAt: image.addedAt,
    configured: image.configured,
    hosts: [...image.hosts],
    vmCount: image.vms,
  };
}

function publicSource(source: ImageSource): PublicImage['source'] {
  switch (source.kind) {
    case 'upload':
    case 'built':
      return { kind: source.kind };
    case 'path':
    case 'host':
      return { kind: source.kind, from: source.path };
    case 'url':
      return { kind: 'url', from: withoutSecrets(source.url) };
    case 'ssh': {
      const user = source.user === undefined ? '' : `${source.user}@`;
      return { kind: 'ssh', from: `${user}${source.host}:${source.path}` };
    }
  }
}

export function publicNumberedFlavor({ id, ...flavor }: FlavorStatus): PublicFlavor {
  return { id, ...publicFlavor(flavor) };
}

export function publicOperation({ operation, progress }: OperationStatus): PublicOperation {
  const { create, failure } = operation;
  return {
    id: operation.id,
    kind: operation.kind,
    state: operation.state,
    owner: operation.owner,
    createdAt: operation.createdAt,
    changedAt: operation.changedAt,
    ...(operation.endedAt !== undefined && { endedAt: operation.endedAt }),
    vms: operation.vms.map(({ id, name, host, outcome, reason }) => ({
      id,
      name,
      host,
      ...(outcome !== undefined && { outcome }),
      ...(reason !== undefined && { reason }),
    })),
    ...(create && {
      create: {
        names: [...create.names],
        flavor: create.flavor.name,
        ...(create.image && { image: create.image.name }),
        allOrNothing: create.allOrNothing,
      },
    }),
    ...(operation.image !== undefined && { image: operation.image }),
    ...(operation.snapshot && {
      snapshot: {
        name: operation.snapshot.name,
        ...(operation.snapshot.taken && {
          taken: operation.snapshot.taken.map(({ removed, vmId: vm, ...same }) => ({
            vm,
            ...same,
            removed: [...removed],
          })),
        }),
      },
    }),
    ...(progress && {
      progress: {
        done: progress.done,
        ...(progress.total !== undefined && { total: progress.total }),
        unit: progress.unit,
        text: progress.text,
      },
    }),
    ...(failure && {
      failure: {
        type: failure.type,
        detail: failure.detail,
        ...(failure.hosts && { hosts: failure.hosts.map(({ name, chosen, text }) => ({ name, chosen, text })) }),
      },
    }),
    cancelling: operation.cancelling ?? false,
    history: operation.history.map(({ at, text }) => ({ at, text })),
  };
}

/** Without its hash: whoever reads it learns nothing to try tokens against. */
export function publicToken({ name, scope, createdAt, expiresAt, user, signIn }: Token): PublicToken {
  return {
    name,
    scope,
    createdAt,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(user !== undefined && { user }),
    ...(signIn && { signIn }),
  };
}

/** VMs that serve, as Prometheus' HTTP service discovery wants them: one entry per VM. */
export function publicTargets(vms: readonly VmStatus[]): PublicTargets {
  return vms.flatMap(({ record, state }) => {
    const { endpoint, phase, id, name, group, host, owner, flavor, image } = record;
    if (endpoint === undefined || phase !== 'in-service' || state !== 'running') return [];
    const address = endpoint.address.includes(':') ? `[${endpoint.address}]` : endpoint.address;
    const labels = {
      __meta_virtscale_vm_id: String(id),
      __meta_virtscale_vm: name,
      __meta_virtscale_host: host,
      __meta_virtscale_owner: owner,
      ...(group !== undefined && { __meta_virtscale_group: group }),
      ...(flavor && { __meta_virtscale_flavor: flavor.name }),
      ...(image && { __meta_virtscale_image: image.name }),
    };
    return [{ targets: [`${address}:${endpoint.port}`], labels }];
  });
}
