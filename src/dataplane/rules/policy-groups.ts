// Which policies can be decided together: those that stand side by side in every tier list that has one of them.

/** On average. Smaller groups are more look-ups for each packet, bigger ones more work for each change. */
const GROUP_SIZE = 1024;

/**
 * Whether a group ends before this policy. By its name alone, so that policies which come and go leave the
 * groups around them as they are (content-defined chunking).
 */
function isBoundary(key: string): boolean {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % GROUP_SIZE === 0;
}

/**
 * Cuts ordered lists of policy keys into groups, the same in each list: the lists as groups. A key for which
 * `isAlone` holds is a group of its own. Every key is in at most one group, whose first key thus names it.
 */
export function groupPolicies(
  lists: readonly (readonly string[])[],
  isAlone: (key: string) => boolean,
): string[][][] {
  const uses = new Map<string, number>();
  const followers = new Map<string, string | undefined>();
  for (const list of lists) {
    for (const [index, key] of list.entries()) {
      const next = list[index + 1];
      uses.set(key, (uses.get(key) ?? 0) + 1);
      const isSame = !followers.has(key) || followers.get(key) === next;
      followers.set(key, isSame ? next : undefined);
    }
  }
  const goesWith = (key: string, next: string | undefined) =>
    next !== undefined &&
    followers.get(key) === next &&
    uses.get(key) === uses.get(next) &&
    !isAlone(key) &&
    !isAlone(next) &&
    !isBoundary(next);
  return lists.map((list) => {
    const groups: string[][] = [];
    for (const [index, key] of list.entries()) {
      const before = list[index - 1];
      if (before !== undefined && goesWith(before, key)) groups.at(-1)?.push(key);
      else groups.push([key]);
    }
    return groups;
  });
}
