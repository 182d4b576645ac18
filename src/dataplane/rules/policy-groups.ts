// Which policies can be decided together: those that stand side by side in every tier list that has one of them.

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
    !isAlone(next);
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
