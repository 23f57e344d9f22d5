// From the configuration to what the engine is told about the fabric: placement, traits, flavors, quota, images. Composition.

import type { ImageConfig } from './config/daemon-config.ts';
import { hostTraitsOf } from './config/host-traits.ts';
import type { ConfiguredImage } from './engine/images.ts';
import type { FabricSettings } from './engine/settings.ts';
import { loadPlacements } from './placements.ts';
import type { LoadedConfig } from './read-config.ts';

/** Throws `PlacementModuleError`. */
export async function settingsOf({ config, flavors }: LoadedConfig): Promise<FabricSettings> {
  const { placement, quota = {}, rebalance, users } = config;
  return {
    placements: await loadPlacements(placement),
    ...(placement !== undefined && { placement: placement.algorithm }),
    ...(rebalance !== undefined && { rebalance }),
    traits: hostTraitsOf(config),
    flavors,
    quota,
    users,
  };
}

export function configuredImages(images: readonly ImageConfig[]): readonly ConfiguredImage[] {
  return images.map(configuredImage);
}

function configuredImage(config: ImageConfig): ConfiguredImage {
  if (config.kind === 'built') return { name: config.name, source: { kind: 'built' } };
  if (config.kind === 'file') {
    const { image } = config;
    return { name: image.name, source: { kind: 'host', path: image.path ?? '' }, image };
  }
  const { format, name, sha256, source } = config;
  return { name, source, ...(format && { format }), ...(sha256 !== undefined && { sha256 }) };
}
