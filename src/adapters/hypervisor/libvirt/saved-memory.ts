// The head of a file that libvirt saves a domain's memory in: read, checked, and written anew for another domain.
// Pure bytes. Not here: what stands in the domain's XML (fork-xml), where the file lies (templates).
//
// The form is libvirt's own (struct virQEMUSaveHeader, version 2, in the byte order of the host), not promised to anybody: whatever
// is not exactly as known is refused, and the caller boots instead.
//
//   0   "LibvirtQemudSave"        36  14 words, unused
//   16  version                   92  dataBytes of: XML, NUL, cookie XML, NUL, padding for a longer XML
//   20  dataBytes                 …   QEMU's migration stream
//   24  was it running
//   28  compression
//   32  offset of the cookie in the data; 0: none

/** Of the fixed part. */
export const SAVED_HEAD_BYTES = 92;
/** More than any XML of a domain and its padding; a length beyond that is garbage. */
const DATA_MAX_BYTES = 4 * 1024 * 1024;
const MAGIC = 'LibvirtQemudSave';
const VERSION = 2;
const AT = { version: 16, dataBytes: 20, wasRunning: 24, compression: 28, cookie: 32 } as const;

export interface SavedMemory {
  /** The fixed part, as it was read. */
  readonly head: Buffer;
  readonly xml: string;
  /** XML of libvirt's own about the QEMU that ran, with its NUL; empty when there is none. */
  readonly cookie: Buffer;
  readonly dataBytes: number;
  /** Where QEMU's stream begins. */
  readonly streamAt: number;
}

/** Why these bytes are not the head of a file that we know how to rewrite. */
export interface UnknownForm {
  readonly problem: string;
}

/** How much of the file has to be read for {@link readSavedMemory}, by its fixed part. */
export function savedHeadLength(head: Buffer): number | UnknownForm {
  if (head.length < SAVED_HEAD_BYTES) return { problem: 'it is too short' };
  const magic = head.toString('latin1', 0, MAGIC.length);
  if (magic !== MAGIC) return { problem: 'it does not begin as a finished file of saved memory does' };
  const version = head.readUInt32LE(AT.version);
  if (version !== VERSION) return { problem: `its version is ${version}, not ${VERSION}` };
  const compression = head.readUInt32LE(AT.compression);
  if (compression !== 0)
    return { problem: `it is compressed or sparse (${compression}; save_image_format in qemu.conf)` };
  const dataBytes = head.readUInt32LE(AT.dataBytes);
  if (dataBytes === 0 || dataBytes > DATA_MAX_BYTES) return { problem: `its XML has ${dataBytes} bytes` };
  return SAVED_HEAD_BYTES + dataBytes;
}

/** `bytes` from the beginning of the file, at least as many as {@link savedHeadLength} says. */
export function readSavedMemory(bytes: Buffer): SavedMemory | UnknownForm {
  const length = savedHeadLength(bytes);
  if (typeof length === 'object') return length;
  if (bytes.length < length) return { problem: 'it is too short' };
  const head = bytes.subarray(0, SAVED_HEAD_BYTES);
  const data = bytes.subarray(SAVED_HEAD_BYTES, length);
  if (head.readUInt32LE(AT.wasRunning) !== 1) return { problem: 'its domain did not run' };
  const xmlEnd = data.indexOf(0);
  const cookieAt = head.readUInt32LE(AT.cookie);
  if (xmlEnd <= 0 || (cookieAt !== 0 && (cookieAt <= xmlEnd || cookieAt >= data.length))) {
    return { problem: 'its XML does not end where it should' };
  }
  const cookieEnd = cookieAt === 0 ? 0 : data.indexOf(0, cookieAt);
  if (cookieEnd === -1) return { problem: "libvirt's own part of it does not end" };
  const cookie = cookieAt === 0 ? Buffer.alloc(0) : data.subarray(cookieAt, cookieEnd + 1);
  return { head, xml: data.toString('utf8', 0, xmlEnd), cookie, dataBytes: data.length, streamAt: length };
}

/** The same head with another XML, exactly as long, so that QEMU's stream stays where it is. Undefined: the XML does not fit. */
export function withXml(saved: SavedMemory, xml: string): Buffer | undefined {
  const text = Buffer.from(`${xml}\0`, 'utf8');
  if (text.length + saved.cookie.length > saved.dataBytes) return undefined;
  const bytes = Buffer.alloc(saved.streamAt);
  saved.head.copy(bytes);
  bytes.writeUInt32LE(saved.cookie.length === 0 ? 0 : text.length, AT.cookie);
  text.copy(bytes, SAVED_HEAD_BYTES);
  saved.cookie.copy(bytes, SAVED_HEAD_BYTES + text.length);
  return bytes;
}
