// Keeps the identity of values that did not change, so that a reader can compare by reference.

/** A function of an object, computed once for each object. */
export function memoize<K extends object, V>(compute: (key: K) => V): (key: K) => V {
  const known = new WeakMap<K, { readonly value: V }>();
  return (key) => {
    const entry = known.get(key) ?? { value: compute(key) };
    known.set(key, entry);
    return entry.value;
  };
}

/** `next` with every value that equals the previous one replaced by it; all of `previous` if nothing changed. */
export function shareMap<V>(
  previous: ReadonlyMap<string, V> | undefined,
  next: ReadonlyMap<string, V>,
  equal: (a: V, b: V) => boolean,
): ReadonlyMap<string, V> {
  if (!previous) return next;
  const shared = new Map<string, V>();
  let changed = previous.size !== next.size;
  for (const [key, value] of next) {
    const before = previous.get(key);
    const same = before !== undefined && (Object.is(before, value) || equal(before, value));
    if (!same) changed = true;
    shared.set(key, same ? before : value);
  }
  return changed ? shared : previous;
}

/** `previous` where it equals `next`. */
export function share<V>(previous: V | undefined, next: V, equal: (a: V, b: V) => boolean): V {
  return previous !== undefined && equal(previous, next) ? previous : next;
}
