// Knows files that are no raw disk image by their first and last bytes, and what to do with each. Not here: qcow2, which we take.

import { type ImageRefusal, refusal } from './image-refusal.ts';

/** Bytes from the beginning that `foreignFormat` wants to see, or as many as there are: ISO 9660 says who it is after 32 KiB. */
export const HEAD_BYTES = 34 * 1024;
/** Bytes from the end. */
export const TAIL_BYTES = 512;

interface Sign {
  readonly what: string;
  readonly advice: string;
  readonly at?: number;
  readonly hex?: string;
  readonly ascii?: string;
}

const CONVERT = 'convert it: qemu-img convert -O qcow2 FILE IMAGE.qcow2';
const UNPACK = 'unpack it and use the image that is in it';
const ISO_ADVICE = 'use a cloud image, or install a system from it onto an empty disk first';

const SIGNS: readonly Sign[] = [
  { what: 'a VMDK image', ascii: 'KDMV', advice: CONVERT },
  { what: 'a VMDK image', ascii: 'COWD', advice: CONVERT },
  { what: 'the description of a VMDK image', ascii: '# Disk DescriptorFile', advice: CONVERT },
  { what: 'a VHDX image', ascii: 'vhdxfile', advice: CONVERT },
  { what: 'a VHD image', ascii: 'conectix', advice: CONVERT },
  { what: 'a VDI image', at: 0x40, hex: '7f10dabe', advice: CONVERT },
  { what: 'a QED image', hex: '51454400', advice: CONVERT },
  { what: 'a Parallels image', ascii: 'WithoutFreeSpace', advice: CONVERT },
  { what: 'a Parallels image', ascii: 'WithouFreSpacExt', advice: CONVERT },
  { what: 'gzip-compressed', hex: '1f8b08', advice: UNPACK },
  { what: 'xz-compressed', hex: 'fd377a585a00', advice: UNPACK },
  { what: 'bzip2-compressed', ascii: 'BZh', advice: UNPACK },
  { what: 'zstd-compressed', hex: '28b52ffd', advice: UNPACK },
  { what: 'lz4-compressed', hex: '04224d18', advice: UNPACK },
  { what: 'a ZIP archive', hex: '504b0304', advice: UNPACK },
  { what: 'a 7z archive', hex: '377abcaf271c', advice: UNPACK },
  { what: 'a RAR archive', ascii: 'Rar!', advice: UNPACK },
  { what: 'a tar archive (an OVA is one)', at: 257, ascii: 'ustar', advice: UNPACK },
  { what: 'an ELF program', hex: '7f454c46', advice: 'name the disk image, not a program' },
  { what: 'a Linux kernel', at: 0x202, ascii: 'HdrS', advice: 'name the disk image that the kernel belongs to' },
];

/** Undefined: nothing speaks against a raw image. */
export function foreignFormat(head: Buffer, tail: Buffer): ImageRefusal | undefined {
  if (head.subarray(0, 6).equals(Buffer.from('LUKS\xba\xbe', 'latin1'))) {
    return refusal('encrypted', 'is encrypted (LUKS)', 'use an image that is not encrypted');
  }
  const sign = SIGNS.find((known) => matches(known, head));
  if (sign !== undefined) return refusal('foreign', `is ${sign.what}, not a disk image`, sign.advice);
  if (tail.subarray(0, 8).toString('latin1') === 'conectix') {
    return refusal(
      'foreign',
      'is a VHD image of fixed size',
      'convert it: qemu-img convert -f vpc -O qcow2 FILE IMAGE.qcow2',
    );
  }
  if (tail.subarray(0, 4).toString('latin1') === 'koly') return refusal('foreign', 'is a DMG image', CONVERT);
  // One that was made for USB sticks too has a partition table in front, and is a disk.
  if (head.subarray(0x8001, 0x8006).toString('latin1') === 'CD001' && !hasBootSignature(head)) {
    return refusal('foreign', 'is a CD or DVD (ISO 9660), not a disk image', ISO_ADVICE);
  }
  return textRefusal(head);
}

function matches({ at = 0, hex, ascii = '' }: Sign, head: Buffer): boolean {
  const bytes = hex === undefined ? Buffer.from(ascii, 'latin1') : Buffer.from(hex, 'hex');
  return head.subarray(at, at + bytes.length).equals(bytes);
}

function hasBootSignature(head: Buffer): boolean {
  return head.length >= 512 && head.readUInt16BE(510) === 0x55aa;
}

/** What a failed download leaves behind. No disk begins with 512 bytes of text: a boot sector is not text. */
function textRefusal(head: Buffer): ImageRefusal | undefined {
  const start = head.subarray(0, 512);
  if (start.length === 0) return undefined;
  let text: string;
  try {
    // As a stream: the last character may be cut.
    text = new TextDecoder('utf-8', { fatal: true }).decode(start, { stream: true });
  } catch {
    return undefined;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: text has none but these
  if (/[^\t\n\f\r\x1b\x20-\x7e\u{80}-\u{10ffff}]/u.test(text)) return undefined;
  const advice = 'look into it with a text viewer; a download that failed often leaves a page that says why';
  if (/^\s*(?:<!doctype|<html|<\?xml|<head|<error)/iu.test(text)) {
    return refusal('foreign', 'is a web page, not a disk image', advice);
  }
  return refusal('foreign', 'is text, not a disk image', advice);
}
