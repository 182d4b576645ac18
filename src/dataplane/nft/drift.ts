// What somebody else has changed in the table: the difference between what we left there and what is there.
import type { SetState } from './set-state.ts';
import type { TableState } from './table-state.ts';

/**
 * Names of the chains and sets that are not as they were left. One `undefined` when the table itself is
 * gone, dormant, or such that it must be made anew (`found` undefined).
 */
export function drift(left: TableState, found: TableState | undefined): (string | undefined)[] {
  const isGone = !found || (found.chains.size === 0 && left.chains.size > 0);
  if (isGone) return [undefined];
  const names = new Set<string>();
  for (const [name, chain] of left.chains) {
    if (found.chains.get(name)?.signature !== chain.signature) names.add(name);
  }
  for (const [name, set] of left.sets) {
    const now = found.sets.get(name);
    if (!now || !sameEntries(set, now)) names.add(name);
  }
  for (const name of found.chains.keys()) if (!left.chains.has(name)) names.add(name);
  for (const name of found.sets.keys()) if (!left.sets.has(name)) names.add(name);
  return [...names];
}

function sameEntries(one: SetState, other: SetState): boolean {
  if (one.entries.size !== other.entries.size) return false;
  for (const text of one.entries.keys()) if (!other.entries.has(text)) return false;
  return true;
}
