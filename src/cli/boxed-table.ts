// Tables with lines around their cells, as calicoctl's ipam commands print them.

/** Lines with a final newline. Columns named in `right` have their cells, not their headings, to the right. */
export function formatBoxedTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  right: ReadonlySet<string> = new Set(),
): string {
  const widths = headings.map((heading, index) =>
    Math.max(heading.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const line = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`;
  const print = (cells: readonly string[], isHead: boolean): string => {
    const padded = headings.map((heading, index) => {
      const cell = cells[index] ?? '';
      const width = widths[index] ?? 0;
      return !isHead && right.has(heading) ? cell.padStart(width) : cell.padEnd(width);
    });
    return `| ${padded.join(' | ')} |\n`;
  };
  const body = rows.map((row) => print(row, false)).join('');
  return `${line}${print(headings, true)}${line}${body}${line}`;
}
