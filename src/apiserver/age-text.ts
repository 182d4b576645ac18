// Spans of time as kubectl prints them.

/** Since an RFC 3339 time; two units at most, such as `45s`, `5m10s`, `3h20m`, `2d4h`, `400d`. `now` in ms. */
export function ageText(timestamp: unknown, now: number): string {
  const start = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(start)) return '<invalid>';
  const seconds = Math.max(0, Math.floor((now - start) / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return joined([minutes, 'm'], [seconds % 60, 's']);
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return joined([hours, 'h'], [minutes % 60, 'm']);
  if (hours < 48) return `${hours}h`;
  if (days < 8) return joined([days, 'd'], [hours % 24, 'h']);
  if (days < 730) return `${days}d`;
  return joined([Math.floor(days / 365), 'y'], [days % 365, 'd']);
}

function joined(large: [number, string], small: [number, string]): string {
  return `${large.join('')}${small[0] === 0 ? '' : small.join('')}`;
}
