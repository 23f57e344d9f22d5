// Users and the audit record of the fake engine, in memory. Not here: tokens (fake-catalog).

import type { AuditEntry, LoggedAudit } from '../../src/core/audit.ts';
import { NOTHING, type QuotaAmounts, type UserRecord } from '../../src/core/user.ts';
import type { AuditLog, UserStatus, Users } from '../../src/engine/user-view.ts';
import type { CommandResult } from '../../src/engine/view.ts';
import { clock, NOW_MS } from './pictures.ts';

export function aUser(name: string, more: Partial<UserRecord> = {}): UserRecord {
  return { name, role: 'user', createdAt: clock.wallOf(NOW_MS), quota: {}, password: '', ...more };
}

export interface FakeUsersOptions {
  readonly users?: readonly UserRecord[];
  readonly signUp?: boolean;
  /** Whatever else goes with a user. */
  readonly onGone: (name: string, options: { readonly signInsOnly: boolean; readonly but?: string }) => void;
  readonly usedBy: (name: string) => Partial<QuotaAmounts>;
}

export class FakeUsers implements Users {
  signUp: boolean;
  readonly #users: Map<string, UserRecord>;
  readonly #options: FakeUsersOptions;

  constructor(options: FakeUsersOptions) {
    this.#options = options;
    this.signUp = options.signUp ?? false;
    this.#users = new Map((options.users ?? []).map((user) => [user.name, user]));
  }

  get count(): number {
    return this.#users.size;
  }

  get all(): readonly UserStatus[] {
    return [...this.#users.keys()].toSorted().flatMap((name) => this.find(name) ?? []);
  }

  get(name: string): UserRecord | undefined {
    return this.#users.get(name);
  }

  find(name: string): UserStatus | undefined {
    const record = this.#users.get(name);
    if (record === undefined) return undefined;
    const { password: _, ...user } = record;
    return { user, quota: user.quota, used: { ...NOTHING, ...this.#options.usedBy(name) } };
  }

  passwordOf(name: string): string | undefined {
    return this.#users.get(name)?.password;
  }

  async add(wanted: Parameters<Users['add']>[0]): Promise<CommandResult<UserStatus>> {
    const { name, role, password, quota = {} } = wanted;
    if (this.#users.has(name)) return refusal('conflict', `the name ${name} is taken`, 'name');
    return this.#put(aUser(name, { role, password, quota: present(quota) }));
  }

  async change(name: string, change: Parameters<Users['change']>[1]): Promise<CommandResult<UserStatus>> {
    const known = this.#users.get(name);
    if (known === undefined) return refusal('not-found', `there is no user ${name}`);
    const { password, keepToken, role, disabled, quota } = change;
    const { disabled: before, ...rest } = known;
    const why = disabled === undefined ? before : disabled;
    if (password !== undefined || typeof disabled === 'string') {
      this.#options.onGone(name, { signInsOnly: true, ...(keepToken !== undefined && { but: keepToken }) });
    }
    return this.#put({
      ...rest,
      ...(password !== undefined && { password }),
      ...(role !== undefined && { role }),
      ...(typeof why === 'string' && { disabled: why }),
      quota: present({ ...known.quota, ...quota }),
    });
  }

  async rehash(name: string, from: string, to: string): Promise<void> {
    const known = this.#users.get(name);
    if (known?.password === from) this.#users.set(name, { ...known, password: to });
  }

  async remove(name: string, { to }: Parameters<Users['remove']>[1]): Promise<CommandResult<undefined>> {
    if (!this.#users.has(name)) return refusal('not-found', `there is no user ${name}`);
    if (to === undefined && (this.#options.usedBy(name).vms ?? 0) > 0) return refusal('conflict', `${name} has VMs`);
    this.#users.delete(name);
    this.#options.onGone(name, { signInsOnly: false });
    return { ok: true, value: undefined };
  }

  #put(record: UserRecord): CommandResult<UserStatus> {
    this.#users.set(record.name, record);
    const value = this.find(record.name);
    if (value === undefined) throw new Error('put just now');
    return { ok: true, value };
  }
}

export class FakeAudit implements AuditLog {
  /** Oldest first. */
  readonly entries: LoggedAudit[] = [];

  async keepAudit(entries: readonly AuditEntry[]): Promise<void> {
    for (const entry of entries) this.entries.push({ n: this.entries.length + 1, ...entry });
  }

  async audit({ limit, before, who }: Parameters<AuditLog['audit']>[0]): Promise<readonly LoggedAudit[]> {
    return this.entries
      .toReversed()
      .filter((entry) => before === undefined || entry.n < before)
      .filter((entry) => who === undefined || entry.who === who)
      .slice(0, limit);
  }
}

function refusal(refused: 'conflict' | 'not-found', reason: string, where?: string) {
  return { ok: false, refused, reason, ...(where !== undefined && { where }) } as const;
}

function present(quota: Readonly<Record<string, number | null | undefined>>): UserRecord['quota'] {
  return Object.fromEntries(Object.entries(quota).filter(([, value]) => typeof value === 'number'));
}
