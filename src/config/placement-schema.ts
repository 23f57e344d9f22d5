// The form of what virtscale.yaml and policies say about placement: algorithm, overcommit, labels, reserved amounts.
// Not here: what follows from it (core/placement), loading a user's own algorithm (src/placements.ts).

import { z } from 'zod';
import type { PlacementRules } from '../core/model.ts';
import { PLACEMENT_NAMES } from '../core/placement/registry.ts';
import type { HostPlacement } from './daemon-config.ts';
import { didYouMean } from './did-you-mean.ts';
import { name, shown, sizeBetween, strict, textUpTo } from './schemas.ts';

const MIB_PER_GIB = 1024;
const LARGEST_MIB = 64 * MIB_PER_GIB * MIB_PER_GIB;
const LABELS_MAX = 50;
const MODULES_MAX = 20;

function numberBetween(min: number, max: number) {
  return z.unknown().transform((value, context): number => {
    if (typeof value === 'number' && value >= min && value <= max) return value;
    const message = `must be a number from ${min} to ${max}, not ${shown(value)}`;
    context.issues.push({ code: 'custom', message, input: value });
    return z.NEVER;
  });
}

/** One of ours, or where a user's own lies: whatever looks like the path of a module. */
export function isModulePath(text: string): boolean {
  return text.includes('/') || /\.[cm]?[jt]s$/.test(text);
}

/** A name or a path; which there are, a policy's reader asks {@link unknownPlacement}. */
const algorithm = textUpTo(1000);

const ourOwnOrModule = algorithm.superRefine((text, context) => {
  const unknown = isModulePath(text) ? undefined : unknownPlacement(text);
  if (unknown === undefined) return;
  context.issues.push({
    code: 'custom',
    message: `${unknown}, or the path of a module such as ./mine.mjs`,
    input: text,
  });
});

const modulePath = textUpTo(1000).refine(isModulePath, { error: 'must be the path of a module, such as ./mine.mjs' });

/** What labels and their values look like. */
export const LABEL = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/;

const labelValue = z.unknown().transform((value, context): string => {
  // `rack: 1` is meant as the label it looks like.
  const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
  if (typeof text === 'string' && LABEL.test(text)) return text;
  const message = `must be a word of up to 63 letters, digits, dots, dashes, underscores and slashes, not ${shown(value)}`;
  context.issues.push({ code: 'custom', message, input: value });
  return z.NEVER;
});

const labels = z.record(z.string(), labelValue).superRefine((value, context) => {
  const keys = Object.keys(value);
  for (const key of keys.filter((word) => !LABEL.test(word)).slice(0, LABELS_MAX)) {
    const message = 'a label is a word of up to 63 letters, digits, dots, dashes, underscores and slashes';
    context.issues.push({ code: 'custom', message, path: [key], input: value });
  }
  if (keys.length <= LABELS_MAX) return;
  context.issues.push({ code: 'custom', message: `has more than ${LABELS_MAX} labels`, input: value });
});

const ratio = numberBetween(0.01, 100);
const overcommit = strict({ cpus: ratio.optional(), memory: ratio.optional(), disk: ratio.optional() }).transform(
  (raw): NonNullable<HostPlacement['overcommit']> => ({
    ...(raw.cpus !== undefined && { cpus: raw.cpus }),
    ...(raw.memory !== undefined && { memory: raw.memory }),
    ...(raw.disk !== undefined && { disk: raw.disk }),
  }),
);

const reserved = strict({
  cpus: numberBetween(0, 10_000).optional(),
  memory: sizeBetween(0, LARGEST_MIB).optional(),
  disk: sizeBetween(0, LARGEST_MIB).optional(),
}).transform(
  (raw): NonNullable<HostPlacement['reserved']> => ({
    ...(raw.cpus !== undefined && { vcpus: raw.cpus }),
    ...(raw.memory !== undefined && { memoryMiB: raw.memory }),
    ...(raw.disk !== undefined && { diskGiB: raw.disk / MIB_PER_GIB }),
  }),
);

/** Keys of a host in virtscale.yaml. */
export const hostPlacement = {
  labels: labels.optional(),
  reserved: reserved.optional(),
  overcommit: overcommit.optional(),
};

/** `placement: first-fit`, `placement: ./mine.mjs`, or a block, in virtscale.yaml. */
export const daemonPlacement = shortOrBlock(
  strict({
    algorithm: ourOwnOrModule.optional(),
    modules: z
      .array(modulePath)
      .max(MODULES_MAX, { error: `has more than ${MODULES_MAX} modules` })
      .optional(),
    overcommit: overcommit.optional(),
    /** Percent; for `threshold`. */
    maxLoad: numberBetween(1, 100).optional(),
  }),
);

/** The same in a policy. */
export const policyPlacement = shortOrBlock(
  strict({
    algorithm: algorithm.optional(),
    labels: labels.optional(),
    apart: z.boolean().optional(),
    host: name.optional(),
  }),
).transform(
  (raw): PlacementRules => ({
    ...(raw.algorithm !== undefined && { algorithm: raw.algorithm }),
    ...(raw.host !== undefined && { host: raw.host }),
    ...(raw.labels !== undefined && { labels: raw.labels }),
    ...(raw.apart !== undefined && { apart: raw.apart }),
  }),
);

function shortOrBlock<T extends z.ZodType>(block: T) {
  return z.preprocess((value) => (typeof value === 'string' ? { algorithm: value } : value), block);
}

/** Why there is no algorithm of this name; undefined when there is. `known`: ours and the configuration's modules. */
export function unknownPlacement(wanted: string, known: readonly string[] = PLACEMENT_NAMES): string | undefined {
  if (known.includes(wanted)) return undefined;
  return `no placement algorithm is named ${shown(wanted)}${didYouMean(wanted, known)}; there are: ${known.join(', ')}`;
}
