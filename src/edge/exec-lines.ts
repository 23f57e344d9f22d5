// Lines of JSON between programs that write and one client that reads, as many as fit. Not here: what is in them.

/** Written and not read yet: beyond, whoever does not read is given up. */
const UNREAD_MAX_CHARACTERS = 16 * 1024 * 1024;

export class ExecLines implements AsyncIterable<string> {
  readonly #gone = new AbortController();
  #waiting: string[] = [];
  #unread = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  /** Aborts when the reader is too slow, or gone. */
  get givenUp(): AbortSignal {
    return this.#gone.signal;
  }

  add(line: object): void {
    if (this.#ended) return;
    const text = `${JSON.stringify(line)}\n`;
    this.#unread += text.length;
    if (this.#unread > UNREAD_MAX_CHARACTERS) this.giveUp();
    else this.#waiting.push(text);
    this.#wake();
  }

  giveUp(): void {
    this.#gone.abort();
    this.end();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** All lines that are there, at once; ends when the last has been read. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    for (;;) {
      const batch = this.#waiting.splice(0).join('');
      this.#unread -= batch.length;
      if (batch !== '') yield batch;
      else if (this.#ended) return;
      else {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    }
  }
}
