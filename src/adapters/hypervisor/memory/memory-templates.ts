// The saved templates of a simulated machine. Not here: the guests that are forked from them (memory-domains).

import { createHash } from 'node:crypto';
import { Fault } from '../../../ports/fault.ts';
import type { SavedTemplate, TemplateSpec } from '../../../ports/hypervisor.ts';

const BYTES = 200_000_000;

export class MemoryTemplates {
  readonly #host: string;
  readonly #keys = new Set<string>();
  readonly #userOf: (key: string) => string | undefined;
  /** Part of every key: as if QEMU had been upgraded. */
  version = '1';

  /** `userOf`: a VM whose disk lies on that of the template. */
  constructor(host: string, userOf: (key: string) => string | undefined) {
    this.#host = host;
    this.#userOf = userOf;
  }

  keyOf(spec: TemplateSpec): string {
    return createHash('sha256')
      .update(JSON.stringify([spec, this.version]))
      .digest('hex')
      .slice(0, 16);
  }

  finish(spec: TemplateSpec): SavedTemplate {
    const key = this.keyOf(spec);
    this.#keys.add(key);
    return { key, bytes: BYTES };
  }

  list(): SavedTemplate[] {
    return Array.from(this.#keys, (key) => ({ key, bytes: BYTES }));
  }

  /** The memory goes at once, the disk when nobody needs it any more. */
  remove(key: string): void {
    this.#keys.delete(key);
    const user = this.#userOf(key);
    if (user !== undefined) {
      throw new Fault('conflict', `host ${this.#host}: the disk of template ${key} is used by ${user}`);
    }
  }

  has(spec: TemplateSpec): boolean {
    return this.#keys.has(this.keyOf(spec));
  }

  mustBeThere(key: string | undefined): void {
    if (key !== undefined && this.#keys.has(key)) return;
    throw new Fault('refused', `host ${this.#host}: there is no template ${key}`);
  }
}
