// VMs as they are typed, by id or by name, looked up with the daemon. Not here: what is done with them.

import { type PublicVm, vmSchema, vmsSchema } from '../schemas.ts';
import type { ClientContext } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';

/** By id, or by a name that only one VM has. */
export async function vmOf({ api }: ClientContext, text: string): Promise<PublicVm> {
  if (/^\d{1,15}$/.test(text)) return api.get(`/v1/vms/${Number(text)}`, vmSchema);
  const { vms } = await api.get('/v1/vms', vmsSchema, { name: text, limit: 2 });
  const [vm, other] = vms;
  if (vm === undefined) throw new CommandFailure(2, `there is no VM named ${JSON.stringify(text)}`);
  if (other !== undefined) throw new CommandFailure(2, `several VMs are named ${JSON.stringify(text)}; give the id`);
  return vm;
}

/** All are looked up before anything is done to one: a slip in the last name changes nothing. */
export async function vmsOf(context: ClientContext, texts: readonly string[]): Promise<readonly PublicVm[]> {
  const found = new Map<number, PublicVm>();
  for (const text of texts) {
    const vm = await vmOf(context, text);
    found.set(vm.id, vm);
  }
  return [...found.values()];
}
