// Reads a public ssh key as it stands in a .pub file. Whole keys of known types only: the line goes into authorized_keys of a guest,
// where options before the key and second lines would mean something. Not here: private keys.

type Read = { readonly ok: true; readonly value: string } | { readonly ok: false; readonly reason: string };

const MAX_CHARACTERS = 16_384;
const TYPES = [
  'ssh-ed25519',
  'ssh-rsa',
  'ssh-dss',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
] as const;

/** `TYPE BASE64 [COMMENT]`, with one space between. The reason goes on after the key's name. */
export function readSshKey(text: string): Read {
  const bad = (reason: string): Read => ({ ok: false, reason });
  const line = text.trim();
  if (line.length > MAX_CHARACTERS) return bad(`has more than ${MAX_CHARACTERS} characters`);
  if (line.startsWith('-----BEGIN')) return bad('is not a public key in one line; give what is in the .pub file');
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(line.replaceAll('\t', ' '))) return bad('is not in one line');
  const [type = '', base64 = '', ...comment] = line.split(/[ \t]+/);
  if (!TYPES.some((known) => known === type)) {
    return bad(`does not begin with the type of a key, such as ssh-ed25519 (options before it are not taken)`);
  }
  const blob = Buffer.from(base64, 'base64');
  if (blob.length === 0 || blob.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, '')) {
    return bad('is not base64 after its type');
  }
  const fields = fieldsOf(blob);
  if (fields === undefined || fields.length < 2) return bad('is cut off or damaged');
  if (fields[0]?.toString('latin1') !== type) return bad(`says ${type}, but is of another type`);
  return { ok: true, value: [type, base64, ...comment].join(' ') };
}

/** Each has its length in four bytes before it. Undefined: the last is not whole. */
function fieldsOf(blob: Buffer): readonly Buffer[] | undefined {
  const fields: Buffer[] = [];
  for (let at = 0; at < blob.length; ) {
    if (at + 4 > blob.length) return undefined;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return fields;
}
