// What the engine is made of: everything it reaches the world through. Not here: putting it together (assembly).

import type { HostName } from '../core/model.ts';
import type { Balancer } from '../ports/balancer.ts';
import type { Calendar } from '../ports/calendar.ts';
import type { Clock } from '../ports/clock.ts';
import type { HookCaller } from '../ports/hook-caller.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { Ids } from '../ports/ids.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { Prober } from '../ports/prober.ts';
import type { QuerySource } from '../ports/query-source.ts';
import type { Recorder } from '../ports/recorder.ts';
import type { Store } from '../ports/store.ts';
import type { Log } from './log.ts';
import type { FabricSettings } from './settings.ts';
import type { Telemetry } from './view.ts';

/** Beat of the turns, unless somebody says otherwise. */
export const POLL_MS = 1000;

export interface EngineHost {
  readonly hypervisor: Hypervisor;
  readonly uri: string;
  /** What its number is bound to. Absent: its name. */
  readonly key?: string;
}

export interface EngineOptions {
  readonly hosts: readonly EngineHost[];
  readonly store: Store;
  readonly images: ImageStore;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly prober: Prober;
  readonly hooks: HookCaller;
  readonly calendar: Calendar;
  /** By name. */
  readonly balancers: ReadonlyMap<string, Balancer>;
  /** Absent: no monitoring system is configured. */
  readonly queries?: QuerySource;
  readonly recorder: Recorder;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly version: string;
  readonly settings?: FabricSettings;
  /** Called when an image has become ready: policies may name it now. */
  readonly onImages?: () => void;
  /** Written into the metadata of VMs that policies bring. */
  readonly owner?: string;
  /** Beat of the turns. */
  readonly pollMs?: number;
}

/** Host keys by name: what their numbers are bound to. */
export function keysOf(hosts: readonly EngineHost[]): ReadonlyMap<HostName, string> {
  return new Map(hosts.map(({ hypervisor: { host }, key = host }) => [host, key]));
}
