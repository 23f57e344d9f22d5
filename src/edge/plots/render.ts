// From an ECharts option to SVG and PNG. Not here: what is drawn, and where it is written.

import { join } from 'node:path';
import { Resvg } from '@resvg/resvg-js';
import { type EChartsOption, init } from 'echarts';

export const PLOT_WIDTH = 1100;
const PLOT_HEIGHT = 560;
/** The PNG has this many pixels per unit of the SVG: sharp on a dense screen. */
const PNG_SCALE = 2;
/** Comes with the package, beside `src` and `dist`: a machine without any font would give pictures without letters. */
const FONT_FILE = join(import.meta.dirname, '../../../assets/dejavu-sans-subset.ttf');
const FONT_FAMILY = 'DejaVu Sans';

/** Colours that people with any colour vision tell apart (Okabe and Ito). */
export const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'] as const;

export function renderSvg(option: EChartsOption, height = PLOT_HEIGHT): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: PLOT_WIDTH, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      textStyle: { fontFamily: `${FONT_FAMILY}, Verdana, sans-serif`, fontSize: 13, color: '#222222' },
      ...option,
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

export function renderPng(svg: string): Uint8Array {
  const image = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: PNG_SCALE },
    font: { fontFiles: [FONT_FILE], loadSystemFonts: false, defaultFontFamily: FONT_FAMILY },
  });
  return image.render().asPng();
}
