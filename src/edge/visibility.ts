// Who sees what: the engine as each caller may see it, and the one way in which routes get at it. Routes are given `engine` below; asked
// within a request it is that of the caller, asked outside of one it refuses, so no route can forget to look after it.
// Not here: which calls there are for whom (reach, scopes), what a user sees (own-view).

import { AsyncLocalStorage } from 'node:async_hooks';
import type { EngineView } from '../engine/view.ts';
import type { Admitted } from './access.ts';
import { OwnView } from './own-view.ts';

/** Asked also where nobody is let in: it tells of the daemon alone. */
const OPEN: ReadonlySet<PropertyKey> = new Set(['readiness']);

export class Visibility {
  readonly #whole: EngineView;
  readonly #views = new AsyncLocalStorage<EngineView>();
  /** For routes: within {@link asCaller} what that caller may see. Its parts may be held on to: each call asks anew. */
  readonly engine: EngineView;

  constructor(engine: EngineView) {
    this.#whole = engine;
    this.engine = new Proxy(engine, {
      get: (_, key) => {
        const part: unknown = Reflect.get(engine, key, engine);
        if (typeof part !== 'object' || part === null) return memberOf(this.#view(key), key);
        return new Proxy(part, { get: (_part, name) => memberOf(memberOf(this.#view(key), key) as object, name) });
      },
    });
  }

  /** Runs what answers this caller's request. */
  asCaller<T>(admitted: Admitted, work: () => T): T {
    return this.#views.run(this.viewOf(admitted), work);
  }

  viewOf(admitted: Admitted): EngineView {
    const owner = onlyOf(admitted);
    return owner === undefined ? this.#whole : new OwnView(this.#whole, owner);
  }

  #view(key: PropertyKey): EngineView {
    const view = this.#views.getStore() ?? (OPEN.has(key) ? this.#whole : undefined);
    if (view === undefined) throw new Error(`the engine was asked for ${String(key)} outside of a caller's request`);
    return view;
  }
}

function memberOf(object: object, key: PropertyKey): unknown {
  const value: unknown = Reflect.get(object, key, object);
  return typeof value === 'function' ? value.bind(object) : value;
}

/** Whose things alone this caller sees; undefined: everybody's. */
export function onlyOf({ user }: Admitted): string | undefined {
  return user?.role === 'user' ? user.name : undefined;
}
