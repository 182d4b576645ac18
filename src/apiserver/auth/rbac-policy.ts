// The RBAC roles and bindings in force, and which rules they give to whom.
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Resource,
  Role,
  RoleBinding,
  RoleRef,
} from '#api';
import { BindingIndex, type BoundTo } from './binding-index.ts';
import type { Attributes, Identity } from './identity.ts';
import { ruleAllows } from './rbac-rules.ts';

/** A rule that somebody has, and through which binding. */
export interface GrantedRule {
  readonly rule: PolicyRule;
  /** Such as `ClusterRoleBinding "admins" of ClusterRole "cluster-admin" to Group "ops"`. */
  readonly through: string;
}

/** A plural of rbac.authorization.k8s.io. */
export type RbacPlural = 'roles' | 'rolebindings' | 'clusterroles' | 'clusterrolebindings';

/** Holds the objects by name; `set` follows their changes. Pure but for that. */
export class RbacPolicy {
  readonly #roles = new Map<string, Map<string, Role>>();
  readonly #bindings = new Map<string, BindingIndex>();
  readonly #clusterRoles = new Map<string, ClusterRole>();
  readonly #clusterBindings = new BindingIndex('');

  /** Undefined: it has gone. */
  set(plural: RbacPlural, key: { namespace: string; name: string }, value?: Resource): void {
    const { namespace, name } = key;
    switch (plural) {
      case 'roles':
        return put(inNamespace(this.#roles, namespace), name, value as Role | undefined);
      case 'rolebindings':
        return this.#bindingsIn(namespace).set(name, value as RoleBinding | undefined);
      case 'clusterroles':
        return put(this.#clusterRoles, name, value as ClusterRole | undefined);
      case 'clusterrolebindings':
        return this.#clusterBindings.set(name, value as ClusterRoleBinding | undefined);
    }
  }

  get clusterRoles(): Iterable<ClusterRole> {
    return this.#clusterRoles.values();
  }

  /** The rule that allows the request; undefined: none does. */
  allowing(identity: Identity, attributes: Attributes): GrantedRule | undefined {
    const namespace = 'path' in attributes ? '' : attributes.namespace;
    for (const granted of this.#granted(identity, namespace)) {
      if (ruleAllows(granted.rule, attributes)) return granted;
    }
    return undefined;
  }

  /** All rules that hold in the namespace, those of the whole cluster with them; empty: those alone. */
  rulesOf(identity: Identity, namespace: string): PolicyRule[] {
    return Array.from(this.#granted(identity, namespace), ({ rule }) => rule);
  }

  /** The rules of the role that a binding in `namespace` (empty: of the cluster) names; undefined: it is missing. */
  rulesOfRole(roleRef: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    const role =
      roleRef.kind === 'ClusterRole'
        ? this.#clusterRoles.get(roleRef.name)
        : this.#roles.get(namespace)?.get(roleRef.name);
    return role && (role.rules ?? []);
  }

  *#granted(identity: Identity, namespace: string): Generator<GrantedRule> {
    for (const bound of this.#clusterBindings.of(identity)) yield* this.#rulesThrough(bound, '');
    for (const bound of this.#bindings.get(namespace)?.of(identity) ?? []) {
      yield* this.#rulesThrough(bound, namespace);
    }
  }

  #bindingsIn(namespace: string): BindingIndex {
    const found = this.#bindings.get(namespace) ?? new BindingIndex(namespace);
    this.#bindings.set(namespace, found);
    return found;
  }

  *#rulesThrough({ binding, subject }: BoundTo, namespace: string): Generator<GrantedRule> {
    const { kind, metadata, roleRef } = binding;
    const place = namespace === '' ? metadata.name : `${metadata.name}/${namespace}`;
    const owner = `${subject.kind} "${subject.name}"`;
    const through = `${kind} "${place}" of ${roleRef.kind} "${roleRef.name}" to ${owner}`;
    for (const rule of this.rulesOfRole(roleRef, namespace) ?? []) yield { rule, through };
  }
}

function inNamespace<T>(all: Map<string, Map<string, T>>, namespace: string): Map<string, T> {
  const found = all.get(namespace);
  if (found) return found;
  const made = new Map<string, T>();
  all.set(namespace, made);
  return made;
}

function put<T>(map: Map<string, T>, name: string, value: T | undefined): void {
  if (value) map.set(name, value);
  else map.delete(name);
}
