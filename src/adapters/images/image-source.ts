// What it takes to read an image from where it lies, whatever that is. Not here: the ways themselves (image-from-*.ts).

/** An image that can be read, once. */
export interface OpenedImage {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Absent: not told beforehand. */
  readonly totalBytes?: number;
  /** What it takes of the disk where it lies, when it has holes. */
  readonly diskBytes?: number;
  /** Lets everything go, also when nothing was read; within seconds. Closing twice is no error. */
  close(): Promise<void>;
}

export interface OpenImageOptions {
  readonly name: string;
  /** Ends it at any time, also while it is read. */
  readonly signal: AbortSignal;
  /** So long it may take until the first bytes are ready to come. */
  readonly stallMs: number;
}
