// Policies and rules that select nothing: for certain by what they say, or among the objects given.
import type { LabelledObject } from '../world-objects.ts';
import { type EntitySelection, conditionsHold, writtenSelector } from '../scoped-selector.ts';
import type { Finding } from './finding.ts';
import { DIRECTIONS, isCalico, peerPath, type PolicyView, type RuleView } from './policy-view.ts';
import { conjunction, type Side, SIDES } from './policy-view.ts';
import { covered, isClearOf, portRange } from './rule-cover.ts';
import { matchesNothing } from './selector-implication.ts';

/** What selectors can select. Empty lists mean that such objects were not given, and so that nothing is known. */
export interface Objects {
  /** Pods and host endpoints: what policies apply to. */
  readonly endpoints: readonly LabelledObject[];
  /** Those and network sets: what rules name. */
  readonly peers: readonly LabelledObject[];
}

/** Everything about one policy that selects nothing. */
export function selectionFindings(policy: PolicyView, objects: Objects): Finding[] {
  const own = policyFinding(policy, objects);
  const rules = DIRECTIONS.flatMap((direction) => policy.rules[direction]);
  return [...own, ...rules.flatMap((rule) => ruleFindings(policy, rule, objects))];
}

function policyFinding(policy: PolicyView, { endpoints }: Objects): Finding[] {
  const path = isCalico(policy)
    ? 'spec.selector'
    : policy.ref.kind === 'ClusterNetworkPolicy'
      ? 'spec.subject'
      : 'spec.podSelector';
  const words = policy.conditions.map(({ text }) => text).join(' and ');
  const found = { object: policy.name, path } as const;
  if (matchesNothing(policy.selection)) {
    return [
      {
        ...found,
        check: 'contradiction',
        severity: 'error',
        reason: `nothing can ever be ${words}: the conditions exclude each other`,
        advice: 'correct the selector, or delete the policy',
      },
    ];
  }
  if (endpoints.length === 0) return [];
  if (endpoints.some(({ labels }) => conditionsHold(policy.conditions, labels))) return [];
  return [
    {
      ...found,
      check: 'policy-selects-nothing',
      severity: 'warning',
      reason: `no pod or host endpoint is ${words}, so the policy does nothing`,
      advice: 'compare the selector with the labels of the pods it is for, or delete the policy',
    },
  ];
}

function ruleFindings(policy: PolicyView, view: RuleView, objects: Objects): Finding[] {
  return SIDES.flatMap((side) => [
    ...selectorFindings(policy, view, side, objects),
    ...portFindings(policy, view, side, objects),
    ...protocolFindings(policy, view, side),
  ]);
}

function selectorFindings(
  policy: PolicyView,
  view: RuleView,
  side: Side,
  { peers }: Objects,
): Finding[] {
  const { positive } = view[side];
  if (positive.length === 0) return [];
  const entity = view.rule[side] ?? {};
  const field = entity.selector
    ? 'selector'
    : entity.serviceAccounts
      ? 'serviceAccounts'
      : entity.namespaceSelector
        ? 'namespaceSelector'
        : 'notSelector';
  const found = { object: policy.name, path: peerPath(policy, view, side, field) } as const;
  const words = positive.map(({ text }) => text).join(' ');
  if (matchesNothing(conjunction(positive))) {
    return [
      {
        ...found,
        check: 'contradiction',
        severity: 'error',
        reason: `nothing can ever be ${words}: the conditions exclude each other`,
        advice: 'correct the selector, or delete the rule',
      },
    ];
  }
  if (peers.length === 0 || peers.some((it) => isSelected(it, view[side]))) return [];
  const except = entity.notSelector ? `, but not ${writtenSelector(entity.notSelector)}` : '';
  return [
    {
      ...found,
      check: 'selector-matches-nothing',
      severity: 'warning',
      reason: `no pod, host endpoint or network set is ${words}${except}, so the rule matches nothing`,
      advice: adviceFor(view[side], entity.namespaceSelector === undefined, policy, peers),
    },
  ];
}

function isSelected({ labels }: LabelledObject, { positive, negative }: EntitySelection): boolean {
  return conditionsHold(positive, labels) && negative?.selector.evaluate(labels) !== true;
}

/** The usual slip: the labels are right, and the namespace is another one. */
function adviceFor(
  { positive }: EntitySelection,
  ownNamespaceOnly: boolean,
  policy: PolicyView,
  peers: readonly LabelledObject[],
): string {
  const elsewhere =
    !ownNamespaceOnly || policy.ref.namespace === null || positive.length < 2
      ? undefined
      : peers.find(({ labels }) => conditionsHold(positive.slice(0, -1), labels));
  if (!elsewhere) return 'compare the selector with the labels of the objects it is for';
  return `${elsewhere.name} has such labels in another namespace: say which namespaces are meant`;
}

function portFindings(
  policy: PolicyView,
  view: RuleView,
  side: Side,
  { endpoints }: Objects,
): Finding[] {
  const { ports = [], notPorts = [] } = view.rule[side] ?? {};
  const findings: Finding[] = [];
  const report = (field: 'ports' | 'notPorts', reason: string, advice: string) => {
    findings.push({
      check: 'port-without-effect',
      severity: 'warning',
      object: policy.name,
      path: peerPath(policy, view, side, field),
      reason,
      advice,
    });
  };
  for (const port of ports) {
    const range = portRange(port);
    if (range) continue;
    if (endpoints.length === 0 || endpoints.some((it) => it.ports.some((p) => p.name === port)))
      continue;
    report(
      'ports',
      `no pod has a port named ${JSON.stringify(port)}, so it matches nothing`,
      'name a port of the containers it is for, or write its number',
    );
  }
  const ranges = ports.map(portRange);
  if (ports.length > 0 && ranges.every((range) => range && covered(range, notPorts))) {
    const reason = `notPorts takes away every port of ports, so the rule never matches`;
    report('notPorts', reason, 'remove one of the two lists');
  } else if (ports.length > 0 && notPorts.length > 0) {
    const idle = notPorts.filter((port) => {
      const range = portRange(port);
      return range !== undefined && isClearOf(range, ports);
    });
    if (idle.length > 0) {
      const reason = `${idle.join(', ')} is not among ports anyhow, so excluding it changes nothing`;
      report('notPorts', reason, 'remove it, or remove ports');
    }
  }
  return findings;
}

function protocolFindings(policy: PolicyView, view: RuleView, side: Side): Finding[] {
  const { protocol, notProtocol } = view.rule;
  if (side === 'source' && protocol !== undefined && protocol === notProtocol) {
    return [
      {
        check: 'contradiction',
        severity: 'error',
        object: policy.name,
        path: `${view.path}.notProtocol`,
        reason: `protocol and notProtocol are both ${protocol}, so the rule never matches`,
        advice: 'remove notProtocol',
      },
    ];
  }
  return [];
}
