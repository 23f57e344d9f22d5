// Labels for moments on a time axis, in rows so that no two overlap. Pure.
// Not here: which moments there are (story-marks).

export interface Mark {
  /** Position on the axis, in its unit. */
  readonly at: number;
  readonly label: string;
}

export interface PlacedMark extends Mark {
  /** 0 is the row nearest to the plot. */
  readonly row: number;
}

/**
 * Gives each mark the lowest row in which its label, centred on its line, touches no other label.
 * `labelWidth` is in the axis' unit.
 */
export function placeInRows(marks: readonly Mark[], labelWidth: (label: string) => number): PlacedMark[] {
  const endOfRow: number[] = [];
  return [...marks]
    .sort((a, b) => a.at - b.at)
    .map((mark) => {
      const half = labelWidth(mark.label) / 2;
      let row = 0;
      while ((endOfRow[row] ?? Number.NEGATIVE_INFINITY) > mark.at - half) row += 1;
      endOfRow[row] = mark.at + half;
      return { ...mark, row };
    });
}
