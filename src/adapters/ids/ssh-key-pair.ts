// A fresh ed25519 key in the forms that OpenSSH writes and reads. Not here: reading keys that people give (core/ssh-key).
// The private form: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key

import { generateKeyPairSync, randomBytes } from 'node:crypto';

const TYPE = 'ssh-ed25519';
const MAGIC = 'openssh-key-v1\0';
/** Of the cipher `none`. */
const BLOCK_BYTES = 8;
const LINE_CHARACTERS = 70;
/** What stands before the 32 bytes of the key itself (RFC 8410). */
const SPKI_HEAD_BYTES = 12;
const PKCS8_HEAD_BYTES = 16;

export function freshSshKey(comment: string): { readonly publicKey: string; readonly privateKey: string } {
  const pair = generateKeyPairSync('ed25519');
  const open = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD_BYTES);
  const secret = pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8_HEAD_BYTES);
  const blob = Buffer.concat([field(TYPE), field(open)]);
  return {
    publicKey: `${TYPE} ${blob.toString('base64')} ${comment}`,
    privateKey: wrapped(blob, open, secret, comment),
  };
}

function wrapped(blob: Buffer, open: Buffer, secret: Buffer, comment: string): string {
  // Twice the same number: whoever decrypts sees by it whether the password was right.
  const check = randomBytes(4);
  const inner = Buffer.concat([
    check,
    check,
    field(TYPE),
    field(open),
    field(Buffer.concat([secret, open])),
    field(comment),
  ]);
  const missing = (BLOCK_BYTES - (inner.length % BLOCK_BYTES)) % BLOCK_BYTES;
  const padding = Buffer.from(Array.from({ length: missing }, (_, index) => index + 1));
  const cipher = [field('none'), field('none'), field('')];
  const whole = Buffer.concat([
    Buffer.from(MAGIC, 'latin1'),
    ...cipher,
    number(1),
    field(blob),
    field(Buffer.concat([inner, padding])),
  ]);
  const lines = whole.toString('base64').match(new RegExp(`.{1,${LINE_CHARACTERS}}`, 'g')) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function field(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([number(bytes.length), bytes]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
