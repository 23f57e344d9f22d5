// The image catalog: configured, imported and uploaded images, their way into the daemon's store, and their end on the hosts.
// Not here: where bytes lie (ports/image-store), bringing them to a host for a VM (executors).

import type { CatalogImage, ImageSource } from '../core/catalog.ts';
import type { HostName, Image, ImageContent } from '../core/model.ts';
import type { Operation, Progress } from '../core/operation.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { earlier, type FabricParts, refuse, stampOf } from './fabric-parts.ts';
import { type FetchedSource, forget, given, ImageIntake, putImage, type TakeIn } from './image-intake.ts';
import type { LedgerState } from './ledger.ts';
import { failed, moveTo } from './operations.ts';
import { ownerOfImage, shutOut } from './users.ts';
import type { Caller, CommandResult } from './view.ts';

/** An image that the configuration names. */
export interface ConfiguredImage {
  readonly name: string;
  readonly source: Exclude<ImageSource, { kind: 'upload' }>;
  readonly format?: Image['format'];
  readonly sha256?: string;
  /** What a `host` image is; others are found out. */
  readonly image?: Image;
}

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/;
const IMAGES_MAX = 10_000;
/** As the owner of what the configuration asks for. */
const CONFIGURATION: Caller = { owner: 'configuration' };
const SWEEP_DEADLINE_MS = 20_000;

export class Images {
  readonly #parts: FabricParts;
  readonly #store: ImageStore;
  /** Called when a policy may name an image that it could not name before. */
  readonly #onReady: () => void;
  readonly #isUsedByPolicy: (name: string) => boolean;
  readonly #intake: ImageIntake;
  /** Configured images come one after the other, while the daemon goes on. */
  #fetching: Promise<void> = Promise.resolve();
  /** Images of ours that lay on each host when last looked. */
  readonly #placed = new Map<HostName, ReadonlySet<string>>();

  constructor(parts: FabricParts, store: ImageStore, onReady: () => void, isUsedByPolicy: (name: string) => boolean) {
    this.#parts = parts;
    this.#store = store;
    this.#intake = new ImageIntake(parts, store, onReady);
    this.#onReady = onReady;
    this.#isUsedByPolicy = isUsedByPolicy;
  }

  /** What policies and requests may name now. */
  get ready(): readonly Image[] {
    return [...this.#parts.ledger.state.images.values()].flatMap(({ image }) => image ?? []);
  }

  progressOf(operationId: string): Progress | undefined {
    return this.#intake.progressOf(operationId);
  }

  hostsWith(content: ImageContent): readonly HostName[] {
    return [...this.#placed].flatMap(([host, shas]) => (shas.has(content.sha256) ? [host] : []));
  }

  read(content: ImageContent, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#store.read(content, signal);
  }

  /**
   * Brings the catalog in step with the configuration: what is new is fetched in the background, what was fetched before and is still
   * there is not fetched again; what the configuration no longer names stays until somebody deletes it. Then takes up or gives up
   * what an earlier daemon left half done.
   */
  async configure(images: readonly ConfiguredImage[]): Promise<void> {
    const { clock, ledger } = this.#parts;
    for (const operation of [...ledger.state.operations.values()]) {
      if (operation.kind !== 'image.import' && operation.kind !== 'image.upload') continue;
      const detail = 'the daemon ended while the image was coming in; ask for it again';
      const failure = failed('interrupted', detail);
      await ledger.change((state) => ({
        ...moveTo(operation, 'failed', stampOf(clock), detail, { failure }),
        ...forget(state, operation),
      }));
    }
    const named = new Set(images.map(({ name }) => name));
    await ledger.change((state) => ({
      putImages: [...state.images.values()]
        .filter((image) => image.configured && !named.has(image.name))
        .map((image) => ({ ...image, configured: false })),
    }));
    for (const image of images) await this.#configureOne(image);
  }

  async #configureOne(wanted: ConfiguredImage): Promise<void> {
    const { clock, ledger } = this.#parts;
    const { name, source } = wanted;
    const known = ledger.state.images.get(name);
    const same = known !== undefined && JSON.stringify(known.source) === JSON.stringify(source);
    const content = known?.image?.content;
    if (same && content !== undefined && (await this.#store.has(content))) {
      if (!known.configured) await ledger.change(() => ({ putImages: [{ ...known, configured: true }] }));
      return;
    }
    const { kind } = source;
    const entry = { name, source, addedAt: known?.addedAt ?? clock.wall(), configured: true };
    if (kind === 'host' || kind === 'built') {
      const image = wanted.image ?? (same ? known.image : undefined);
      await ledger.change((state) =>
        putImage(state, { ...entry, state: image ? 'ready' : 'importing', ...(image && { image }) }),
      );
      return;
    }
    const operation = await this.#intake.begin('image.import', { ...entry, state: 'importing' }, CONFIGURATION);
    this.#fetching = this.#fetching.then(() => this.#intake.fetch(operation, entry, source, wanted));
  }

  /** An image that virtscale has built itself is there now. */
  async provide(image: Image): Promise<void> {
    const { clock, ledger } = this.#parts;
    await ledger.change((state) => {
      const known = state.images.get(image.name);
      const entry = known ?? { name: image.name, source: { kind: 'built' }, addedAt: clock.wall(), configured: true };
      return putImage(state, { ...entry, state: 'ready', image });
    });
    this.#onReady();
  }

  async import(
    name: string,
    source: FetchedSource | Extract<ImageSource, { kind: 'host' }>,
    take: TakeIn,
    caller: Caller,
  ): Promise<CommandResult<Operation>> {
    const { clock, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    const refused = this.#refusal(name, caller);
    if (refused !== undefined) return refused;
    const whose = ownerOfImage(ledger.state, caller.owner);
    const entry = { name, source, addedAt: clock.wall(), configured: false, ...whose };
    const operation = await this.#intake.begin('image.import', { ...entry, state: 'importing' }, caller);
    if (source.kind !== 'host') {
      void this.#intake.fetch(operation, entry, source, take);
      return { ok: true, value: operation };
    }
    const image: Image = { name, format: take.format ?? 'qcow2', path: source.path };
    let ended: Operation = operation;
    await ledger.change((state) => {
      const done = moveTo(operation, 'succeeded', stampOf(clock), `noted: it lies on every host at ${source.path}`);
      ended = done.putOperations[0] ?? operation;
      return { ...done, ...putImage(state, { ...entry, state: 'ready', image }) };
    });
    this.#onReady();
    return { ok: true, value: ended };
  }

  async upload(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    take: TakeIn & { readonly signal: AbortSignal },
    caller: Caller,
  ): Promise<CommandResult<CatalogImage>> {
    const { clock, ledger } = this.#parts;
    const refused = this.#refusal(name, caller);
    if (refused !== undefined) return refused;
    const whose = ownerOfImage(ledger.state, caller.owner);
    const entry = { name, source: { kind: 'upload' } as const, addedAt: clock.wall(), configured: false, ...whose };
    const operation = await this.#intake.begin('image.upload', { ...entry, state: 'importing' }, caller);
    const failure = await this.#intake.take(operation, entry, take.signal, (options) =>
      this.#store.take(bytes, { ...options, ...given(take) }),
    );
    const image = ledger.state.images.get(name);
    if (failure === undefined && image !== undefined) return { ok: true, value: image };
    return refuse('invalid', failure ?? `image ${name} was removed while it came in`, 'body');
  }

  async remove(name: string): Promise<CommandResult<undefined>> {
    const { ledger } = this.#parts;
    let result: CommandResult<undefined> = refuse('not-found', `there is no image ${name}`);
    let sha256: string | undefined;
    await ledger.change((state) => {
      const known = state.images.get(name);
      if (known === undefined) return undefined;
      const users = [...state.vms.values()].filter(({ image }) => image?.name === name).map((vm) => vm.name);
      const waits = [...state.operations.values()].some(
        ({ create, image }) => image === name || create?.awaitsImage === name || create?.image?.name === name,
      );
      const reason = known.configured
        ? 'it stands in the configuration: take it out there'
        : users.length > 0
          ? `VMs were made from it: ${users.slice(0, 10).join(', ')}`
          : waits
            ? 'an operation under way is about it'
            : this.#isUsedByPolicy(name)
              ? 'a policy makes VMs from it'
              : undefined;
      result =
        reason === undefined ? { ok: true, value: undefined } : refuse('conflict', `image ${name} stays: ${reason}`);
      if (reason !== undefined) return undefined;
      const content = known.image?.content;
      const others = [...state.images.values()].some(
        (other) => other.name !== name && other.image?.content?.sha256 === content?.sha256,
      );
      if (content !== undefined && !others) sha256 = content.sha256;
      const { owner } = known;
      const removed = { type: 'image.removed', image: name, ...(owner !== undefined && { owner }) } as const;
      return { deleteImages: [name], events: [removed] };
    });
    if (sha256 !== undefined) await this.#store.remove(sha256);
    return result;
  }

  /** Ends an import or upload under way. False: there is none of this id. */
  cancel(operationId: string): boolean {
    return this.#intake.cancel(operationId);
  }

  /** Looks what lies on the hosts, and removes there what nothing refers to any more. */
  async sweep(): Promise<void> {
    const { clock, hosts, ledger, log, signal } = this.#parts;
    for (const host of hosts.values()) {
      if (signal.aborted) return;
      if (host.view().state !== 'up') continue;
      try {
        const there = await clock.deadline(SWEEP_DEADLINE_MS, (inner) => host.hypervisor.listImages(inner), signal);
        const left = new Set(there.map(({ sha256 }) => sha256));
        for (const sha256 of [...left].filter((one) => !this.#isNeeded(ledger.state, one))) {
          await clock.deadline(SWEEP_DEADLINE_MS, (inner) => host.hypervisor.removeImage(sha256, inner), signal);
          left.delete(sha256);
          await ledger.tell({ type: 'image.unplaced', sha256, host: host.name });
        }
        this.#placed.set(host.name, left);
      } catch (error) {
        log.debug(
          { err: error, host: host.name },
          'looking after the images of a host failed; it is tried again later',
        );
      }
    }
  }

  /** A VM's image has just been brought to its host. */
  notePlaced(host: HostName, { content, name }: Image): void {
    const there = this.#placed.get(host) ?? new Set<string>();
    if (content === undefined || there.has(content.sha256)) return;
    this.#placed.set(host, new Set([...there, content.sha256]));
    const { ledger, log } = this.#parts;
    ledger.tell({ type: 'image.placed', image: name, host }).catch((error: unknown) => {
      log.warn({ err: error, image: name, host }, 'that an image was brought to a host could not be told');
    });
  }

  #isNeeded(state: LedgerState, sha256: string): boolean {
    return (
      [...state.images.values()].some(({ image }) => image?.content?.sha256 === sha256) ||
      [...state.vms.values()].some(({ image }) => image?.content?.sha256 === sha256) ||
      [...state.operations.values()].some(({ create }) => create?.image?.content?.sha256 === sha256)
    );
  }

  #refusal(name: string, { owner }: Caller) {
    const { ledger } = this.#parts;
    const out = shutOut(ledger.state, owner);
    if (out !== undefined) return out;
    if (!NAME.test(name)) {
      const reason =
        'a name has 1 to 100 letters a–z, digits, dots, hyphens and underscores, and begins and ends with a letter or digit';
      return refuse('invalid', reason, 'name');
    }
    const { images } = ledger.state;
    if (images.size >= IMAGES_MAX) return refuse('too-many', `there are ${images.size} images; delete some first`);
    const known = images.get(name);
    // A failed one may be had again by whoever has it, and by nobody else.
    const isHis = known?.owner === ownerOfImage(ledger.state, owner).owner;
    if (known === undefined || (known.state === 'failed' && isHis)) return undefined;
    return refuse('conflict', `there is an image ${name} already; delete it first, or use another name`, 'name');
  }
}
