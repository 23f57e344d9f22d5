// As much of a browser's document as the pages touch: elements with attributes, text and children. No markup is ever parsed.

export class SmallNode {
  readonly tag: string;
  readonly attributes = new Map<string, string>();
  children: (SmallNode | string)[] = [];
  hidden = false;
  className = '';
  value = '';
  readonly #listeners = new Map<string, () => unknown>();

  constructor(tag: string) {
    this.tag = tag;
  }

  setAttribute(name: string, value: unknown): void {
    this.attributes.set(name, String(value));
  }

  addEventListener(name: string, listener: () => unknown): void {
    this.#listeners.set(name, listener);
  }

  /** What a person does to it. */
  async does(name: string): Promise<void> {
    await this.#listeners.get(name)?.();
  }

  /** This and everything in it. */
  get all(): readonly SmallNode[] {
    return [this, ...this.children.flatMap((child) => (typeof child === 'string' ? [] : child.all))];
  }

  append(...children: (SmallNode | string)[]): void {
    this.children.push(...children);
  }

  prepend(...children: (SmallNode | string)[]): void {
    this.children.unshift(...children);
  }

  replaceChildren(...children: (SmallNode | string)[]): void {
    this.children = children;
  }

  get childElementCount(): number {
    return this.children.length;
  }

  get textContent(): string {
    return this.children.map((child) => (typeof child === 'string' ? child : child.textContent)).join(' ');
  }

  set textContent(text: string) {
    this.children = [text];
  }

  get tags(): readonly string[] {
    return [this.tag, ...this.children.flatMap((child) => (typeof child === 'string' ? [] : child.tags))];
  }
}

export class SmallDocument {
  readonly #byId = new Map<string, SmallNode>();

  createElement(tag: string): SmallNode {
    return new SmallNode(tag);
  }

  getElementById(id: string): SmallNode {
    const known = this.#byId.get(id) ?? new SmallNode('div');
    this.#byId.set(id, known);
    return known;
  }
}
