// Sees to it that groups which want forks have a saved template on every host they may use, at low priority: one at a time per host,
// two in all, and only when nothing is being launched there. Not here: making one (hypervisor), who is forked (core).

import { guestSetup } from '../core/guest-setup.ts';
import type { HostName, HostView } from '../core/model.ts';
import type { Policy, Template } from '../core/policy.ts';
import { portOf } from '../core/ready-check.ts';
import type { Clock } from '../ports/clock.ts';
import { isFault } from '../ports/fault.ts';
import type { SavedTemplate, TemplateSpec } from '../ports/hypervisor.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { Prober } from '../ports/prober.ts';
import type { HostWatch } from './host-watch.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import type { TemplateStatus } from './view.ts';

export interface TemplatesOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly prober: Prober;
  readonly images: Pick<ImageStore, 'read'>;
  readonly hosts: ReadonlyMap<HostName, HostWatch>;
  /** Of the groups that are in force. */
  readonly policies: () => Iterable<Policy>;
}

const TICK_MS = 500;
const AT_ONCE_MAX = 2;
const MAKE_MS = 300_000;
const ASK_MS = 30_000;
/** Keys are asked for again: an upgrade of QEMU changes them. */
const KEY_AGAIN_MS = 60_000;
const RETRY_MIN_MS = 15_000;
const RETRY_MAX_MS = 600_000;
/** A template that no policy has wanted for so long is removed. */
const UNUSED_MS = 600_000;
const PROBE_MS = 200;
const PROBE_AGAIN_MS = 50;

/** What is known of one group's template on one host. */
interface Slot {
  readonly spec: TemplateSpec;
  readonly specKey: string;
  key?: string;
  keyAtMs: number;
  ready: boolean;
  bytes?: number;
  failures: number;
  nextAtMs: number;
  state: TemplateStatus['state'];
  reason?: string;
}

export class Templates {
  readonly #options: TemplatesOptions;
  /** By group and host. */
  readonly #slots = new Map<string, Slot>();
  /** Hosts something is being done on. */
  readonly #busy = new Set<HostName>();
  /** Whole templates by host, with when they were last wanted; absent until the host was asked. */
  readonly #kept = new Map<HostName, Map<string, { readonly bytes: number; wantedAtMs: number }>>();
  /** When a host of which that is not known is asked (again). */
  readonly #lookAtMs = new Map<HostName, number>();

  constructor(options: TemplatesOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.#tick(signal);
      await clock.sleep(TICK_MS, signal);
    }
  }

  /** The template that a VM of this policy is forked from on this host; undefined when it cannot be. */
  keyOf(policy: Policy, host: HostName): string | undefined {
    const slot = this.#slots.get(slotKey(policy.group, host));
    // The policy may have got another template since the slots were last looked at.
    return slot?.ready && slot.specKey === specKeyOf(policy) ? slot.key : undefined;
  }

  hostsOf(policy: Policy): readonly HostName[] {
    return [...this.#options.hosts.keys()].filter((host) => this.keyOf(policy, host) !== undefined);
  }

  statusOf(group: string): readonly TemplateStatus[] {
    return [...this.#options.hosts.keys()].flatMap((host) => {
      const slot = this.#slots.get(slotKey(group, host));
      if (slot === undefined) return [];
      const { key, bytes, reason, state } = slot;
      return [
        {
          host,
          state,
          ...(key !== undefined && { key }),
          ...(bytes !== undefined && { bytes }),
          ...(reason !== undefined && { reason }),
        },
      ];
    });
  }

  /** A fork of it failed: it is removed, and made anew after a while. */
  failed(host: HostName, key: string, reason: string): void {
    const kept = this.#kept.get(host)?.get(key);
    if (kept !== undefined) kept.wantedAtMs = Number.NEGATIVE_INFINITY;
    for (const [name, slot] of this.#slots) {
      if (!name.endsWith(`\n${host}`) || slot.key !== key) continue;
      slot.ready = false;
      slot.state = 'waiting';
      delete slot.key;
      slot.keyAtMs = Number.NEGATIVE_INFINITY;
      this.#postpone(slot, reason);
    }
  }

  #tick(signal: AbortSignal): void {
    const { clock, hosts, policies } = this.#options;
    const nowMs = clock.nowMs();
    const wanted = new Set<string>();
    for (const policy of policies()) {
      const spec = specOf(policy);
      if (spec === undefined) continue;
      for (const [name, watch] of hosts) {
        const view = watch.view();
        if (!mayUse(policy, view)) continue;
        const id = slotKey(policy.group, name);
        wanted.add(id);
        const specKey = specKeyOf(policy);
        let slot = this.#slots.get(id);
        if (slot?.specKey !== specKey) {
          slot = { spec, specKey, keyAtMs: -Infinity, ready: false, failures: 0, nextAtMs: 0, state: 'waiting' };
          this.#slots.set(id, slot);
        }
        if (slot.key !== undefined) this.#noteWanted(name, slot.key, nowMs);
        this.#consider(policy, watch, view, slot, nowMs, signal);
      }
    }
    for (const id of this.#slots.keys()) if (!wanted.has(id)) this.#slots.delete(id);
    for (const watch of hosts.values()) this.#removeUnused(watch, nowMs, signal);
  }

  #consider(policy: Policy, watch: HostWatch, view: HostView, slot: Slot, nowMs: number, signal: AbortSignal): void {
    const { name } = watch;
    if (view.state !== 'up' || this.#busy.has(name) || nowMs < slot.nextAtMs) return;
    if (nowMs - slot.keyAtMs > KEY_AGAIN_MS) {
      void this.#work(watch, slot, () => this.#askKey(watch, slot, signal), signal);
      return;
    }
    if (slot.ready || this.#busy.size >= AT_ONCE_MAX) return;
    const waits = this.#waitsFor(policy, view);
    slot.state = waits === undefined ? 'making' : 'waiting';
    if (waits === undefined) delete slot.reason;
    else slot.reason = waits;
    if (waits === undefined) void this.#work(watch, slot, () => this.#make(policy.group, watch, slot, signal), signal);
  }

  /** Why now is not the time, in words for people. */
  #waitsFor({ group, source }: Policy, view: HostView): string | undefined {
    if (source.kind !== 'template') return 'the group has no template';
    const vms = [...this.#options.ledger.state.vms.values()];
    if (vms.some((vm) => vm.phase === 'launching' && vm.host === view.name)) return 'VMs are being launched there';
    if (vms.some((vm) => vm.phase === 'launching' && vm.group === group)) return 'the group is launching VMs';
    const freeMiB = view.last?.capacity.memoryFreeMiB ?? 0;
    const needMiB = source.template.flavor.memoryMiB;
    if (freeMiB < needMiB)
      return `host ${view.name} has ${freeMiB} MiB free, and booting the template takes ${needMiB}`;
    return undefined;
  }

  async #work(watch: HostWatch, slot: Slot, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#busy.add(watch.name);
    try {
      await work();
    } catch (error) {
      if (signal.aborted) return;
      const { log } = this.#options;
      if (!isFault(error)) log.error({ err: error, host: watch.name }, 'a bug: work on a template failed');
      const reason = error instanceof Error ? error.message : String(error);
      slot.state = isFault(error, 'refused') ? 'impossible' : 'waiting';
      this.#postpone(slot, reason);
    } finally {
      this.#busy.delete(watch.name);
    }
  }

  #postpone(slot: Slot, reason: string): void {
    slot.failures += 1;
    slot.reason = reason;
    slot.nextAtMs = this.#options.clock.nowMs() + Math.min(RETRY_MIN_MS * 2 ** (slot.failures - 1), RETRY_MAX_MS);
  }

  async #askKey({ hypervisor, name }: HostWatch, slot: Slot, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const ask = async (inner: AbortSignal) =>
      [await hypervisor.templateKey(slot.spec, inner), await hypervisor.listTemplates(inner)] as const;
    const [key, listed] = await clock.deadline(ASK_MS, ask, signal);
    const nowMs = clock.nowMs();
    this.#noteListed(name, listed, nowMs);
    const found = listed.find((one) => one.key === key);
    slot.key = key;
    slot.keyAtMs = nowMs;
    slot.ready = found !== undefined;
    if (found === undefined) return;
    slot.bytes = found.bytes;
    slot.state = 'ready';
    delete slot.reason;
  }

  async #make(group: string, { hypervisor, name }: HostWatch, slot: Slot, signal: AbortSignal): Promise<void> {
    const { clock, images, ledger, prober } = this.#options;
    const { spec } = slot;
    const begunAtMs = clock.nowMs();
    const isReady = async (endpoint: { address: string; port: number } | undefined, inner: AbortSignal) => {
      const { ready } = spec;
      while (!inner.aborted) {
        // Without a port there is nothing but the agent, which whoever makes the template asks for itself.
        if ('agent' in ready || endpoint === undefined || portOf(ready) === undefined) return true;
        if (await prober.probe(endpoint, ready, PROBE_MS, inner)) return true;
        await clock.sleep(PROBE_AGAIN_MS, inner);
      }
      return false;
    };
    const make = async (inner: AbortSignal) => {
      const { content } = spec.image;
      if (content !== undefined) {
        const image = { ...spec.image, content };
        await hypervisor.placeImage(
          image,
          (reading) => images.read(content, reading),
          () => undefined,
          inner,
        );
      }
      return hypervisor.makeTemplate(spec, isReady, inner);
    };
    try {
      const saved = await clock.deadline(MAKE_MS, make, signal);
      slot.key = saved.key;
      slot.bytes = saved.bytes;
      slot.failures = 0;
      slot.ready = true;
      slot.state = 'ready';
      delete slot.reason;
      this.#noteWanted(name, saved.key, clock.nowMs(), saved.bytes);
      const tookMs = Math.round(clock.nowMs() - begunAtMs);
      await ledger.tell({ type: 'template.ready', group, host: name, template: saved.key, tookMs });
    } catch (error) {
      if (!signal.aborted && isFault(error) && slot.failures === 0) {
        await ledger.tell({ type: 'template.failed', group, host: name, reason: error.message }).catch(() => undefined);
      }
      throw error;
    }
  }

  #noteWanted(host: HostName, key: string, nowMs: number, bytes?: number): void {
    const kept = this.#kept.get(host);
    const known = kept?.get(key);
    if (known !== undefined) known.wantedAtMs = nowMs;
    else if (bytes !== undefined) kept?.set(key, { bytes, wantedAtMs: nowMs });
  }

  #removeUnused(watch: HostWatch, nowMs: number, signal: AbortSignal): void {
    if (watch.view().state !== 'up' || this.#busy.has(watch.name)) return;
    const kept = this.#kept.get(watch.name);
    if (kept === undefined) {
      // No group asks for forks there; an earlier daemon may have left some all the same.
      if (nowMs < (this.#lookAtMs.get(watch.name) ?? 0)) return;
      this.#lookAtMs.set(watch.name, nowMs + KEY_AGAIN_MS);
      void this.#look(watch, signal);
      return;
    }
    const unused = [...kept].find(([, { wantedAtMs }]) => nowMs - wantedAtMs > UNUSED_MS);
    if (unused === undefined) return;
    const [key, entry] = unused;
    // Should it fail, it is tried again when it has been unused for as long once more.
    entry.wantedAtMs = nowMs;
    void this.#remove(watch, key, kept, signal);
  }

  async #look({ hypervisor, name }: HostWatch, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    this.#busy.add(name);
    try {
      const listed = await clock.deadline(ASK_MS, (inner) => hypervisor.listTemplates(inner), signal);
      this.#noteListed(name, listed, clock.nowMs());
    } catch (error) {
      if (!signal.aborted) log.debug({ err: error, host: name }, 'it cannot be seen yet which templates are there');
    } finally {
      this.#busy.delete(name);
    }
  }

  #noteListed(host: HostName, listed: readonly SavedTemplate[], nowMs: number): void {
    const before = this.#kept.get(host);
    const kept = listed.map(
      ({ bytes, key }) => [key, { bytes, wantedAtMs: before?.get(key)?.wantedAtMs ?? nowMs }] as const,
    );
    this.#kept.set(host, new Map(kept));
  }

  async #remove(watch: HostWatch, key: string, kept: Map<string, unknown>, signal: AbortSignal): Promise<void> {
    const { clock, ledger, log } = this.#options;
    this.#busy.add(watch.name);
    try {
      await clock.deadline(ASK_MS, (inner) => watch.hypervisor.removeTemplate(key, inner), signal);
      kept.delete(key);
      const reason = 'no policy wants it, or a fork of it failed';
      await ledger.tell({ type: 'template.removed', host: watch.name, template: key, reason });
    } catch (error) {
      if (!signal.aborted)
        log.debug({ err: error, host: watch.name, template: key }, 'a template cannot be removed yet');
    } finally {
      this.#busy.delete(watch.name);
    }
  }
}

function slotKey(group: string, host: HostName): string {
  return `${group}\n${host}`;
}

/** Policies never change: another one takes their place. */
const specKeys = new WeakMap<Policy, string>();

function specKeyOf(policy: Policy): string {
  const known = specKeys.get(policy);
  if (known !== undefined) return known;
  const key = JSON.stringify(specOf(policy) ?? null);
  specKeys.set(policy, key);
  return key;
}

function specOf({ capacity, mode, source }: Policy): TemplateSpec | undefined {
  if (!capacity.fork || mode !== 'act' || source.kind !== 'template') return undefined;
  return templateSpec(source.template);
}

/** Forks of groups with the same image, flavor, check and setup share a template. */
function templateSpec({ flavor, image, ready, setup }: Template): TemplateSpec {
  const cloudInit = guestSetup('virtscale-template', image, setup);
  return { image, flavor, ready, ...(cloudInit && { cloudInit }) };
}

function mayUse({ placement = {} }: Policy, { name, traits }: HostView): boolean {
  if (placement.host !== undefined && placement.host !== name) return false;
  if (traits?.cordoned !== undefined) return false;
  return Object.entries(placement.labels ?? {}).every(([label, value]) => traits?.labels[label] === value);
}
