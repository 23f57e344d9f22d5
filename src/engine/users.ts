// Users as records: added, changed, removed, and what belongs to them handed over; each in one change of the ledger.
// Not here: passwords (edge), tokens (access), quotas' arithmetic (core/user, usage).

import { hasAdmin, isClaimed } from '../core/admission.ts';
import type { CatalogImage } from '../core/catalog.ts';
import type { Quota, User, UserRecord } from '../core/user.ts';
import { vmsText } from '../core/wording.ts';
import { type FabricParts, type Refused, refuse } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { quotaFor, usedBy } from './usage.ts';
import type { NewUser, QuotaChange, UserChange, UserOptions, UserStatus, Users } from './user-view.ts';
import type { CommandResult } from './view.ts';

const NAME = /^[a-z](?:[a-z0-9._-]{0,30}[a-z0-9])?$/;
/** Owners that are nobody. */
const RESERVED = new Set(['anonymous', 'configuration', 'policy', 'unknown', 'virtscale']);
/** Names are never given twice, so the deleted count. */
const USERS_MAX = 10_000;

type Parts = Pick<FabricParts, 'ledger' | 'clock' | 'store' | 'settings'>;

export class UserList implements Users {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get signUp(): boolean {
    return this.#parts.settings().users.signUp;
  }

  get count(): number {
    const { users } = this.#parts.ledger.state;
    return users.values().reduce((count, { deletedAt }) => count + (deletedAt === undefined ? 1 : 0), 0);
  }

  get(name: string): User | undefined {
    return livingUser(this.#parts.ledger.state, name);
  }

  get all(): readonly UserStatus[] {
    const { users } = this.#parts.ledger.state;
    const there = [...users.values()].filter(({ deletedAt }) => deletedAt === undefined);
    return there.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((user) => this.#statusOf(user));
  }

  find(name: string): UserStatus | undefined {
    const known = livingUser(this.#parts.ledger.state, name);
    return known && this.#statusOf(known);
  }

  passwordOf(name: string): string | undefined {
    return livingUser(this.#parts.ledger.state, name)?.password;
  }

  async add(wanted: NewUser, { keepAdmin }: UserOptions): Promise<CommandResult<UserStatus>> {
    const { clock, ledger, settings, store } = this.#parts;
    const { name, role, password } = wanted;
    if (!NAME.test(name) || RESERVED.has(name)) {
      const reason = RESERVED.has(name)
        ? `${name} is no name for a user`
        : 'a name has 1 to 32 letters a–z, digits, dots, hyphens and underscores, begins with a letter and ends with a letter or digit';
      return refuse('invalid', reason, 'name');
    }
    // What somebody else did under this name must not become his: operations that ended are in the store alone.
    const [earlier] = await store.operations({ owner: name, limit: 1 });
    let result: CommandResult<UserStatus> = refuse('conflict', `the name ${name} is taken`, 'name');
    await ledger.change((state) => {
      if (earlier !== undefined || isTaken(state, name)) return undefined;
      if (state.users.size >= USERS_MAX) {
        result = refuse('too-many', `there are ${USERS_MAX} users, deleted ones included`);
        return undefined;
      }
      const at = clock.wall();
      if (keepAdmin && role !== 'admin' && !hasAdmin(waysIn(state), at)) {
        result = refuse(
          'conflict',
          'the first user must be an admin: nobody could make another one from then on',
          'role',
        );
        return undefined;
      }
      const quota = withChange(settings().users.quota, wanted.quota);
      const user: UserRecord = { name, role, createdAt: at, quota, password };
      result = { ok: true, value: this.#statusOf(user) };
      return { putUsers: [user] };
    });
    return result;
  }

  async change(name: string, change: UserChange, { keepAdmin }: UserOptions): Promise<CommandResult<UserStatus>> {
    const { clock, ledger } = this.#parts;
    let result: CommandResult<UserStatus> = noUser(name);
    await ledger.change((state) => {
      const known = livingUser(state, name);
      if (known === undefined) return undefined;
      const next = changed(known, change);
      const users = [...state.users.values()].map((user) => (user.name === name ? next : user));
      if (keepAdmin && known.role === 'admin' && !hasAdmin({ tokens: state.tokens.values(), users }, clock.wall())) {
        result = lastAdmin(name);
        return undefined;
      }
      result = { ok: true, value: this.#statusOf(next) };
      const ends = change.password !== undefined || typeof change.disabled === 'string';
      const signIns = [...state.tokens.values()].filter(
        (token) => token.user === name && token.signIn && token.name !== change.keepToken,
      );
      return { putUsers: [next], ...(ends && { deleteTokens: signIns.map((token) => token.name) }) };
    });
    return result;
  }

  async rehash(name: string, from: string, to: string): Promise<void> {
    await this.#parts.ledger.change((state) => {
      const known = livingUser(state, name);
      return known?.password === from ? { putUsers: [{ ...known, password: to }] } : undefined;
    });
  }

  async remove(
    name: string,
    { keepAdmin, to }: UserOptions & { readonly to?: string },
  ): Promise<CommandResult<undefined>> {
    const { clock, ledger } = this.#parts;
    let result: CommandResult<undefined> = noUser(name);
    await ledger.change((state) => {
      const known = livingUser(state, name);
      if (known === undefined) return undefined;
      const refused = removalRefused(state, known, to, keepAdmin, clock.wall());
      if (refused !== undefined) {
        result = refused;
        return undefined;
      }
      result = { ok: true, value: undefined };
      const gone: UserRecord = { ...known, password: '', deletedAt: clock.wall() };
      const tokens = [...state.tokens.values()].filter(({ user }) => user === name).map((token) => token.name);
      return { putUsers: [gone], deleteTokens: tokens, ...(to !== undefined && handedOver(state, name, to)) };
    });
    return result;
  }

  #statusOf({ password: _, ...user }: UserRecord): UserStatus {
    const { ledger, settings } = this.#parts;
    const state = ledger.state;
    const quota = { ...quotaFor(state, '', settings().quota), ...user.quota };
    return { user, quota, used: usedBy(state, user.name) };
  }
}

function livingUser(state: Pick<LedgerState, 'users'>, name: string): UserRecord | undefined {
  const known = state.users.get(name);
  return known?.deletedAt === undefined ? known : undefined;
}

function noUser(name: string): Refused {
  return refuse('not-found', `there is no user ${name}`);
}

function lastAdmin(name: string): Refused {
  const why = 'nobody could make or change users and tokens any more. Make another admin first';
  return refuse('conflict', `${name} is the last admin: ${why}`);
}

function waysIn({ tokens, users }: Pick<LedgerState, 'tokens' | 'users'>) {
  return { tokens: tokens.values(), users: users.values() };
}

function isTaken(state: LedgerState, name: string): boolean {
  const isHis = ({ owner }: { readonly owner?: string }) => owner === name;
  return (
    state.users.has(name) ||
    state.tokens.has(name) ||
    state.vms.values().some(isHis) ||
    state.operations.values().some(isHis) ||
    state.images.values().some(isHis) ||
    state.clusters.values().some(isHis)
  );
}

function changed(known: UserRecord, { password, role, disabled, quota }: UserChange): UserRecord {
  const { disabled: before, ...rest } = known;
  const why = disabled === undefined ? before : disabled;
  return {
    ...rest,
    ...(password !== undefined && { password }),
    ...(role !== undefined && { role }),
    ...(typeof why === 'string' && { disabled: why }),
    quota: withChange(known.quota, quota),
  };
}

function withChange(quota: Quota, change: QuotaChange = {}): Quota {
  const parts = Object.entries({ ...quota, ...withoutUndefined(change) });
  return Object.fromEntries(parts.filter(([, value]) => value !== null));
}

function withoutUndefined(change: QuotaChange): QuotaChange {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
}

function removalRefused(
  state: LedgerState,
  { name, role }: User,
  to: string | undefined,
  keepAdmin: boolean,
  at: string,
): Refused | undefined {
  const users = [...state.users.values()].filter((user) => user.name !== name);
  const left = () => ({ tokens: state.tokens.values().filter(({ user }) => user !== name), users });
  if (keepAdmin && role === 'admin' && isClaimed(left()) && !hasAdmin(left(), at)) return lastAdmin(name);
  const open = [...state.operations.values()].filter(({ owner }) => owner === name);
  if (open.length > 0) {
    const [first] = open;
    return refuse(
      'conflict',
      `an operation of ${name} is under way: ${first?.id} (${first?.kind}); wait for it or cancel it`,
    );
  }
  const vms = [...state.vms.values()].filter(({ owner, group }) => owner === name && group === undefined);
  const images = [...state.images.values()].filter(({ owner }) => owner === name);
  const [cluster] = [...state.clusters.values()].filter(({ owner }) => owner === name);
  if (cluster !== undefined) {
    return refuse('conflict', `${name} still has cluster ${cluster.name}: clusters are deleted, not handed over`);
  }
  if (vms.length + images.length === 0) return undefined;
  if (to === undefined) {
    const has = `${name} still has ${vmsText(vms.length)} and ${images.length} images`;
    return refuse('conflict', `${has}: delete them, or hand them over to another user with ?to=NAME`);
  }
  if (to === name || livingUser(state, to) === undefined) {
    return refuse('invalid', `there is no other user ${to} to hand over to`, 'to');
  }
  return undefined;
}

/** What was his is the other's: VMs with their changes to come, images. What happened so far stays his. */
function handedOver(state: LedgerState, from: string, to: string): Change {
  const isHis = ({ owner }: { readonly owner?: string }) => owner === from;
  return {
    putVms: [...state.vms.values()].filter(isHis).map((vm) => ({ ...vm, owner: to })),
    putImages: [...state.images.values()].filter(isHis).map((image) => ({ ...image, owner: to })),
  };
}

/** The refusal of whoever must not begin anything any more, though his request was on its way when that was decided. */
export function shutOut(state: Pick<LedgerState, 'users'>, owner: string): Refused | undefined {
  const user = state.users.get(owner);
  if (user === undefined || (user.deletedAt === undefined && user.disabled === undefined)) return undefined;
  return refuse('conflict', `user ${owner} is ${user.deletedAt === undefined ? 'disabled' : 'gone'}`);
}

/** Whose an image is that this owner brings: a user's own; absent: the operator's, for everybody. */
export function ownerOfImage(state: Pick<LedgerState, 'users'>, owner: string): { readonly owner?: string } {
  return livingUser(state, owner)?.role === 'user' ? { owner } : {};
}

/** The images that VMs of this owner may be made from. */
export function imagesFor(
  state: Pick<LedgerState, 'users' | 'images'>,
  owner: string,
): ReadonlyMap<string, CatalogImage> {
  if (livingUser(state, owner)?.role !== 'user') return state.images;
  return new Map([...state.images].filter(([, image]) => image.owner === undefined || image.owner === owner));
}
