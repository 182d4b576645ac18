// Role bindings by whom they are for, so that a request costs the bindings of its user and not all there are.
import type { ClusterRoleBinding, RoleBinding, Subject } from '#api';
import { type Identity, serviceAccountUser } from './identity.ts';

export type Binding = RoleBinding | ClusterRoleBinding;

export interface BoundTo {
  readonly binding: Binding;
  readonly subject: Subject;
}

/** The bindings of one namespace, or of the cluster. */
export class BindingIndex {
  readonly #namespace: string;
  readonly #byName = new Map<string, Binding>();
  readonly #bySubject = new Map<string, Map<string, BoundTo>>();

  /** Empty: of the cluster. */
  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** Undefined: it has gone. */
  set(name: string, binding: Binding | undefined): void {
    for (const subject of this.#byName.get(name)?.subjects ?? []) this.#remove(subject, name);
    if (!binding) {
      this.#byName.delete(name);
      return;
    }
    this.#byName.set(name, binding);
    for (const subject of binding.subjects ?? []) {
      const key = this.#keyOf(subject);
      if (key === undefined) continue;
      const bound = this.#bySubject.get(key) ?? new Map<string, BoundTo>();
      this.#bySubject.set(key, bound.set(name, { binding, subject }));
    }
  }

  /** Each binding for the user or one of its groups; one may come for both. */
  *of({ name, groups }: Identity): Generator<BoundTo> {
    for (const key of [`User ${name}`, ...groups.map((group) => `Group ${group}`)]) {
      yield* this.#bySubject.get(key)?.values() ?? [];
    }
  }

  #remove(subject: Subject, name: string): void {
    const key = this.#keyOf(subject) ?? '';
    const bound = this.#bySubject.get(key);
    bound?.delete(name);
    if (bound?.size === 0) this.#bySubject.delete(key);
  }

  /** A service account is a user; without a namespace it is of the binding's. */
  #keyOf({ kind, name, namespace }: Subject): string | undefined {
    if (kind !== 'ServiceAccount') return `${kind} ${name}`;
    const home = namespace || this.#namespace;
    return home === '' ? undefined : `User ${serviceAccountUser(home, name)}`;
  }
}
