// The twin's input: what the datastore holds now, by kind, in an order that no history can show in.
import type { Resource } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { compareCodePoints } from '#lib';

export class Cluster {
  readonly #resources = new Map<string, Map<string, Resource>>();

  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      const id = `${kind.group}/${kind.kind}`;
      const resources = this.#resources.get(id) ?? new Map<string, Resource>();
      this.#resources.set(id, resources);
      if (resource) resources.set(key, resource);
      else resources.delete(key);
    }
  }

  /** The resources of one kind, by `group/kind`; the caller knows their type. */
  list<R extends Resource>(kind: string): R[] {
    return [...(this.#resources.get(kind)?.entries() ?? [])]
      .sort(([a], [b]) => compareCodePoints(a, b))
      .map(([, resource]) => resource as R);
  }
}
