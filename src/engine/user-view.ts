// What the edges may ask of and tell the engine about users and the audit record. Not here: everything else (view.ts).

import type { Quota, QuotaAmounts, Role, User } from '../core/user.ts';
import type { Store } from '../ports/store.ts';
import type { CommandResult } from './view.ts';

/** A user, and what he has at this moment of what quotas limit. */
export interface UserStatus {
  readonly user: User;
  /** His own quota, completed by the one of every owner. */
  readonly quota: Quota;
  readonly used: QuotaAmounts;
}

export interface NewUser {
  readonly name: string;
  readonly role: Role;
  /** The hash, with its parameters. */
  readonly password: string;
  /** Absent: the configuration's for new users. */
  readonly quota?: QuotaChange;
}

/** Null: without a limit of his own. What is absent stays as it is. */
export type QuotaChange = { readonly [K in keyof Quota]?: number | null | undefined };

export interface UserChange {
  /** The hash. His sign-ins end, except `keepToken`. */
  readonly password?: string;
  /** Name of the token that stays when the password changes. */
  readonly keepToken?: string;
  readonly role?: Role;
  /** Why he is not let in any more; null: he is again. */
  readonly disabled?: string | null;
  readonly quota?: QuotaChange;
}

export interface UserOptions {
  /** Refuse what would leave nobody who may do everything, while somebody else is left. */
  readonly keepAdmin: boolean;
}

/** Reads are synchronous: every request asks. */
export interface Users {
  /** Anybody may become a user by himself, now. */
  readonly signUp: boolean;
  /** How many there are, without the deleted. */
  readonly count: number;
  /** The user alone, without counting what he has. Not: the deleted. */
  get(name: string): User | undefined;
  /** By name, without the deleted. */
  readonly all: readonly UserStatus[];
  /** Not: the deleted. */
  find(name: string): UserStatus | undefined;
  /** The hash of his password. Undefined: no such user. */
  passwordOf(name: string): string | undefined;
  /** `conflict` when the name is a user's, was one's, or is one that something belongs to already. */
  add(user: NewUser, options: UserOptions): Promise<CommandResult<UserStatus>>;
  change(name: string, change: UserChange, options: UserOptions): Promise<CommandResult<UserStatus>>;
  /** A better hash of the same password, unless it has changed meanwhile. */
  rehash(name: string, from: string, to: string): Promise<void>;
  /** `conflict` while he has VMs or images, unless `to` (a user) takes them over, and while an operation of his is under way. */
  remove(name: string, options: UserOptions & { readonly to?: string }): Promise<CommandResult<undefined>>;
}

export type AuditLog = Pick<Store, 'audit' | 'keepAudit'>;
