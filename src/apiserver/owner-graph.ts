// Which objects name which others as their owners, by uid: only objects with owners are kept.
import type { KindDefinition } from '#api';

/** One life of an object. */
export interface ObjectLife {
  readonly kind: KindDefinition;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export class OwnerGraph {
  readonly #owners = new Map<string, readonly string[]>();
  readonly #dependents = new Map<string, Map<string, ObjectLife>>();

  /** Replaces what is known of the owners of an object; returns the uids that are its owners no more. */
  set(life: ObjectLife, owners: readonly string[]): string[] {
    const before = this.#owners.get(life.uid) ?? [];
    if (owners.length > 0) this.#owners.set(life.uid, owners);
    else this.#owners.delete(life.uid);
    const lost = before.filter((owner) => !owners.includes(owner));
    for (const owner of lost) this.#unlink(owner, life.uid);
    for (const owner of owners) {
      const dependents = this.#dependents.get(owner) ?? new Map<string, ObjectLife>();
      this.#dependents.set(owner, dependents.set(life.uid, life));
    }
    return lost;
  }

  /** The objects that name this uid as an owner. */
  dependentsOf(uid: string): ObjectLife[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  #unlink(owner: string, uid: string): void {
    const dependents = this.#dependents.get(owner);
    dependents?.delete(uid);
    if (dependents?.size === 0) this.#dependents.delete(owner);
  }
}
