// Aggregated cluster roles: the rules of all roles that their label selectors choose.
import type { ClusterRole, LabelSelector, PolicyRule } from '#api';
import { jsonEqual } from '#lib';

/** The roles whose rules are not what they aggregate, with what they should be. */
export function aggregatedRules(
  roles: readonly ClusterRole[],
): Map<ClusterRole, readonly PolicyRule[]> {
  const byName = roles.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const changes = new Map<ClusterRole, readonly PolicyRule[]>();
  for (const role of byName) {
    const selectors = role.aggregationRule?.clusterRoleSelectors;
    if (!selectors) continue;
    const rules: PolicyRule[] = [];
    for (const other of byName) {
      const { labels = {}, name } = other.metadata;
      const chosen = name !== role.metadata.name && selectors.some((one) => selects(one, labels));
      for (const rule of chosen ? (other.rules ?? []) : []) {
        if (!rules.some((known) => jsonEqual(known, rule))) rules.push(rule);
      }
    }
    if (!jsonEqual(role.rules ?? [], rules)) changes.set(role, rules);
  }
  return changes;
}

/** An empty selector selects all, as everywhere in Kubernetes. */
function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return false;
      }
    })
  );
}
