// Lets a guest's root file system take what its disk has, by a script that its agent runs there.
// Not here: growing the disk (domain-hardware). What the guest's own programs cannot do is told, not tried in other ways.

import { type CallOptions, ConnectionError, isLibvirtError } from '../../../libvirt/index.ts';
import type { FileSystemGrowth } from '../../../ports/hardware.ts';
import { type GuestAgent, isNobodyThere } from './guest-agent.ts';

const AGENT_PATIENCE_MS = 5000;
const BY_HAND = 'in the guest, grow the partition (growpart) and then the file system (resize2fs, xfs_growfs) by hand';
const TEXT_MAX = 300;

/**
 * Prints one line: `grown TEXT` or `hand TEXT`. Finds what `/` lies on by its device number, since a name such as /dev/root need not
 * exist. Works in BusyBox. growpart ends with 1 when there is nothing to grow.
 */
const GROW_SCRIPT = `
PATH=/usr/sbin:/sbin:/usr/bin:/bin; LC_ALL=C; export PATH LC_ALL
hand() { echo "hand $*"; exit 0; }
mm= fs= src=
while read -r a b c d e rest; do
  [ "$e" = / ] || continue
  mm=$c; rest=\${rest#* - }; set -- $rest; fs=$1; src=$2
done </proc/self/mountinfo
name=\${src#/dev/}
[ ! -r /sys/dev/block/$mm/uevent ] || name=$(sed -n 's/^DEVNAME=//p' /sys/dev/block/$mm/uevent)
case $name in
dm-*|md*|mapper/*) hand "the root file system lies on $src: grow what is below it, then the volume, then the file system ($fs)" ;;
esac
if [ -r /sys/class/block/$name/partition ]; then
  read -r part </sys/class/block/$name/partition
  disk=
  for d in /sys/block/*/$name; do [ ! -e "$d" ] || disk=$(basename "$(dirname "$d")"); done
  command -v growpart >/dev/null || hand "the guest has no growpart: grow partition $part of /dev/$disk, then its file system ($fs)"
  out=$(growpart /dev/$disk $part 2>&1) || [ $? = 1 ] || hand "growpart /dev/$disk $part failed: $out"
fi
case $fs in
ext2|ext3|ext4) tool=resize2fs; set -- resize2fs /dev/$name ;;
xfs) tool=xfs_growfs; set -- xfs_growfs / ;;
btrfs) tool=btrfs; set -- btrfs filesystem resize max / ;;
*) hand "the root file system is $fs, which is not grown from here" ;;
esac
command -v $tool >/dev/null || hand "the guest has no $tool: grow the file system on /dev/$name ($fs)"
out=$("$@" 2>&1) || hand "$* failed: $out"
echo "grown $fs on /dev/$name, $(df -k / | sed -n '$s/.* \\([0-9]*\\)  *[0-9]*  *[0-9]*  *[0-9]*% .*/\\1/p') KiB"
`;

/** Never an error of the guest's: what is left to do is the answer. */
export async function growFileSystem(agent: GuestAgent, uuid: string, call: CallOptions): Promise<FileSystemGrowth> {
  if (!(await agent.comes(uuid, AGENT_PATIENCE_MS, call))) {
    return { grown: false, text: `no agent answers in the guest: ${BY_HAND}` };
  }
  try {
    const run = await agent.run(uuid, { path: '/bin/sh', args: ['-c', GROW_SCRIPT], output: true }, call);
    return growthOf(run.output);
  } catch (error) {
    if (error instanceof ConnectionError || !isLibvirtError(error)) throw error;
    const why = isNobodyThere(error) ? 'the agent in the guest went silent' : 'the agent may not run programs there';
    return { grown: false, text: `${why}: ${BY_HAND}` };
  }
}

/** A guest may print anything: one line of it, and not too long. */
export function growthOf(output: string): FileSystemGrowth {
  const line = output.trim().split('\n').at(-1) ?? '';
  const [, word, text = ''] = /^(grown|hand) (.*)$/.exec(line) ?? [];
  const clean = text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, TEXT_MAX);
  if (word === 'grown') return { grown: true, text: `the file system in the guest has grown: ${clean}` };
  return { grown: false, text: word === 'hand' ? clean : `what the guest was asked to run did not answer: ${BY_HAND}` };
}
