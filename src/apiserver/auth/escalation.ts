// Nobody hands out more than they have: what writing roles and bindings needs beyond the verb on them.
import {
  type ClusterRole,
  type ClusterRoleBinding,
  clusterRoleKind,
  type KindDefinition,
  type PolicyRule,
  RBAC_GROUP,
  type Resource,
  type Role,
  type RoleBinding,
  roleKind,
} from '#api';
import { jsonEqual } from '#lib';
import { accessDenied } from './access-denied.ts';
import { attributesOf, type Attributes, type Identity } from './identity.ts';
import type { WriteCheck } from './node-authorization.ts';
import type { RbacPolicy } from './rbac-policy.ts';
import { ruleText, uncoveredRules } from './rbac-rules.ts';

/** What one must have to write an aggregation: it takes in whatever anybody labels. */
const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];
const SHOWN = 5;

/** For writes of the RBAC kinds by `identity`; undefined for other kinds. */
export function escalationCheck(
  policy: RbacPolicy,
  identity: Identity,
  { kind, verb }: { readonly kind: KindDefinition; readonly verb: string },
  allows: (attributes: Attributes) => boolean,
): WriteCheck | undefined {
  if (kind.group !== RBAC_GROUP) return undefined;
  const may = (extra: string, role: KindDefinition, namespace: string, name: string): boolean =>
    allows(attributesOf(role, extra, { namespace, name }));
  const confirm = (next: Resource, namespace: string, rules: readonly PolicyRule[]): void => {
    const missing = uncoveredRules(policy.rulesOf(identity, namespace), rules);
    if (missing.length === 0) return;
    const shown = missing.slice(0, SHOWN).map(ruleText).join(', ');
    const more = missing.length > SHOWN ? ` and ${missing.length - SHOWN} more` : '';
    const why = `attempting to grant RBAC permissions not currently held: ${shown}${more}`;
    throw accessDenied(identity, attributesOf(kind, verb, next.metadata), why);
  };
  if (kind === roleKind || kind === clusterRoleKind) {
    return (next, current) => {
      const { namespace = '', name } = next.metadata;
      const rules = addedRules(next as Role | ClusterRole, current as Role | ClusterRole);
      if (rules.length === 0 || may('escalate', kind, namespace, name)) return;
      confirm(next, namespace, rules);
    };
  }
  return (next, current) => {
    const { roleRef, subjects = [] } = next as RoleBinding | ClusterRoleBinding;
    const before = current as RoleBinding | ClusterRoleBinding | undefined;
    if (before && jsonEqual([before.roleRef, before.subjects ?? []], [roleRef, subjects])) return;
    const { namespace = '' } = next.metadata;
    const role = roleRef.kind === 'ClusterRole' ? clusterRoleKind : roleKind;
    if (may('bind', role, namespace, roleRef.name)) return;
    const rules = policy.rulesOfRole(roleRef, namespace);
    if (!rules) {
      const why = `${roleRef.kind} "${roleRef.name}" is not there, and binding it needs "bind" on it`;
      throw accessDenied(identity, attributesOf(kind, verb, next.metadata), why);
    }
    confirm(next, namespace, rules);
  };
}

/** What a write gives that has to be held: all rules, unless nothing about them changes. */
function addedRules(next: Role | ClusterRole, current?: Role | ClusterRole): readonly PolicyRule[] {
  const rules = next.rules ?? [];
  const aggregation = 'aggregationRule' in next ? next.aggregationRule : undefined;
  const before = current && 'aggregationRule' in current ? current.aggregationRule : undefined;
  if (aggregation && !jsonEqual(aggregation, before ?? null)) return EVERYTHING;
  return current && jsonEqual(current.rules ?? [], rules) ? [] : rules;
}
