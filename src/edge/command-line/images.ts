// `virtscale images` and `virtscale flavors`: what VMs are made from. Not here: sending a file (upload).

import { resolve } from 'node:path';
import { z } from '@hono/zod-openapi';
import type { Command } from 'commander';
import { flavorsSchema, imageSchema, imagesSchema, operationSchema, type PublicImage } from '../fabric-schemas.ts';
import {
  type ClientContext,
  type ClientOptions,
  type ContextOf,
  clientCommand,
  listCommand,
} from './client-context.ts';
import { CommandFailure } from './command-failure.ts';
import { bytes } from './figures.ts';
import { finish } from './finish.ts';
import type { Cell, Style } from './terminal.ts';
import { uploadImage } from './upload.ts';
import { imageFormat, imagePlace, sha256 } from './values.ts';

interface AddOptions {
  readonly format?: 'qcow2' | 'raw';
  readonly sha256?: string;
  readonly at: 'here' | 'daemon' | 'hosts';
  readonly wait: boolean;
}

export function addImageCommands(root: Command, contextOf: ContextOf): void {
  const images = root.command('images').description('disk images: list, add, show, delete');
  listCommand(images, 'the images').action((options: ClientOptions) => showImages(contextOf(options)));
  clientCommand(images, 'show', 'one image with all that is known of it')
    .argument('<name>')
    .action((name: string, options: ClientOptions) => showImage(contextOf(options), name));
  clientCommand(images, 'add', 'send a file, or have the daemon fetch one, checked before it is used')
    .argument('<name>', 'what it is to be called')
    .argument('<source>', 'a file, an http(s) URL, or user@host:/path, which the daemon fetches by ssh')
    .option('--format <format>', 'qcow2 or raw (default: what its header says)', imageFormat)
    .option('--sha256 <digest>', 'refuse it when its SHA-256 is another one', sha256)
    .option(
      '--at <place>',
      "where a file's path is: here, daemon (on its machine) or hosts (on every host)",
      imagePlace,
      'here',
    )
    .option('--no-wait', 'do not wait until the daemon has fetched it')
    .action((name: string, source: string, options: ClientOptions & AddOptions) =>
      addImage(contextOf(options), name, source, options),
    );
  clientCommand(images, 'delete', 'remove images that no VM and no policy uses')
    .argument('<name...>')
    .action((names: string[], options: ClientOptions) => deleteImages(contextOf(options), names));

  const flavors = root.command('flavors').description('flavors: what VMs are given');
  listCommand(flavors, 'the flavors').action((options: ClientOptions) => showFlavors(contextOf(options)));
}

const STYLES: Readonly<Record<PublicImage['state'], Style>> = { importing: 'yellow', ready: 'green', failed: 'red' };

async function showImages({ api, terminal, json }: ClientContext): Promise<void> {
  const { images } = await api.get('/v1/images', imagesSchema);
  if (json) return terminal.json(images, 2);
  const rows = images.map((image): (Cell | string)[] => [
    `${image.id}`,
    { text: image.name, style: 'bold' },
    { text: image.state, style: STYLES[image.state] },
    image.format ?? '–',
    image.fileBytes === undefined ? '–' : bytes(image.fileBytes),
    image.virtualBytes === undefined ? '–' : bytes(image.virtualBytes),
    `${image.vmCount}`,
    image.hosts.join(', '),
    image.reason ?? sourceText(image),
  ]);
  terminal.table(['ID', 'IMAGE', 'STATE', 'FORMAT', 'FILE', 'DISK', 'VMS', 'HOSTS', ''], rows, 'No images.');
}

function sourceText({ source: { kind, from } }: PublicImage): string {
  return from ?? kind;
}

async function showImage({ api, terminal, json }: ClientContext, name: string): Promise<void> {
  const image = await api.get(`/v1/images/${encodeURIComponent(name)}`, imageSchema);
  if (json) return terminal.json(image, 2);
  printImage({ terminal }, image);
}

function printImage({ terminal }: Pick<ClientContext, 'terminal'>, image: PublicImage): void {
  terminal.fields([
    ['image', { text: `${image.id} ${image.name}`, style: 'bold' }],
    ['state', { text: image.state, style: STYLES[image.state] }],
    ['why', image.reason],
    ['from', sourceText(image)],
    ['added', image.addedAt],
    ['format', image.format],
    ['file', image.fileBytes === undefined ? undefined : bytes(image.fileBytes)],
    ['disk', image.virtualBytes === undefined ? undefined : bytes(image.virtualBytes)],
    ['sha256', image.sha256],
    ['on hosts', image.hosts.join(', ')],
    ['VMs', `${image.vmCount}`],
  ]);
}

async function addImage(context: ClientContext, name: string, source: string, options: AddOptions): Promise<void> {
  const { format, at, wait } = options;
  const from = sourceOf(source, at);
  if (from === undefined) {
    const query = { format, sha256: options.sha256 };
    const image = await uploadImage(context, name, resolve(source), query);
    if (context.json) return context.terminal.json(image, 2);
    return printImage(context, image);
  }
  const body = {
    name,
    source: from,
    ...(format !== undefined && { format }),
    ...(options.sha256 !== undefined && { sha256: options.sha256 }),
  };
  await finish(context, await context.api.send('POST', '/v1/images', operationSchema, { body }), wait);
}

/** What the daemon is to fetch; undefined for a file that is sent to it. */
function sourceOf(text: string, at: AddOptions['at']): Readonly<Record<string, string>> | undefined {
  if (at !== 'here') {
    if (!text.startsWith('/'))
      throw new CommandFailure(2, `${text}: with --at ${at} a full path is needed, beginning with /`);
    return at === 'daemon' ? { path: text } : { host: text };
  }
  if (/^https?:\/\//i.test(text)) return { url: text };
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(text)) {
    throw new CommandFailure(2, `${text}: images come from a file, by http:// or https://, or as user@host:/path`);
  }
  // A colon before the first slash: as scp reads it. A file of such a name is given as ./NAME.
  return /^[^/]+:/.test(text) ? { ssh: text } : undefined;
}

async function deleteImages({ api, terminal, json }: ClientContext, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await api.send('DELETE', `/v1/images/${encodeURIComponent(name)}`, z.unknown());
    if (!json) terminal.line(`image ${terminal.styled('bold', name)}: ${terminal.styled('green', 'deleted')}`);
  }
  if (json) terminal.json({ deleted: names }, 2);
}

async function showFlavors({ api, terminal, json }: ClientContext): Promise<void> {
  const { flavors } = await api.get('/v1/flavors', flavorsSchema);
  if (json) return terminal.json(flavors, 2);
  const rows = flavors.map(({ id, name, vcpus, memoryMiB, diskGiB }): (Cell | string)[] => [
    `${id}`,
    { text: name, style: 'bold' },
    `${vcpus}`,
    `${memoryMiB} MiB`,
    diskGiB === undefined ? 'as the image' : `${diskGiB} GiB`,
  ]);
  terminal.table(['ID', 'FLAVOR', 'VCPUS', 'MEMORY', 'DISK'], rows, 'No flavors.');
}
