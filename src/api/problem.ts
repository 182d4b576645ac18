// How problems are worded: a field path, the value quoted, what to do.
import type { Problem } from './kind.ts';

const QUOTED_MAX = 80;

/** An error at a field path such as `spec.ingress[0].action`. */
export function fault(path: string, message: string): Problem {
  return { path, message, severity: 'error' };
}

/** Something odd that is let through. */
export function caution(path: string, message: string): Problem {
  return { path, message, severity: 'warning' };
}

/** A value as JSON, cut to a length that fits a line. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > QUOTED_MAX ? `${text.slice(0, QUOTED_MAX)}...` : text;
}

/** The path of a member; names that are no identifiers go into brackets. */
export function memberPath(path: string, name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === '' ? name : `${path}.${name}`;
}
