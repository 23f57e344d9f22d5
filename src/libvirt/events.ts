/**
 * Domain events: what they look like here, which libvirt event and message each is, and registering them on a session.
 * Queues are in event-queue.ts; surviving a reconnect is the client's part.
 */
import { ConnectionError } from './errors.ts';
import type { BodyOf, MessageName } from './procedures.ts';
import type { CallOptions, Session } from './session.ts';
import { type Domain, type ParamValue, paramsToRecord } from './structs.ts';

const lifecycleNames = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'pmsuspended',
  'crashed',
] as const;
const agentStates = ['unknown', 'connected', 'disconnected'] as const;
const blockJobStatuses = ['completed', 'failed', 'canceled', 'ready'] as const;

/** Something that happened to a domain. `detail`, `reason` and `job` are libvirt's numbers; see constants.ts. */
export type DomainEvent =
  | {
      readonly type: 'lifecycle';
      readonly domain: Domain;
      readonly event: (typeof lifecycleNames)[number] | 'unknown';
      readonly detail: number;
    }
  | { readonly type: 'reboot'; readonly domain: Domain }
  | { readonly type: 'device-removed'; readonly domain: Domain; readonly alias: string }
  | {
      readonly type: 'agent-lifecycle';
      readonly domain: Domain;
      readonly state: (typeof agentStates)[number];
      readonly reason: number;
    }
  | {
      readonly type: 'block-job';
      readonly domain: Domain;
      /** The disk's target, such as `vda`. */
      readonly disk: string;
      readonly job: number;
      readonly status: (typeof blockJobStatuses)[number] | 'unknown';
    }
  | {
      readonly type: 'job-completed';
      readonly domain: Domain;
      readonly params: Readonly<Record<string, ParamValue>>;
    };

export type DomainEventType = DomainEvent['type'];

/**
 * Events may be missing before this point: list everything again. Comes first in every subscription (from now on
 * nothing is missed), after every reconnect, and when the reader was too slow.
 */
export interface Resync {
  readonly type: 'resync';
  readonly reason: 'subscribed' | 'reconnected' | 'overflow';
}

interface EventKind<M extends MessageName> {
  /** libvirt's `virDomainEventID`. */
  readonly id: number;
  readonly message: M;
  readonly convert: (body: BodyOf<M>) => DomainEvent;
}

const kind = <M extends MessageName>(
  id: number,
  message: M,
  convert: (body: BodyOf<M>) => DomainEvent,
): EventKind<MessageName> => ({ id, message, convert: convert as (body: BodyOf<MessageName>) => DomainEvent });

const eventKinds: Readonly<Record<DomainEventType, EventKind<MessageName>>> = {
  lifecycle: kind(0, 'DOMAIN_EVENT_CALLBACK_LIFECYCLE', ({ msg }) => ({
    type: 'lifecycle',
    domain: msg.dom,
    event: lifecycleNames[msg.event] ?? 'unknown',
    detail: msg.detail,
  })),
  reboot: kind(1, 'DOMAIN_EVENT_CALLBACK_REBOOT', ({ msg }) => ({ type: 'reboot', domain: msg.dom })),
  'device-removed': kind(15, 'DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED', ({ msg }) => ({
    type: 'device-removed',
    domain: msg.dom,
    alias: msg.devAlias,
  })),
  'agent-lifecycle': kind(18, 'DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE', ({ dom, state, reason }) => ({
    type: 'agent-lifecycle',
    domain: dom,
    state: agentStates[state] ?? 'unknown',
    reason,
  })),
  'block-job': kind(16, 'DOMAIN_EVENT_BLOCK_JOB_2', ({ dom, dst, type, status }) => ({
    type: 'block-job',
    domain: dom,
    disk: dst,
    job: type,
    status: blockJobStatuses[status] ?? 'unknown',
  })),
  'job-completed': kind(21, 'DOMAIN_EVENT_CALLBACK_JOB_COMPLETED', ({ dom, params }) => ({
    type: 'job-completed',
    domain: dom,
    params: paramsToRecord(params),
  })),
};

/** Every event type there is, in no particular order. */
export const domainEventTypes = Object.keys(eventKinds) as DomainEventType[];

const kindOfMessage = new Map(Object.values(eventKinds).map((each) => [each.message, each]));

/** Hears an event and about how many bytes it holds. Must not throw. */
export type EventListener = (event: DomainEvent, byteLength: number) => void;

/**
 * The events of one session. libvirt refuses to register an event twice on a connection, so each is registered once,
 * for all domains, and stays registered; listeners are told apart here. Events are taken by their message, not by
 * callback id: one may arrive before the reply that tells the id.
 */
export class SessionEvents {
  readonly #session: Session;
  readonly #registered = new Map<DomainEventType, Promise<unknown>>();
  readonly #listeners = new Map<EventListener, ReadonlySet<DomainEventType>>();

  constructor(session: Session) {
    this.#session = session;
    session.onMessage((name, body, byteLength) => {
      const event = kindOfMessage.get(name)?.convert(body);
      if (event === undefined) return;
      for (const [listener, types] of this.#listeners) if (types.has(event.type)) listener(event, byteLength);
    });
  }

  /**
   * Calls `listener` for events of these types; resolves when all are registered, with the way to stop.
   * @throws LibvirtError when the daemon cannot; ConnectionError.
   */
  async subscribe(
    types: readonly DomainEventType[],
    listener: EventListener,
    options: CallOptions = {},
  ): Promise<() => void> {
    this.#listeners.set(listener, new Set(types));
    const stop = (): void => void this.#listeners.delete(listener);
    try {
      await Promise.all(types.map((type) => this.#register(type, options)));
    } catch (error) {
      stop();
      throw error;
    }
    const { ended } = this.#session;
    if (ended !== undefined)
      throw new ConnectionError('closed', `subscription lost: ${ended.message}`, { cause: ended });
    return stop;
  }

  #register(type: DomainEventType, options: CallOptions): Promise<unknown> {
    const existing = this.#registered.get(type);
    if (existing !== undefined) return existing;
    const args = { eventID: eventKinds[type].id, dom: undefined };
    const registering = this.#session.call('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', args, {
      timeoutMs: options.timeoutMs,
    });
    this.#registered.set(type, registering);
    registering.catch(() => this.#registered.delete(type));
    return registering;
  }
}
