// Packs files into a "newc" cpio archive, the form an initramfs has. Writing only; no devices, no hard links.
const TRAILER = 'TRAILER!!!';

/**
 * @param {{ path: string, mode: number, data?: Uint8Array }[]} entries mode with its file type bits; folders first
 * @returns {Buffer} the archive, padded to 512 bytes; every entry belongs to root
 */
export function packCpio(entries) {
  const parts = [];
  let size = 0;
  const push = (bytes) => {
    parts.push(bytes);
    size += bytes.length;
    const gap = (4 - (size % 4)) % 4;
    if (gap > 0) {
      parts.push(Buffer.alloc(gap));
      size += gap;
    }
  };
  [...entries, { path: TRAILER, mode: 0 }].forEach((entry, index) => {
    const data = entry.data ?? new Uint8Array(0);
    const name = Buffer.from(`${entry.path}\0`);
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [index + 1, entry.mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
    const head = `070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}`;
    push(Buffer.concat([Buffer.from(head, 'latin1'), name]));
    push(data);
  });
  parts.push(Buffer.alloc((512 - (size % 512)) % 512));
  return Buffer.concat(parts);
}
