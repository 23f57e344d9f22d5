// The key of a template: a digest of everything that decides whether memory saved by one guest can be another's.
// Not here: what domains are made like (domain-xml, whose text is part of it), the templates themselves.

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Image } from '../../../core/model.ts';
import type { CallOptions } from '../../../libvirt/index.ts';
import type { TemplateSpec } from '../../../ports/hypervisor.ts';
import type { Definitions } from './definitions.ts';
import type { HostFacts } from './host-facts.ts';
import { templateName } from './volume-names.ts';

/** Changes with what is done to a template beyond its domain's XML. */
const FORM = 1;
const KEY_DIGITS = 16;
const NOBODY = '00000000-0000-4000-8000-000000000000';

export class TemplateKeys {
  readonly #facts: HostFacts;
  readonly #definitions: Definitions;
  readonly #isHere: boolean;

  constructor(facts: HostFacts, definitions: Definitions, isHere: boolean) {
    this.#facts = facts;
    this.#definitions = definitions;
    this.#isHere = isHere;
  }

  async keyOf({ cloudInit, flavor, image, ready }: TemplateSpec, call: CallOptions): Promise<string> {
    const setup = cloudInit && { ...cloudInit, hostname: '' };
    const form = { name: templateName(''), uuid: NOBODY, image, flavor: { ...flavor, name: '' }, ready };
    const [host, machine, bytes] = await Promise.all([
      this.#facts.fingerprint(call),
      this.#definitions.formOf({ ...form, ...(setup && { cloudInit: setup }) }, call),
      this.#bytesOf(image),
    ]);
    const all = JSON.stringify([FORM, host, machine, bytes, flavor.diskGiB ?? 0, setup ?? null]);
    return createHash('sha256').update(all).digest('hex').slice(0, KEY_DIGITS);
  }

  /** Which bytes the guest boots from: by checksum where it is known, else by name, and what the file says of itself where it can be seen. */
  async #bytesOf({ content, direct, format, path }: Image): Promise<unknown> {
    const files = [content === undefined ? path : undefined, direct?.kernel, direct?.initrd];
    return [format, content?.sha256 ?? '', await Promise.all(files.map((file) => this.#stateOf(file)))];
  }

  async #stateOf(file: string | undefined): Promise<unknown> {
    if (file === undefined || !this.#isHere) return file;
    try {
      const { mtimeMs, size } = await stat(file);
      return [file, size, mtimeMs];
    } catch {
      return file;
    }
  }
}
