// Which policies are decided together: few groups for each tier list, most of them shared between lists.

/** Policies that stand side by side. Groups of one name have the same policies. */
export interface PolicyGroup {
  readonly name: string;
  readonly keys: readonly string[];
}

/** On average. Smaller groups are more look-ups for each packet, bigger ones more work for each change. */
const GROUP_SIZE = 1024;
/** A list in more groups than this gets groups of its own, as long as there is room for them. */
const SHARED_MAX = 16;
/**
 * How many lists may have groups of their own: each is some maps, and the kernel walks the list of a table's
 * sets and maps for each that it makes or binds.
 */
const OWN_LISTS_MAX = 64;
/** How often a policy may be repeated in lists' own groups, on average. */
const REPEATS_MAX = 4;

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
 * Cuts ordered lists of policy keys into groups. Policies that stand side by side in every list that has one of
 * them are a group for all these lists; where that leaves many groups, because lists take turns with what they
 * have in common, a list gets its own. A key for which `isAlone` holds is a group of its own.
 */
export function groupPolicies(
  lists: readonly (readonly string[])[],
  isAlone: (key: string) => boolean,
): PolicyGroup[][] {
  const goesWith = togetherEverywhere(lists);
  const shared = lists.map((list) =>
    cut(list, (key, next) => goesWith(key, next) && !isBoundary(next), isAlone).map(
      (keys): PolicyGroup => ({ name: keys[0] ?? '', keys }),
    ),
  );
  let room = REPEATS_MAX * new Set(lists.flat()).size;
  let left = OWN_LISTS_MAX;
  const result = [...shared];
  const worstFirst = [...lists.keys()].toSorted(
    (a, b) => (shared[b]?.length ?? 0) - (shared[a]?.length ?? 0),
  );
  for (const index of worstFirst) {
    const list = lists[index] ?? [];
    const before = shared[index]?.length ?? 0;
    if (before <= SHARED_MAX || list.length > room || left === 0) continue;
    const own = cut(list, (_, next) => !isBoundary(next), isAlone);
    if (own.length >= before) continue;
    room -= list.length;
    left--;
    // Named by all that is in it: it is a group of every list that has the same part.
    result[index] = own.map((keys) => ({ name: `${keys.join('\n')}\n`, keys }));
  }
  return result;
}

function togetherEverywhere(
  lists: readonly (readonly string[])[],
): (key: string, next: string) => boolean {
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
  return (key, next) => followers.get(key) === next && uses.get(key) === uses.get(next);
}

function cut(
  list: readonly string[],
  goesWith: (key: string, next: string) => boolean,
  isAlone: (key: string) => boolean,
): string[][] {
  const groups: string[][] = [];
  for (const [index, key] of list.entries()) {
    const before = list[index - 1];
    const isOpen = before !== undefined && !isAlone(before) && !isAlone(key);
    if (isOpen && goesWith(before, key)) groups.at(-1)?.push(key);
    else groups.push([key]);
  }
  return groups;
}
