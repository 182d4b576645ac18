// Rules for the names of kinds that know only one name, or one a node.
import { formatProblem } from './formats.ts';
import { quoted } from './problem.ts';

/** The kind has one object. */
export function singletonNameProblem(name: string): string | undefined {
  return name === 'default'
    ? undefined
    : `${quoted(name)} has no effect; the only name is "default"`;
}

/** One object for all, and one a node. */
export function perNodeNameProblem(name: string): string | undefined {
  if (name === 'default') return undefined;
  if (name.startsWith('node.')) return formatProblem('subdomain', name.slice('node.'.length));
  return `${quoted(name)} has no effect; use "default" or "node.<node>"`;
}
