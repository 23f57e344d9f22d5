// A group's policy as the core sees it: parsed, checked, all defaults filled in, durations in milliseconds.
// Not here: reading YAML (config) or applying rules (decide, strategies/).

import type { GuestSetup } from './guest-setup.ts';
import type { Flavor, GroupName, Image, PlacementRules, ReadyCheck } from './model.ts';

/**
 * "While the group's mean CPU has been above (below) N percent for `forMs`, add (remove) M VMs."
 * An `out` rule waits `cooldownMs` after the last scale-out; an `in` rule after the last scaling in either direction.
 */
export interface ThresholdRule {
  readonly name: string;
  readonly type: 'threshold';
  readonly metric: 'cpu';
  readonly direction: 'out' | 'in';
  /** Percent of the group's vCPUs in use, 0–100. Crossed when strictly above (out) or strictly below (in). */
  readonly thresholdPercent: number;
  readonly forMs: number;
  /** VMs to add or remove, a positive count. */
  readonly by: number;
  readonly cooldownMs: number;
}

export type ScaleRule = ThresholdRule;

/** New VMs are made from this. */
export interface Template {
  readonly image: Image;
  readonly flavor: Flavor;
  readonly ready: ReadyCheck;
  /** Told to each guest by cloud-init, with its name. */
  readonly setup?: GuestSetup;
}

/** A domain that exists already and is only started and shut down. */
export interface ListedDomain {
  readonly name: string;
  /** Where it answers; absent: asked from libvirt (DHCP lease or guest agent). */
  readonly address?: string;
}

/** Where a group's VMs come from. Listed domains start in the order of the list: first defined, first started. */
export type Source =
  | { readonly kind: 'template'; readonly template: Template }
  | { readonly kind: 'domains'; readonly domains: readonly ListedDomain[]; readonly ready: ReadyCheck };

export interface Policy {
  readonly group: GroupName;
  readonly min: number;
  readonly max: number;
  readonly source: Source;
  readonly rules: readonly ScaleRule[];
  /** Which host takes the next VM (core/placement). Absent: as the configuration says. */
  readonly placement?: PlacementRules;
  /** A VM that is not ready this long after its launch began is removed and counted as a failed launch. */
  readonly launchDeadlineMs: number;
  /** Between `vm.draining` and the shutdown: clients finish what they have under way. */
  readonly drainGraceMs: number;
  /** Between the polite shutdown and pulling the plug. */
  readonly shutdownDeadlineMs: number;
}
