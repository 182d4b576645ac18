// Who watches what, so that a write finds those whom it concerns without asking the others.
import type { RevisionTooOld, StoreEvent, StoreUnavailable, StoreWatch } from './store.ts';

interface Scope {
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

export class WatcherIndex {
  readonly #scopes = new Map<string, Set<StoreWatch>>();
  /** Every watch, and the revision of its last bookmark. */
  readonly #bookmarks = new Map<StoreWatch, number>();

  /** Returns the function that takes it out again. */
  add(watch: StoreWatch): () => void {
    const scope = scopeOf(watch);
    const watches = this.#scopes.get(scope) ?? new Set();
    this.#scopes.set(scope, watches);
    watches.add(watch);
    this.#bookmarks.set(watch, watch.from);
    return () => {
      this.#bookmarks.delete(watch);
      watches.delete(watch);
      if (watches.size === 0 && this.#scopes.get(scope) === watches) this.#scopes.delete(scope);
    };
  }

  tell(event: StoreEvent): void {
    const { kind, namespace, name } = event.key;
    for (const scope of [{ kind }, { kind, namespace }, { kind, namespace, name }]) {
      const watches = this.#scopes.get(scopeOf(scope));
      if (watches) for (const watch of watches) watch.onEvent(event);
    }
  }

  /** Tells those who want to know that they have been told everything up to the revision. */
  bookmark(revision: number): void {
    for (const [watch, last] of this.#bookmarks) {
      if (!watch.onBookmark || last === revision) continue;
      this.#bookmarks.set(watch, revision);
      watch.onBookmark(revision);
    }
  }

  /** Ends every watch. */
  end(error: RevisionTooOld | StoreUnavailable): void {
    const watches = [...this.#bookmarks.keys()];
    this.#bookmarks.clear();
    this.#scopes.clear();
    for (const { onEnd } of watches) onEnd?.(error);
  }
}

/** Whether the watch is to hear of what is in this place. */
export function concerns(watch: Scope, namespace: string, name: string): boolean {
  if (watch.namespace !== undefined && watch.namespace !== namespace) return false;
  return watch.name === undefined || watch.name === name;
}

/** Everything of a kind, of a namespace of it, or one name there. */
function scopeOf({ kind, namespace, name }: Scope): string {
  if (namespace === undefined) return kind;
  return name === undefined ? `${kind}\0${namespace}` : `${kind}\0${namespace}\0${name}`;
}
