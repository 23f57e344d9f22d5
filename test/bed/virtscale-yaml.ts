// What a bed tells people: its URIs as a table, and a virtscale.yaml with which a daemon takes its hosts. Text only.
import { stringify } from 'yaml';
import type { Image } from '../../src/core/model.ts';

export interface ListedHost {
  readonly name: string;
  readonly uri: string;
  readonly pool: { readonly name: string; readonly path: string };
  readonly network: { readonly forward: string } | { readonly bridge: string };
}

/** `extraArgs` are kernel arguments that guests on this kind of network need. */
export function virtscaleYaml(dir: string, hosts: readonly ListedHost[], image: Image, extraArgs = ''): string {
  const { direct, format, name, path } = image;
  const { kernel, initrd, args } = direct ?? { kernel: undefined, initrd: undefined, args: '' };
  const images = [{ name, path, format, kernel, initrd, args: `${args} ${extraArgs}`.trim() }];
  return stringify({ stateDir: `${dir}/state`, policies: `${dir}/policies`, hosts, images }, { lineWidth: 0 });
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
