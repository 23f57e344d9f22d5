// The placement algorithms there are: ours, and those that users brought along as modules. Composition; loading runs the user's code.
// Not here: whether what a module answers makes sense (core/placement/ask).

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { PlacementConfig } from './config/daemon-config.ts';
import type { Placement } from './core/placement/placement.ts';
import { BUILT_IN, type Placements } from './core/placement/registry.ts';
import { thresholdAt } from './core/placement/threshold.ts';

/** A module has this long to be loaded: one that waits for something at its top level would hold up the daemon. */
const LOAD_DEADLINE_MS = 10_000;

/** What is wrong with a user's module, in one line: shown without a stack, exit status 2. */
export class PlacementModuleError extends Error {
  constructor(name: string, reason: string, cause?: unknown) {
    super(`placement ${name}: ${reason}`, { cause });
    this.name = 'PlacementModuleError';
  }
}

/**
 * Ours and those of the configuration's modules. Throws `PlacementModuleError`. Called again, it loads a module anew when its text has
 * changed; what that module imports itself stays as it was first loaded.
 */
export async function loadPlacements(
  config: PlacementConfig | undefined,
  deadlineMs = LOAD_DEADLINE_MS,
): Promise<Placements> {
  const all = new Map(BUILT_IN);
  if (config?.maxLoad !== undefined) all.set('threshold', thresholdAt(config.maxLoad));
  for (const { name, path } of config?.modules ?? []) all.set(name, await loadModule(name, path, deadlineMs));
  return all;
}

async function loadModule(name: string, path: string, deadlineMs: number): Promise<Placement> {
  const text = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'ENOENT' ? 'there is no such file' : error.message;
    throw new PlacementModuleError(name, `${reason} (${path})`, error);
  });
  // Modules are kept by their URL for as long as the process lives: another text needs another one.
  const url = pathToFileURL(path);
  url.searchParams.set('sha256', createHash('sha256').update(text).digest('hex'));
  const module = await imported(name, url.href, deadlineMs);
  const { placement } = module;
  if (placement === undefined) throw new PlacementModuleError(name, 'it exports nothing named placement');
  if (!isPlacement(placement)) throw new PlacementModuleError(name, 'its placement has no method choose');
  return placement;
}

async function imported(name: string, url: string, deadlineMs: number): Promise<{ readonly placement?: unknown }> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new PlacementModuleError(name, `it was not loaded within ${deadlineMs / 1000} s`));
  }, deadlineMs);
  try {
    return await Promise.race([import(url) as Promise<{ readonly placement?: unknown }>, late.promise]);
  } catch (error) {
    if (error instanceof PlacementModuleError) throw error;
    throw new PlacementModuleError(name, `it cannot be loaded: ${firstLine(error)}`, error);
  } finally {
    clearTimeout(timer);
  }
}

function isPlacement(value: unknown): value is Placement {
  return typeof value === 'object' && value !== null && 'choose' in value && typeof value.choose === 'function';
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]?.slice(0, 300) ?? '';
}
