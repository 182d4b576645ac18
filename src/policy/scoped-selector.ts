// Selectors as they apply: with the namespace, service account and global() meaning of each field.
import type { EntityRule, GlobalNetworkPolicySpec } from '#api';
import { type Labels, parseSelector, prefixLabels, type Selector } from '#selector';
import { selectorOf, type SelectorNode } from '#selector';

export const NAMESPACE_LABEL = 'projectcalico.org/namespace';
export const SERVICE_ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';
const NAMESPACE_PREFIX = 'pcns.';
const SERVICE_ACCOUNT_PREFIX = 'pcsa.';
/** What every selector of a converted Kubernetes policy begins with; nobody wrote it. */
const ORCHESTRATOR = /^projectcalico\.org\/orchestrator == ['"]k8s['"]( && )?/;

/** One condition on an object's labels, with words that continue `the source is …`. */
export interface LabelCondition {
  readonly text: string;
  readonly selector: Selector;
}

/** Whether an object with these labels meets every condition. */
export function conditionsHold(conditions: readonly LabelCondition[], labels: Labels): boolean {
  return conditions.every((condition) => condition.selector.evaluate(labels));
}

/** The text of a selector without what a conversion put before it. */
export function writtenSelector(text: string): string {
  const written = text.trim().replace(ORCHESTRATOR, '');
  return written === '' ? 'all()' : written;
}

function selectedBy(text: string): LabelCondition {
  return { text: `selected by ${writtenSelector(text)}`, selector: parseSelector(text) };
}

function inNamespace(namespace: string): LabelCondition {
  const tree: SelectorNode = { kind: 'equals', label: NAMESPACE_LABEL, value: namespace };
  return { text: `in namespace ${namespace}`, selector: selectorOf(tree) };
}

/** `all()` is "has a namespace" and `global()` is "has none" (spec 02, 2.2: namespaceSelector). */
function namespaceCondition(text: string): LabelCondition {
  const prefixed = prefixLabels(parseSelector(text), NAMESPACE_PREFIX);
  const selector = selectorOf(replaceCalls(prefixed.tree));
  const written = text.trim();
  if (written === 'all()') return { text: 'in a namespace', selector };
  if (written === 'global()') return { text: 'outside every namespace', selector };
  return { text: `in a namespace selected by ${written}`, selector };
}

function replaceCalls(node: SelectorNode): SelectorNode {
  const hasNamespace: SelectorNode = { kind: 'has', label: NAMESPACE_LABEL };
  switch (node.kind) {
    case 'all':
      return hasNamespace;
    case 'global':
      return { kind: 'not', operand: hasNamespace };
    case 'not': {
      const operand = replaceCalls(node.operand);
      return operand.kind === 'not' ? operand.operand : { kind: 'not', operand };
    }
    case 'and':
    case 'or':
      return { kind: node.kind, operands: node.operands.map(replaceCalls) };
    default:
      return node;
  }
}

function serviceAccountCondition(text: string): LabelCondition {
  return {
    text: `of a service account selected by ${text.trim()}`,
    selector: prefixLabels(parseSelector(text), SERVICE_ACCOUNT_PREFIX),
  };
}

function serviceAccountNames(names: readonly string[]): LabelCondition {
  const tree: SelectorNode = {
    kind: 'in',
    label: SERVICE_ACCOUNT_LABEL,
    values: [...new Set(names)],
  };
  return { text: `of service account ${names.join(' or ')}`, selector: selectorOf(tree) };
}

/** In a policy's own selector `all()` is "has a service account". */
function policyAccountCondition(text: string): LabelCondition {
  if (parseSelector(text).tree.kind !== 'all') return serviceAccountCondition(text);
  const selector = selectorOf({ kind: 'has', label: SERVICE_ACCOUNT_LABEL });
  return { text: 'of a service account', selector };
}

/** What a source or destination says about labels. Both are weighed per object, not per address. */
export interface EntitySelection {
  /** Empty: any address, known or not. */
  readonly positive: readonly LabelCondition[];
  readonly negative?: LabelCondition;
}

/**
 * The selection of one side of a rule. In a namespaced policy the own namespace is added as soon as
 * selector, notSelector or service accounts are used without namespaceSelector (spec 02, 2.2).
 * Throws SelectorError.
 */
export function entitySelection(
  entity: EntityRule,
  policyNamespace: string | undefined,
): EntitySelection {
  const own: LabelCondition[] = [];
  const accounts = entity.serviceAccounts;
  if (accounts?.selector) own.push(serviceAccountCondition(accounts.selector));
  if (accounts?.names && accounts.names.length > 0) own.push(serviceAccountNames(accounts.names));
  if (entity.selector) own.push(selectedBy(entity.selector));
  const scope: LabelCondition[] = [];
  if (entity.namespaceSelector) scope.push(namespaceCondition(entity.namespaceSelector));
  else if (policyNamespace !== undefined && (own.length > 0 || entity.notSelector)) {
    scope.push(inNamespace(policyNamespace));
  }
  const positive = [...own, ...scope];
  if (!entity.notSelector) return { positive };
  return { positive, negative: selectedBy(entity.notSelector) };
}

/** The conditions for a policy to apply to an endpoint. Throws SelectorError. */
export function policySelection(
  spec: GlobalNetworkPolicySpec,
  policyNamespace: string | undefined,
): LabelCondition[] {
  const conditions = policyNamespace === undefined ? [] : [inNamespace(policyNamespace)];
  if (spec.namespaceSelector) conditions.push(namespaceCondition(spec.namespaceSelector));
  if (spec.serviceAccountSelector) {
    conditions.push(policyAccountCondition(spec.serviceAccountSelector));
  }
  conditions.push(selectedBy(spec.selector ?? ''));
  return conditions;
}

/** What the labels would have to be otherwise, for as much of the selector as is a plain list of demands. */
export function labelDifferences(node: SelectorNode, labels: Labels): string[] {
  switch (node.kind) {
    case 'and':
      return node.operands.flatMap((operand) => labelDifferences(operand, labels));
    case 'equals':
    case 'in':
    case 'has':
    case 'contains':
    case 'startsWith':
    case 'endsWith': {
      if (selectorOf(node).evaluate(labels)) return [];
      const value = Object.hasOwn(labels, node.label) ? labels[node.label] : undefined;
      const name = labelName(node.label);
      return [value === undefined ? `${name} is absent` : `${name} is "${value}"`];
    }
    default:
      return [];
  }
}

function labelName(label: string): string {
  if (label === NAMESPACE_LABEL) return 'its namespace';
  if (label === SERVICE_ACCOUNT_LABEL) return 'its service account';
  if (label.startsWith(NAMESPACE_PREFIX)) {
    return `label ${label.slice(NAMESPACE_PREFIX.length)} of its namespace`;
  }
  if (label.startsWith(SERVICE_ACCOUNT_PREFIX)) {
    return `label ${label.slice(SERVICE_ACCOUNT_PREFIX.length)} of its service account`;
  }
  return `label ${label}`;
}
