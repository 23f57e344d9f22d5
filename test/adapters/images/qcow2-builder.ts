// A small qcow2 image made byte by byte from the description of the format, for tests that break one thing of it.

export const CLUSTER = 4096;
/** Where the parts lie. */
export const AT = {
  refcountTable: CLUSTER,
  refcountBlock: 2 * CLUSTER,
  l1: 3 * CLUSTER,
  l2: 4 * CLUSTER,
  data: 5 * CLUSTER,
};
/** Two L2 tables' worth of disk; the data is in clusters 0, 1 and 511 of the first table. */
export const VIRTUAL_BYTES = 2 * (CLUSTER / 8) * CLUSTER;
const FILE_BYTES = 8 * CLUSTER;

export function qcow2(change: (image: Buffer) => void = () => undefined): Buffer {
  const image = Buffer.alloc(FILE_BYTES);
  const u32 = (value: number, at: number) => image.writeUInt32BE(value, at);
  const u64 = (value: number, at: number) => image.writeBigUInt64BE(BigInt(value), at);
  u32(0x514649fb, 0);
  u32(3, 4);
  u32(12, 20);
  u64(VIRTUAL_BYTES, 24);
  u32(2, 36);
  u64(AT.l1, 40);
  u64(AT.refcountTable, 48);
  u32(1, 56);
  u32(4, 96);
  u32(104, 100);
  u64(AT.refcountBlock, AT.refcountTable);
  for (let cluster = 0; cluster < 8; cluster += 1) image.writeUInt16BE(1, AT.refcountBlock + 2 * cluster);
  u64(AT.l2, AT.l1);
  image[AT.l1] = 0x80;
  for (const [index, entry] of [0, 1, 511].entries()) {
    u64(AT.data + index * CLUSTER, AT.l2 + 8 * entry);
    image[AT.l2 + 8 * entry] = 0x80;
  }
  image.fill('data', AT.data);
  change(image);
  return image;
}
