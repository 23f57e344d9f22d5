// The form of a policy file. Not here: what it refers to and whether it makes sense (policy-file).

import { z } from 'zod';
import { type GuestSetup, SSH_KEYS_MAX, sshKeyProblem, userDataProblem } from '../core/guest-setup.ts';
import type { ThresholdRule } from '../core/policy.ts';
import { policyPlacement } from './placement-schema.ts';
import { durationBetween, name, oneOf, port, refuse, shown, strict, textUpTo, wholeBetween } from './schemas.ts';

/** More VMs than this in one group is a slip of the finger. */
const VMS_MAX = 1000;
const RULES_MAX = 20;

const httpPath = textUpTo(200).refine((path) => path.startsWith('/') && !path.includes(' '), {
  error: 'must begin with / and have no spaces',
});

const ready = strict({ http: strict({ port, path: httpPath.default('/') }) });

const percent = z.unknown().transform((value, context) => {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  const message =
    typeof value === 'string' && /^\d+(\.\d+)? ?%$/.test(value)
      ? `write the number of percent without the sign: ${Number.parseFloat(value)}`
      : `must be a number of percent from 0 to 100, not ${shown(value)}`;
  context.issues.push({ code: 'custom', message, input: value });
  return z.NEVER;
});

const RULE_COOLDOWN_MS = 60_000;

/** One item of `scale:`, as a rule of the core. */
export const scaleRule = strict({
  name,
  type: oneOf(['threshold']),
  metric: oneOf(['cpu']),
  above: percent.optional(),
  below: percent.optional(),
  for: durationBetween('0s', '24h'),
  add: wholeBetween(1, VMS_MAX).optional(),
  remove: wholeBetween(1, VMS_MAX).optional(),
  cooldown: durationBetween('0s', '24h').optional(),
}).transform((raw, context): ThresholdRule => {
  const { above, below, add, remove } = raw;
  const common = {
    name: raw.name,
    type: raw.type,
    metric: raw.metric,
    forMs: raw.for,
    cooldownMs: raw.cooldown ?? RULE_COOLDOWN_MS,
  };
  if ((above === undefined) === (below === undefined)) {
    const has = above === undefined ? 'neither' : 'both';
    refuse(
      context,
      above === undefined ? [] : ['below'],
      `needs either above (to add) or below (to remove); it has ${has}`,
    );
    return z.NEVER;
  }
  if (above !== undefined) {
    if (remove !== undefined) refuse(context, ['remove'], 'a rule with above adds VMs: use add');
    return { ...common, direction: 'out', thresholdPercent: above, by: add ?? 1 };
  }
  if (add !== undefined) refuse(context, ['add'], 'a rule with below removes VMs: use remove');
  return { ...common, direction: 'in', thresholdPercent: below ?? 0, by: remove ?? 1 };
});

const domainName = textUpTo(255);
const address = textUpTo(253).refine((text) => /^[0-9A-Za-z.:_-]+$/.test(text), {
  error: 'must be an IP address or a host name, without a port',
});

/** `vm1`, or `{ name: vm1, address: 192.168.122.150 }` */
const listedDomain = z.preprocess(
  (value) => (typeof value === 'string' ? { name: value } : value),
  strict({ name: domainName, address: address.optional() }),
);

/** Text of several lines, as `|` in YAML gives it. */
const userData = z.string().superRefine((text, context) => {
  const problem = userDataProblem(text);
  if (problem !== undefined) refuse(context, [], problem);
});

const sshKey = z.string().superRefine((text, context) => {
  const problem = sshKeyProblem(text);
  if (problem !== undefined) refuse(context, [], problem);
});

const cloudInit = strict({
  sshKeys: z
    .array(sshKey)
    .max(SSH_KEYS_MAX, { error: `has more than ${SSH_KEYS_MAX} keys` })
    .default([]),
  userData: userData.optional(),
}).transform(({ sshKeys, userData: text }): GuestSetup => ({ sshKeys, ...(text !== undefined && { userData: text }) }));

export const sizes = { min: wholeBetween(0, VMS_MAX), max: wholeBetween(0, VMS_MAX) };

export const policySchema = strict({
  group: name,
  min: sizes.min,
  max: sizes.max,
  template: strict({ image: textUpTo(100), flavor: textUpTo(100), ready, cloudInit: cloudInit.optional() }).optional(),
  domains: z.array(listedDomain).min(1, { error: 'must list at least one domain' }).max(VMS_MAX).optional(),
  ready: ready.optional(),
  placement: policyPlacement.optional(),
  launch: strict({ deadline: durationBetween('1s', '1h') }).optional(),
  drain: strict({ grace: durationBetween('0s', '24h') }).optional(),
  shutdown: strict({ deadline: durationBetween('0s', '1h') }).optional(),
  scale: z
    .array(scaleRule)
    .max(RULES_MAX, { error: `has more than ${RULES_MAX} rules` })
    .default([]),
});

export type RawPolicy = z.output<typeof policySchema>;
