// The engine's parts, each told of the others. Not here: what they do, when they run (engine).

import type { GroupName } from '../core/model.ts';
import { type EngineOptions, POLL_MS } from './engine-options.ts';
import type { FabricParts } from './fabric-parts.ts';
import { traitsOf } from './host-traits.ts';
import { HostWatch } from './host-watch.ts';
import { Images } from './images.ts';
import type { Ledger } from './ledger.ts';
import { DEFAULT_SETTINGS, type FabricSettings } from './settings.ts';
import { Surroundings } from './surroundings.ts';
import { Turn } from './turn.ts';
import type { LoadedPolicy } from './view.ts';
import { Worker } from './worker.ts';

export interface Assembly {
  readonly parts: FabricParts;
  readonly hosts: readonly HostWatch[];
  readonly policies: Map<GroupName, LoadedPolicy>;
  readonly images: Images;
  readonly surroundings: Surroundings;
  readonly worker: Worker;
  readonly turn: Turn;
  readonly settings: { now: FabricSettings };
  readonly stop: AbortController;
}

export interface Callbacks {
  /** A turn should begin at once. */
  readonly wake: () => void;
  readonly onImages: () => void;
}

export function assemble(options: EngineOptions, ledger: Ledger, callbacks: Callbacks): Assembly {
  const { clock, ids, log, store, telemetry, pollMs = POLL_MS } = options;
  const settings = { now: options.settings ?? DEFAULT_SETTINGS };
  const stop = new AbortController();
  const wantsStats = (uuid: string): boolean => {
    const group = ledger.groupOf(uuid);
    return group !== undefined && surroundings.wantsStats(group);
  };
  const hosts = options.hosts.map(
    ({ hypervisor, uri }, index) =>
      new HostWatch({
        hypervisor,
        uri,
        clock,
        ids,
        telemetry,
        pollDeadlineMs: 5 * pollMs,
        staleAfterMs: 3 * pollMs,
        slowMs: pollMs,
        traits: () => traitsOf(hypervisor.host, index, settings.now, ledger.state.cordons),
        wants: { isWatched: (uuid) => ledger.state.uuids.has(uuid), wantsStats },
      }),
  );
  const byName = new Map(hosts.map((host) => [host.name, host]));
  const policies = new Map<GroupName, LoadedPolicy>();
  const parts: FabricParts = {
    ledger,
    store,
    clock,
    ids,
    log,
    hosts: byName,
    settings: () => settings.now,
    kick: () => worker.kick(),
    signal: stop.signal,
  };
  const isUsedByPolicy = (name: string): boolean =>
    policies
      .values()
      .some(({ policy: { source } }) => source.kind === 'template' && source.template.image.name === name);
  const images = new Images(parts, options.images, callbacks.onImages, isUsedByPolicy);
  const { balancers, calendar, hooks, prober, queries, recorder } = options;
  const surroundings = new Surroundings({
    ledger,
    clock,
    log,
    telemetry,
    prober,
    images,
    hosts: byName,
    balancers,
    calendar,
    policies,
    wake: callbacks.wake,
    ...(queries && { queries }),
  });
  const worker = new Worker({
    ledger,
    clock,
    prober,
    hooks,
    balancing: surroundings.balancing,
    images,
    onForkFailed: (host, template, reason) => surroundings.templates.failed(host, template, reason),
    onImagePlaced: (host, image) => images.notePlaced(host, image),
    telemetry,
    log,
    hosts: byName,
    conduct: (group) => surroundings.conductOf(group),
    random: () => ids.random(),
  });
  const turn = new Turn({
    ledger,
    clock,
    ids,
    telemetry,
    hosts,
    worker,
    owner: options.owner ?? 'policy',
    settings: parts.settings,
    groupView: (policy) => surroundings.groupView(policy),
    unhealthy: (vmId) => surroundings.health.unhealthy(vmId),
    templateOf: (policy, host) => surroundings.templates.keyOf(policy, host),
    candidates: surroundings.candidates,
    onDecided: (decisions) => surroundings.forecasts.note(decisions),
    recorder,
    observeBudgetMs: pollMs / 2,
    staleAfterMs: 3 * pollMs,
  });
  return { parts, hosts, policies, images, surroundings, worker, turn, settings, stop };
}
