// What reading untrusted text yields: a trusted value, or a reason for people.

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };
