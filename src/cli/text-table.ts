// Tables as kubectl prints them: columns as wide as their widest cell, three spaces between, no lines.

const GAP = 3;
/** Longer cells are cut in the middle of a table; nobody reads them there. */
const CELL_MAX = 120;

/** Lines with a final newline; the last column is not padded. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cells = rows.map((row) => headings.map((_, index) => fit(row[index] ?? '')));
  const widths = headings.map((heading, index) =>
    Math.max(heading.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  return [headings, ...cells]
    .map((row) => row.map((cell, index) => cell.padEnd((widths[index] ?? 0) + GAP)).join(''))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function fit(cell: string): string {
  const line = cell.replaceAll(/\s+/g, ' ');
  return line.length > CELL_MAX ? `${line.slice(0, CELL_MAX - 1)}…` : line;
}

/** The time since a moment, as kubectl says it: `45s`, `5m10s`, `3h20m`, `12d`. Empty for what is no time. */
export function formatAge(timestamp: unknown, nowMs: number): string {
  const from = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(from)) return '';
  const seconds = Math.max(0, Math.floor((nowMs - from) / 1000));
  const [minutes, hours, days] = [60, 3_600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (minutes === undefined || hours === undefined || days === undefined) return '';
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return `${minutes}m${rest(seconds % 60, 's')}`;
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return `${hours}h${rest(minutes % 60, 'm')}`;
  if (hours < 48) return `${hours}h`;
  if (days < 8) return `${days}d${rest(hours % 24, 'h')}`;
  return `${days}d`;
}

function rest(count: number, unit: string): string {
  return count === 0 ? '' : `${count}${unit}`;
}
