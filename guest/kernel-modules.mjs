// Finds the kernel modules a guest needs in an unpacked kernel package, with their dependencies, and makes them quick
// to load. Reads what each module says of itself: the packages carry no modules.dep (depmod makes it at installation).
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const MODULE_FILE = /\.ko(\.xz|\.zst|\.gz)?$/;
const SIGNATURE_MARK = Buffer.from('~Module signature appended~\n');
const DECOMPRESS = { '.xz': ['xz', '-dc'], '.zst': ['zstd', '-dcq'], '.gz': ['gzip', '-dc'] };

const plainName = (file) => basename(file).replace(MODULE_FILE, '').replaceAll('-', '_');

function listModules(folder, found = new Map()) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) listModules(path, found);
    else if (MODULE_FILE.test(entry.name)) found.set(plainName(entry.name), path);
  }
  return found;
}

function readModule(path) {
  const suffix = /\.(xz|zst|gz)$/.exec(path)?.[0];
  const bytes = suffix
    ? execFileSync(DECOMPRESS[suffix][0], [...DECOMPRESS[suffix].slice(1), path], { maxBuffer: 64 << 20 })
    : readFileSync(path);
  return withoutSignature(bytes);
}

/**
 * Cuts the appended signature off: checking it costs an RSA operation per module, which emulation feels. The kernel
 * loads unsigned modules unless it enforces signatures, which distribution kernels do only under Secure Boot.
 */
function withoutSignature(bytes) {
  if (!bytes.subarray(-SIGNATURE_MARK.length).equals(SIGNATURE_MARK)) return bytes;
  const info = bytes.length - SIGNATURE_MARK.length - 12; // struct module_signature, sig_len last, big-endian
  return bytes.subarray(0, info - bytes.readUInt32BE(info + 8));
}

function dependenciesOf(bytes) {
  const at = bytes.indexOf('\0depends=');
  if (at < 0) return [];
  const text = bytes.toString('latin1', at + 9, bytes.indexOf(0, at + 9));
  return text
    .split(',')
    .filter(Boolean)
    .map((name) => name.replaceAll('-', '_'));
}

/**
 * @param {string} folder lib/modules/VERSION of an unpacked kernel package
 * @param {string[]} wanted module names; those built into the kernel are passed over
 * @returns {{ name: string, data: Buffer }[]} dependencies first
 * @throws Error when a module is neither a file nor built in
 */
export function collectModules(folder, wanted) {
  const files = listModules(folder);
  const builtIn = new Set(
    readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n').filter(Boolean).map(plainName),
  );
  const order = new Map();
  const visit = (name) => {
    if (order.has(name) || builtIn.has(name)) return;
    const path = files.get(name);
    if (path === undefined) throw new Error(`the kernel in ${folder} has no module ${name}`);
    const data = readModule(path);
    for (const dependency of dependenciesOf(data)) visit(dependency);
    order.set(name, { name, data });
  };
  for (const name of wanted) visit(name);
  return [...order.values()];
}
