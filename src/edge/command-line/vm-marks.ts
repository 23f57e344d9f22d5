// `virtscale vms protect`, `unprotect` and `label`: what people say about VMs, for policies to heed.

import type { Command } from 'commander';
import { type PublicVm, vmSchema } from '../schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { vmOf, vmsOf } from './vm-names.ts';

export function addVmMarks(vms: Command, contextOf: ContextOf): void {
  clientCommand(vms, 'protect', 'never let their policy remove them')
    .argument('<vm...>', 'ids or names')
    .action((names: string[], options: ClientOptions) => protect(contextOf(options), names, true));
  clientCommand(vms, 'unprotect', 'let their policy remove them again')
    .argument('<vm...>', 'ids or names')
    .action((names: string[], options: ClientOptions) => protect(contextOf(options), names, false));
  clientCommand(vms, 'label', 'set labels of a VM, or take some away')
    .argument('<vm>', 'id or name')
    .argument('<label...>', 'KEY=VALUE sets one, KEY- takes it away; others stay')
    .action((vm: string, labels: string[], options: ClientOptions) => label(contextOf(options), vm, labels));
}

export function labelsText({ labels }: PublicVm): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ');
}

async function protect(context: ClientContext, names: readonly string[], isProtected: boolean): Promise<void> {
  const { api, terminal, json } = context;
  const changed: PublicVm[] = [];
  for (const { id } of await vmsOf(context, names)) {
    const vm = await api.send('PATCH', `/v1/vms/${id}`, vmSchema, { body: { protected: isProtected } });
    changed.push(vm);
    if (json) continue;
    const text = vm.protected ? 'protected: its policy never removes it' : 'not protected any more';
    terminal.line(`VM ${vm.id} ${terminal.styled('bold', vm.name)}: ${terminal.styled('green', text)}`);
  }
  if (json) terminal.json(changed, 2);
}

async function label(context: ClientContext, name: string, words: readonly string[]): Promise<void> {
  const { api, terminal, json } = context;
  const changes = words.map(changeOf);
  const { id } = await vmOf(context, name);
  const vm = await api.edit(`/v1/vms/${id}`, vmSchema, {
    method: 'PATCH',
    body: ({ labels }) => ({ labels: labelled(labels, changes) }),
  });
  if (json) return terminal.json(vm, 2);
  const text = labelsText(vm) || 'no labels';
  terminal.line(`VM ${vm.id} ${terminal.styled('bold', vm.name)}: ${terminal.styled(undefined, text)}`);
}

/** Without a value: it is taken away. */
interface LabelChange {
  readonly key: string;
  readonly value?: string;
}

function changeOf(word: string): LabelChange {
  const at = word.indexOf('=');
  if (at > 0) return { key: word.slice(0, at), value: word.slice(at + 1) };
  if (at < 0 && word.length > 1 && word.endsWith('-')) return { key: word.slice(0, -1) };
  throw new CommandFailure(2, `${JSON.stringify(word)} is neither KEY=VALUE nor KEY-`);
}

function labelled(
  labels: Readonly<Record<string, string>>,
  changes: readonly LabelChange[],
): Readonly<Record<string, string>> {
  const all = new Map(Object.entries(labels));
  for (const { key, value } of changes) {
    if (value === undefined) all.delete(key);
    else all.set(key, value);
  }
  return Object.fromEntries(all);
}
