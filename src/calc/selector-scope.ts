// Joins the selectors of a policy or of one end of a rule into one, scoped to namespaces (spec 02, 2.2).
import type { EntityRule } from '#api';
import { compareCodePoints } from '#lib';
import {
  parseSelector,
  prefixLabels,
  type Selector,
  type SelectorNode,
  selectorOf,
} from '#selector';

export const NAMESPACE_LABEL = 'projectcalico.org/namespace';
export const SERVICE_ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';
const NAMESPACE_PREFIX = 'pcns.';
const SERVICE_ACCOUNT_PREFIX = 'pcsa.';

const HAS_NAMESPACE: SelectorNode = { kind: 'has', label: NAMESPACE_LABEL };

export interface PolicyScope {
  readonly selector?: string | undefined;
  readonly namespaceSelector?: string | undefined;
  readonly serviceAccountSelector?: string | undefined;
}

/** The endpoints that a policy applies to; `namespace` null for global ones. Throws SelectorError. */
export function policySelector(scope: PolicyScope, namespace: string | null): Selector {
  const parts: SelectorNode[] = [];
  if (namespace !== null) parts.push(inNamespace(namespace));
  if (scope.namespaceSelector) parts.push(namespaceNode(scope.namespaceSelector));
  if (scope.serviceAccountSelector) {
    const accounts = parseSelector(scope.serviceAccountSelector);
    parts.push(
      accounts.tree.kind === 'all'
        ? { kind: 'has', label: SERVICE_ACCOUNT_LABEL }
        : prefixLabels(accounts, SERVICE_ACCOUNT_PREFIX).tree,
    );
  }
  if (scope.selector) parts.push(parseSelector(scope.selector).tree);
  return allOf(parts) ?? parseSelector('all()');
}

/**
 * What the selectors of one end of a rule ask for. `positive` includes the negation of `notSelector` where
 * there is something positive to narrow: both are weighed on the object, not on the address. `negative` is
 * set only where `notSelector` stands alone: then the end may be anywhere but there.
 */
export interface EntitySelectors {
  readonly positive?: Selector;
  readonly negative?: Selector;
}

/** Throws SelectorError. `namespace` is the policy's own, null for global ones. */
export function entitySelectors(entity: EntityRule, namespace: string | null): EntitySelectors {
  const own = [...serviceAccountNodes(entity.serviceAccounts)];
  if (entity.selector) own.push(parseSelector(entity.selector).tree);
  const not = entity.notSelector ? parseSelector(entity.notSelector) : undefined;

  const parts: SelectorNode[] = [];
  if (entity.namespaceSelector) parts.push(namespaceNode(entity.namespaceSelector));
  else if (namespace !== null && (own.length > 0 || not)) parts.push(inNamespace(namespace));
  parts.push(...own);

  if (not && parts.length === 0) return { negative: not };
  if (not) parts.push(negated(not.tree));
  const positive = allOf(parts);
  return positive ? { positive } : {};
}

function serviceAccountNodes(accounts: EntityRule['serviceAccounts']): SelectorNode[] {
  const nodes: SelectorNode[] = [];
  const names = accounts?.names ?? [];
  if (accounts?.selector) {
    nodes.push(prefixLabels(parseSelector(accounts.selector), SERVICE_ACCOUNT_PREFIX).tree);
  }
  if (names.length > 0) {
    const values = [...new Set(names)].sort(compareCodePoints);
    nodes.push({ kind: 'in', label: SERVICE_ACCOUNT_LABEL, values });
  }
  return nodes;
}

function inNamespace(namespace: string): SelectorNode {
  return { kind: 'equals', label: NAMESPACE_LABEL, value: namespace };
}

/** A selector over namespaces as one over endpoints: `all()` is "has one", `global()` "has none". */
function namespaceNode(text: string): SelectorNode {
  return overEndpoints(prefixLabels(parseSelector(text), NAMESPACE_PREFIX).tree);
}

function overEndpoints(node: SelectorNode): SelectorNode {
  switch (node.kind) {
    case 'all':
      return HAS_NAMESPACE;
    case 'global':
      return { kind: 'not', operand: HAS_NAMESPACE };
    case 'not':
      return negated(overEndpoints(node.operand));
    case 'and':
    case 'or':
      return { ...node, operands: node.operands.map(overEndpoints) };
    default:
      return node;
  }
}

function negated(node: SelectorNode): SelectorNode {
  return node.kind === 'not' ? node.operand : { kind: 'not', operand: node };
}

function allOf(parts: readonly SelectorNode[]): Selector | undefined {
  const conditions = parts.filter((part) => part.kind !== 'all');
  const [first = parts[0]] = conditions;
  if (first === undefined) return undefined;
  return selectorOf(conditions.length > 1 ? { kind: 'and', operands: conditions } : first);
}
