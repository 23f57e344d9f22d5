// What a VM is called inside a balancer. Not here: where it is written (haproxy/, file/).

/**
 * Everything that virtscale puts into a backend begins so: it knows its own again after a restart without remembering anything, never touches
 * servers that people wrote into the same backend, and the balancer's own pages show who put what there.
 */
const OURS = 'virtscale-';

/**
 * A name that balancers accept (letters, digits, `.` and `-`), different for different VMs: every other character, `_` too, becomes `_` and its
 * bytes in hex, closed by another `_`.
 */
export function serverNameOf(vm: string): string {
  return OURS + vm.replace(/[^A-Za-z0-9.-]/gu, (char) => `_${Buffer.from(char).toString('hex')}_`);
}

export function isOurServer(name: string): boolean {
  return name.startsWith(OURS);
}
