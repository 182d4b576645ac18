// A Kubernetes label selector as text of Calico's selector language.
import { compareCodePoints } from '#lib';
import type { Problem } from '../kind.ts';
import type { LabelSelector } from '../kubernetes-network-policy.ts';
import { fault } from '../problem.ts';

/** What every pod selector begins with: pods, and not other workloads or hosts. */
export const KUBERNETES_PODS = "projectcalico.org/orchestrator == 'k8s'";

const LABEL_KEY =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;

export interface SelectorText {
  readonly text: string;
  readonly problems: readonly Problem[];
}

/** Selects pods; an absent or empty selector selects all of them. `path` is for the problems. */
export function podSelectorText(selector: LabelSelector | undefined, path: string): SelectorText {
  const { terms, problems } = termsOf(selector ?? {}, path);
  return { text: [KUBERNETES_PODS, ...terms].join(' && '), problems };
}

/** Selects namespaces by their labels; an empty selector selects all of them. */
export function namespaceSelectorText(selector: LabelSelector, path: string): SelectorText {
  const { terms, problems } = termsOf(selector, path);
  return { text: terms.length === 0 ? 'all()' : terms.join(' && '), problems };
}

/** Keys and values are checked: the text is code, and a quote in a value would write some of it. */
function termsOf(
  selector: LabelSelector,
  path: string,
): { terms: readonly string[]; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const terms: string[] = [];
  const byKey = Object.entries(selector.matchLabels ?? {});
  byKey.sort(([a], [b]) => compareCodePoints(a, b));
  for (const [key, value] of byKey) {
    const at = `${path}.matchLabels[${JSON.stringify(key)}]`;
    problems.push(...keyProblems(key, at), ...valueProblems([value], at));
    terms.push(`${key} == '${value}'`);
  }
  for (const [index, expression] of (selector.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    problems.push(...expressionProblems(expression, at));
    terms.push(expressionTerm(expression));
  }
  return { terms, problems };
}

type Expression = NonNullable<LabelSelector['matchExpressions']>[number];

function expressionTerm({ key, operator, values }: Expression): string {
  const set = `{ ${(values ?? []).map((value) => `'${value}'`).join(', ')} }`;
  switch (operator) {
    case 'In':
      return `${key} in ${set}`;
    case 'NotIn':
      return `${key} not in ${set}`;
    case 'Exists':
      return `has(${key})`;
    case 'DoesNotExist':
      return `! has(${key})`;
  }
}

function expressionProblems({ key, operator, values = [] }: Expression, at: string): Problem[] {
  const problems = [...keyProblems(key, `${at}.key`), ...valueProblems(values, `${at}.values`)];
  const takesValues = operator === 'In' || operator === 'NotIn';
  if (takesValues && values.length === 0) {
    problems.push(fault(`${at}.values`, `${operator} needs at least one value`));
  }
  if (!takesValues && values.length > 0) {
    problems.push(fault(`${at}.values`, `${operator} takes no values; remove them`));
  }
  return problems;
}

function keyProblems(key: string, path: string): Problem[] {
  if (LABEL_KEY.test(key)) return [];
  return [fault(path, `${JSON.stringify(key)} is no label key; write name or prefix.example/name`)];
}

function valueProblems(values: readonly string[], path: string): Problem[] {
  return values
    .filter((value) => !LABEL_VALUE.test(value))
    .map((value) =>
      fault(
        path,
        `${JSON.stringify(value)} is no label value; use at most 63 letters, digits, "-", "_" and "."`,
      ),
    );
}
