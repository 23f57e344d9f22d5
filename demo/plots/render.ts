// Writes the demo's plots. Not here: what is drawn (cpu-plot, response-time-plot), and drawing (src/edge/plots).

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EChartsOption } from 'echarts';
import { COLOURS, PLOT_WIDTH, renderPng, renderSvg } from '../../src/edge/plots/render.ts';

export { PLOT_WIDTH, renderPng, renderSvg };

/** In the order in which VMs appear. */
export const VM_COLOURS = COLOURS;

/** Writes `name.svg` and `name.png` into `folder`. */
export async function writePlot(folder: string, name: string, option: EChartsOption): Promise<void> {
  const svg = renderSvg(option);
  await Promise.all([
    writeFile(join(folder, `${name}.svg`), svg),
    writeFile(join(folder, `${name}.png`), renderPng(svg)),
  ]);
}
