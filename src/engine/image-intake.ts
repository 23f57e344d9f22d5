// One image on its way into the daemon's store: the operation that brings it, how far it has come, and how it ends.
// Not here: which images there are and which may go (images), where bytes lie (ports/image-store).

import type { CatalogImage, ImageSource } from '../core/catalog.ts';
import type { Image } from '../core/model.ts';
import type { Operation, OperationKind, Progress } from '../core/operation.ts';
import { isFault } from '../ports/fault.ts';
import type { ImageStore, TakenImage } from '../ports/image-store.ts';
import { type FabricParts, kept, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { nextNumber } from './numbers.ts';
import { begin, failed, moveTo } from './operations.ts';
import type { Caller } from './view.ts';

/** What is said of an image beforehand; found out where it is not. */
export interface TakeIn {
  readonly format?: Image['format'];
  readonly sha256?: string;
}

export type FetchedSource = Extract<ImageSource, { kind: 'path' | 'url' | 'ssh' }>;

export class ImageIntake {
  readonly #parts: FabricParts;
  readonly #store: ImageStore;
  readonly #onReady: () => void;
  readonly #taking = new Map<string, { readonly abort: AbortController; progress: Progress }>();

  /** `onReady` is called whenever an image can be used that could not before. */
  constructor(parts: FabricParts, store: ImageStore, onReady: () => void) {
    this.#parts = parts;
    this.#store = store;
    this.#onReady = onReady;
  }

  progressOf(operationId: string): Progress | undefined {
    return this.#taking.get(operationId)?.progress;
  }

  /** Ends what is under way. False: there is nothing of this id. */
  cancel(operationId: string): boolean {
    const taking = this.#taking.get(operationId);
    taking?.abort.abort();
    return taking !== undefined;
  }

  /** The image in the catalog, `importing`, with the operation that brings it. */
  async begin(kind: OperationKind, entry: CatalogImage, caller: Caller): Promise<Operation> {
    const { clock, ids, ledger } = this.#parts;
    const { operation, event } = begin(
      { id: ids.uuid(), kind, state: 'running', vms: [], image: entry.name },
      caller,
      stampOf(clock),
      `image ${entry.name} is coming in`,
    );
    await ledger.change((state) => {
      const put = putImage(state, entry);
      return { ...put, putOperations: [operation], events: [event, ...(put.events ?? [])] };
    });
    return operation;
  }

  async fetch(
    operation: Operation,
    entry: Omit<CatalogImage, 'state'>,
    source: FetchedSource,
    take: TakeIn,
  ): Promise<void> {
    const { signal } = this.#parts;
    await this.take(operation, entry, signal, (options) => this.#store.fetch(source, { ...options, ...given(take) }));
  }

  /** Runs a taking-in to its end and keeps what came of it. Returns why it failed. */
  async take(
    operation: Operation,
    entry: Omit<CatalogImage, 'state'>,
    signal: AbortSignal,
    work: (options: {
      readonly name: string;
      readonly onBytes: (bytes: number, total: number | undefined) => void;
      readonly signal: AbortSignal;
    }) => Promise<TakenImage>,
  ): Promise<string | undefined> {
    const { clock, ledger, log } = this.#parts;
    const { name } = entry;
    const abort = new AbortController();
    const text = `image ${name}`;
    const taking = { abort, progress: { done: 0, unit: 'bytes', text } as Progress };
    this.#taking.set(operation.id, taking);
    const onBytes = (done: number, total: number | undefined): void => {
      taking.progress = { done, unit: 'bytes', text, ...(total !== undefined && { total }) };
    };
    try {
      const taken = await work({ name, onBytes, signal: AbortSignal.any([signal, this.#parts.signal, abort.signal]) });
      const { content, format } = taken;
      await ledger.change((state) => {
        const change = moveTo(operation, 'succeeded', stampOf(clock), `image ${name} is ready`);
        const put = putImage(state, { ...entry, state: 'ready', image: { name, format, content } });
        return { ...put, ...change, events: [...(put.events ?? []), ...change.events] };
      });
      this.#onReady();
      return undefined;
    } catch (error) {
      if (this.#parts.signal.aborted) return 'the daemon is stopping';
      const gone = signal.aborted && !abort.signal.aborted;
      const detail = gone ? 'whoever sent it went away' : error instanceof Error ? messageOf(error) : String(error);
      if (!isFault(error)) log.error({ err: error, image: name }, 'an image could not be taken in');
      await this.#giveUp(operation, entry, abort.signal.aborted || gone ? 'cancelled' : 'failed', detail);
      return detail;
    } finally {
      this.#taking.delete(operation.id);
    }
  }

  async #giveUp(
    operation: Operation,
    entry: Omit<CatalogImage, 'state'>,
    state: 'failed' | 'cancelled',
    detail: string,
  ): Promise<void> {
    const { clock, ledger, log } = this.#parts;
    const change = (now: LedgerState): Change => {
      const fields = state === 'failed' ? { failure: failed('failed', detail) } : {};
      const moved = moveTo(operation, state, stampOf(clock), `${state}: ${detail}`, fields);
      // A failed upload leaves nothing; what the configuration wants stays in the list, with the reason.
      if (!entry.configured) return { ...moved, ...forget(now, operation) };
      return { ...moved, putImages: [{ ...entry, state: 'failed', reason: detail }] };
    };
    await kept(this.#parts, () => ledger.change(change));
    if (state === 'failed') log.warn({ image: entry.name, reason: detail }, 'an image could not be had');
  }
}

/** An image in the catalog, with a number, and told of when it can be used. */
export function putImage(state: Pick<LedgerState, 'numbers'>, image: CatalogImage): Change {
  const number = nextNumber(state.numbers, 'image', image.name);
  const content = image.image?.content;
  const added = content && {
    type: 'image.added' as const,
    image: image.name,
    sha256: content.sha256,
    fileBytes: content.fileBytes,
    ...(image.owner !== undefined && { owner: image.owner }),
  };
  return { putImages: [image], ...(number && { putNumbers: [number] }), ...(added && { events: [added] }) };
}

/** What an image that did not come in leaves in the catalog: nothing, or why, where the configuration wants it. */
export function forget(state: LedgerState, { image }: Operation): Change {
  const known = image === undefined ? undefined : state.images.get(image);
  if (known === undefined || known.state === 'ready') return {};
  return known.configured
    ? { putImages: [{ ...known, state: 'failed', reason: 'it was broken off' }] }
    : { deleteImages: [known.name] };
}

export function given({ format, sha256 }: TakeIn): TakeIn {
  return { ...(format !== undefined && { format }), ...(sha256 !== undefined && { sha256 }) };
}

function messageOf(error: Error): string {
  const advice = isFault(error) ? error.advice : undefined;
  return advice === undefined ? error.message : `${error.message} (${advice})`;
}
