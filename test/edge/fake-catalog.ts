// What the fake engine has beside hosts and VMs: images, flavors, operations, tokens; and how its commands are counted and refused.
// Not here: hosts and VMs (fake-fabric), groups and history (fake-engine), how operations go on (fake-operations).

import { createHash } from 'node:crypto';
import type { Token } from '../../src/core/catalog.ts';
import type {
  Caller,
  CommandResult,
  Fabric,
  FlavorStatus,
  ImageStatus,
  OperationQuery,
  OperationStatus,
  Tokens,
  VmStatus,
} from '../../src/engine/view.ts';
import { FakeOperations, type Step } from './fake-operations.ts';
import { FakeAudit, FakeUsers, type FakeUsersOptions } from './fake-users.ts';
import type { MemoryEventLog } from './memory-event-log.ts';
import { anImage, clock, FLAVORS, NOW_MS } from './pictures.ts';

export type Refusal = Extract<CommandResult<never>, { ok: false }>;

export interface FakeCatalogParts extends Pick<FakeUsersOptions, 'users' | 'signUp'> {
  readonly images?: readonly ImageStatus[];
  readonly flavors?: readonly FlavorStatus[];
  readonly tokens?: readonly Token[];
}

export abstract class FakeCatalog {
  readonly work: FakeOperations;
  readonly commands: string[] = [];
  /** Called by every command before it takes effect. */
  beforeCommand: () => Promise<void> = () => Promise.resolve();
  /** What every command answers as long as it is set. */
  refusal: Refusal | undefined;
  protected readonly events: MemoryEventLog;
  readonly #images: Map<string, ImageStatus>;
  readonly #flavors: readonly FlavorStatus[];
  readonly #tokens: Map<string, Token>;
  readonly users: FakeUsers;
  readonly audit = new FakeAudit();
  #nextImageId: number;

  constructor(
    { images = [anImage()], flavors = FLAVORS, tokens = [], users = [], signUp }: FakeCatalogParts,
    events: MemoryEventLog,
  ) {
    this.events = events;
    this.work = new FakeOperations(events);
    this.#images = new Map(images.map((image) => [image.name, image]));
    this.#flavors = flavors;
    this.#tokens = new Map(tokens.map((token) => [token.name, token]));
    this.#nextImageId = Math.max(0, ...images.map(({ id }) => id)) + 1;
    this.users = new FakeUsers({
      users,
      ...(signUp !== undefined && { signUp }),
      usedBy: (name) => ({ vms: this.vms().filter(({ record }) => record.owner === name).length }),
      onGone: (user, { signInsOnly, but }) => {
        for (const token of [...this.#tokens.values()]) {
          if (token.user === user && token.name !== but && (token.signIn || !signInsOnly))
            this.#tokens.delete(token.name);
        }
      },
    });
  }

  abstract vms(): readonly VmStatus[];

  images(): readonly ImageStatus[] {
    return [...this.#images.values()];
  }

  image(name: string): ImageStatus | undefined {
    return this.#images.get(name);
  }

  importImage(
    name: string,
    source: Parameters<Fabric['importImage']>[1],
    options: Parameters<Fabric['importImage']>[2],
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    return this.command(`import ${name} ${JSON.stringify(source)}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      if (this.image(name) !== undefined) return { ...conflict(`there is an image ${name}`), where: 'name' };
      const format = options.format ?? 'qcow2';
      const begun: ImageStatus = {
        id: this.#nextImageId++,
        name,
        source,
        state: 'importing',
        addedAt: clock.wallOf(NOW_MS),
        configured: false,
        hosts: [],
        vms: 0,
      };
      this.#images.set(name, begun);
      const fetching: Step = () => ({ progress: { done: 512, total: 1024, unit: 'bytes', text: 'fetching' } });
      const finish: Step = () => {
        const content = { sha256: options.sha256 ?? '0'.repeat(64), fileBytes: 1024, virtualBytes: 4096 };
        this.#images.set(name, { ...begun, state: 'ready', image: { name, format, content } });
        return { state: 'succeeded', progress: { done: 1024, total: 1024, unit: 'bytes', text: 'checked' } };
      };
      const operation = { kind: 'image.import' as const, state: 'running' as const, image: name };
      const undo = (): void => void this.#images.delete(name);
      return { ok: true, value: this.work.begin(operation, caller, [fetching, finish], undo) };
    });
  }

  async uploadImage(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly format?: 'qcow2' | 'raw'; readonly sha256?: string; readonly signal: AbortSignal },
    _caller: Caller,
  ): Promise<CommandResult<ImageStatus>> {
    const begun = await this.command(`upload ${name}`, (): CommandResult<undefined> => {
      if (this.image(name) !== undefined) return conflict(`there is an image ${name}`);
      return { ok: true, value: undefined };
    });
    if (!begun.ok) return begun;
    const id = this.#nextImageId++;
    const base = { id, name, source: { kind: 'upload' as const }, addedAt: clock.wallOf(NOW_MS), configured: false };
    this.#images.set(name, { ...base, state: 'importing', hosts: [], vms: 0 });
    const hash = createHash('sha256');
    let fileBytes = 0;
    try {
      for await (const chunk of bytes) {
        options.signal.throwIfAborted();
        hash.update(chunk);
        fileBytes += chunk.byteLength;
        await this.onUpload(fileBytes);
      }
      options.signal.throwIfAborted();
    } catch (error) {
      this.#images.delete(name);
      throw error;
    }
    const sha256 = hash.digest('hex');
    if (options.sha256 !== undefined && options.sha256 !== sha256) {
      this.#images.delete(name);
      return {
        ok: false,
        refused: 'invalid',
        reason: `the checksum is ${sha256}, not ${options.sha256}`,
        where: 'sha256',
      };
    }
    const content = { sha256, fileBytes, virtualBytes: fileBytes };
    const image = { name, format: options.format ?? 'raw', content };
    const ready: ImageStatus = { ...base, state: 'ready', image, hosts: [], vms: 0 };
    this.#images.set(name, ready);
    this.events.append({ type: 'image.added', image: name, sha256, fileBytes });
    return { ok: true, value: ready };
  }

  /** After each piece of an upload: a test holds it here to be a slow disk. */
  onUpload: (bytes: number) => Promise<void> = () => Promise.resolve();

  deleteImage(name: string, _caller: Caller): Promise<CommandResult<undefined>> {
    return this.command(`delete image ${name}`, () => {
      const image = this.image(name);
      if (image === undefined) return notFound(`there is no image ${name}`);
      if (image.configured) return conflict(`the image ${name} stands in the configuration`);
      if (this.vms().some(({ record }) => record.image?.name === name)) return conflict(`VMs use the image ${name}`);
      this.#images.delete(name);
      this.events.append({ type: 'image.removed', image: name });
      return { ok: true, value: undefined };
    });
  }

  flavors(): readonly FlavorStatus[] {
    return this.#flavors;
  }

  async operation(id: string): Promise<OperationStatus | undefined> {
    return this.work.get(id);
  }

  async operations(query: OperationQuery): Promise<readonly OperationStatus[]> {
    return this.work.list(query);
  }

  cancel(id: string, _caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.command(`cancel ${id}`, () => this.work.cancel(id));
  }

  ended(id: string, timeoutMs: number, signal?: AbortSignal): Promise<OperationStatus | undefined> {
    return this.work.ended(id, timeoutMs, signal);
  }

  get tokens(): Tokens {
    const all = this.#tokens;
    return {
      all: [...all.values()],
      find: (sha256) =>
        [...all.values()].find(
          (token) =>
            token.sha256 === sha256 && !(token.expiresAt !== undefined && Date.parse(token.expiresAt) <= Date.now()),
        ),
      add: (token) =>
        this.command(`add token ${token.name} ${token.scope}`, () => {
          const name = token.user === undefined ? token.name : `${token.user}/${token.name}`;
          if (all.has(name)) return { ...conflict(`there is a token ${token.name}`), where: 'name' };
          const whole = { ...token, name, createdAt: clock.wallOf(NOW_MS) };
          all.set(name, whole);
          return { ok: true, value: whole };
        }),
      remove: (name) =>
        this.command(`remove token ${name}`, () =>
          all.delete(name) ? { ok: true, value: undefined } : notFound(`there is no token ${name}`),
        ),
    };
  }

  protected async command<T>(text: string, work: () => CommandResult<T>): Promise<CommandResult<T>> {
    await this.beforeCommand();
    this.commands.push(text);
    return this.refusal ?? work();
  }
}

export function notFound(reason: string): Refusal {
  return { ok: false, refused: 'not-found', reason };
}

export function conflict(reason: string): Refusal {
  return { ok: false, refused: 'conflict', reason };
}
