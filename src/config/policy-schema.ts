// The form of a policy file. Not here: what it refers to and whether it makes sense (policy-file).

import { z } from 'zod';
import { type GuestSetup, SSH_KEYS_MAX, sshKeyProblem, userDataProblem } from '../core/guest-setup.ts';
import { capacity, health, hooks, limits, ready, refresh, removal } from './group-schema.ts';
import { policyPlacement } from './placement-schema.ts';
import { scaleRule } from './rule-schema.ts';
import { durationBetween, name, oneOf, refuse, strict, textUpTo, VMS_MAX, wholeBetween } from './schemas.ts';

const RULES_MAX = 20;

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

const size = wholeBetween(0, VMS_MAX);

/** The keys of a policy, each with its form: what is right can be judged even where others are wrong. */
export const policyKeys = {
  group: name,
  mode: oneOf(['act', 'observe']).optional(),
  candidate: name.optional(),
  min: size,
  max: size,
  template: strict({ image: textUpTo(100), flavor: textUpTo(100), ready, cloudInit: cloudInit.optional() }).optional(),
  domains: z.array(listedDomain).min(1, { error: 'must list at least one domain' }).max(VMS_MAX).optional(),
  ready: ready.optional(),
  placement: policyPlacement.optional(),
  capacity: capacity.optional(),
  launch: strict({ deadline: durationBetween('1s', '1h') }).optional(),
  warmup: durationBetween('0s', '24h').optional(),
  drain: strict({ grace: durationBetween('0s', '24h') }).optional(),
  shutdown: strict({ deadline: durationBetween('0s', '1h') }).optional(),
  removal: removal.optional(),
  balancer: name.optional(),
  hooks: hooks.optional(),
  health: health.optional(),
  refresh: refresh.optional(),
  limits: limits.optional(),
  scale: z
    .array(scaleRule)
    .max(RULES_MAX, { error: `has more than ${RULES_MAX} rules` })
    .default([]),
};

export const policySchema = strict(policyKeys);

export type RawPolicy = z.output<typeof policySchema>;
