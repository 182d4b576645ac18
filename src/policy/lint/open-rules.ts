// Rules that allow more than their author is likely to have meant: everything, or all that lacks a label.
import type { EntityRule, KubernetesNetworkPolicy } from '#api';
import type { Direction } from '../explanation.ts';
import type { Finding } from './finding.ts';
import { DIRECTIONS, isCalico, type PolicyView, type RuleView } from './policy-view.ts';
import { SIDES, type Side } from './policy-view.ts';

/** For enforced and staged policies alike. `written` is the Kubernetes policy that the view was made of. */
export function openRules(policy: PolicyView, written?: KubernetesNetworkPolicy): Finding[] {
  return DIRECTIONS.flatMap((direction) => {
    const rules = policy.rules[direction];
    const hollow = written
      ? hollowLists(policy, written, direction)
      : rules.flatMap((view) => hollowFields(policy, view));
    const known = new Set(hollow.map(({ path }) => path.replace(/(\[\d+\]).*/, '$1')));
    return [
      ...hollow,
      ...unconditional(policy, direction).filter(({ path }) => !known.has(path)),
      ...rules.flatMap((view) => byAbsence(policy, view, direction)),
      ...(written ? strayDashes(policy, written, direction) : []),
    ];
  });
}

function open(policy: PolicyView, path: string, reason: string, advice: string): Finding {
  return { check: 'allow-all', severity: 'warning', object: policy.name, path, reason, advice };
}

function isUnconditional({ rule, source, destination }: RuleView): boolean {
  const { protocol, notProtocol, icmp, notICMP, ipVersion, http } = rule;
  const whole = [protocol, notProtocol, icmp, notICMP, ipVersion, http];
  const selections = [source, destination].every((it) => it.positive.length === 0 && !it.negative);
  return (
    rule.action === 'Allow' &&
    whole.every((condition) => condition === undefined) &&
    selections &&
    SIDES.every((side) => !hasOtherConditions(rule[side] ?? {}))
  );
}

function hasOtherConditions(entity: EntityRule): boolean {
  const { nets = [], notNets = [], ports = [], notPorts = [], services } = entity;
  return services !== undefined || [nets, notNets, ports, notPorts].some((list) => list.length > 0);
}

/** An Allow of everything after rules that deny is a list of exceptions: those are meant. */
function unconditional(policy: PolicyView, direction: Direction): Finding[] {
  const rules = policy.rules[direction];
  const position = rules.findIndex(isUnconditional);
  const found = rules[position];
  if (!found) return [];
  if (rules.slice(0, position).some(({ rule }) => rule.action === 'Deny' || rule.action === 'Pass'))
    return [];
  const others = new Set(rules.map(({ index }) => index)).size - 1;
  const far = direction === 'ingress' ? 'from anywhere' : 'to anywhere';
  const cost =
    others === 0 ? '' : `, which makes the other ${direction} rules of the policy pointless`;
  const reason = `it has no condition, so it allows everything ${far}${cost}; later policies and tiers are not asked`;
  return [open(policy, found.path, reason, 'say who and which ports are meant, or delete it')];
}

/** `nets: []` reads like nobody and means anybody. */
function hollowFields(policy: PolicyView, { rule, path }: RuleView): Finding[] {
  if (rule.action !== 'Allow' || !isCalico(policy)) return [];
  return SIDES.flatMap((side) => {
    const entity = rule[side] ?? {};
    const lists = (['nets', 'selector', 'namespaceSelector', 'ports'] as const).filter((field) => {
      const value = entity[field];
      return Array.isArray(value) ? value.length === 0 : value?.trim() === '';
    });
    return lists.map((field) => hollow(policy, `${path}.${side}.${field}`, field));
  });
}

function hollow(policy: PolicyView, path: string, field: string): Finding {
  const reason = `an empty ${field} is no condition: the rule allows any, not none`;
  return { ...open(policy, path, reason, 'fill it, or delete the rule'), severity: 'error' };
}

function hollowLists(
  policy: PolicyView,
  written: KubernetesNetworkPolicy,
  direction: Direction,
): Finding[] {
  return (written.spec[direction] ?? []).flatMap((rule, index) =>
    Object.entries(rule)
      .filter(([, value]) => Array.isArray(value) && value.length === 0)
      .map(([field]) => hollow(policy, `spec.${direction}[${index}].${field}`, field)),
  );
}

/** A selector that objects without labels meet, in a policy that no namespace narrows. */
function byAbsence(policy: PolicyView, view: RuleView, direction: Direction): Finding[] {
  if (view.rule.action !== 'Allow' || !isCalico(policy)) return [];
  const side: Side = direction === 'ingress' ? 'source' : 'destination';
  const entity = view.rule[side] ?? {};
  const { positive, negative } = view[side];
  const isOpen = positive.every(({ selector }) => selector.evaluate({}));
  const isAll =
    positive.length > 0 && positive.every(({ selector }) => selector.tree.kind === 'all');
  if (!isOpen || isAll || (entity.nets ?? []).length > 0) return [];
  if (positive.length > 0) {
    const words = positive.map(({ text }) => text).join(' ');
    const reason = `everything without such a label is ${words} too: pods of every namespace, hosts and network sets`;
    const advice = 'say what is meant in place of what is not, or add a namespaceSelector';
    return [open(policy, `${view.path}.${side}.selector`, reason, advice)];
  }
  const field = negative
    ? 'notSelector'
    : (entity.notNets ?? []).length > 0
      ? 'notNets'
      : undefined;
  if (field === undefined) return [];
  const reason = `${field} alone leaves every other address, those outside of the cluster included`;
  const advice = 'add nets or a selector that says who is meant';
  return [open(policy, `${view.path}.${side}.${field}`, reason, advice)];
}

type KubernetesRule = NonNullable<KubernetesNetworkPolicy['spec']['ingress']>[number] &
  NonNullable<KubernetesNetworkPolicy['spec']['egress']>[number];

/** One dash too many makes two of one: "from these" and "on this port", or "this namespace" and "these pods". */
function strayDashes(
  policy: PolicyView,
  written: KubernetesNetworkPolicy,
  direction: Direction,
): Finding[] {
  const rules: readonly KubernetesRule[] = written.spec[direction] ?? [];
  const list = direction === 'ingress' ? 'from' : 'to';
  return rules.flatMap((rule, index) => {
    const path = `spec.${direction}[${index}]`;
    const before = rules[index - 1];
    const isSplit =
      rule[list] === undefined &&
      (rule.ports ?? []).length > 0 &&
      (before?.[list] ?? []).length > 0 &&
      before?.ports === undefined;
    const splitRule = isSplit
      ? [
          open(
            policy,
            path,
            'it names ports and nobody, after one that names somebody and no ports: both are wider than they look',
            'if one rule is meant, remove the dash before "ports"',
          ),
        ]
      : [];
    return [...splitRule, ...splitPeers(policy, rule[list] ?? [], `${path}.${list}`)];
  });
}

type Peer = NonNullable<KubernetesRule['from']>[number];

function splitPeers(policy: PolicyView, peers: readonly Peer[], path: string): Finding[] {
  return peers.flatMap((peer, index) => {
    const before = peers[index - 1];
    const isSplit =
      peer.podSelector !== undefined &&
      peer.namespaceSelector === undefined &&
      before?.namespaceSelector !== undefined &&
      before.podSelector === undefined;
    if (!isSplit) return [];
    return [
      open(
        policy,
        `${path}[${index}]`,
        'podSelector stands beside namespaceSelector, not in it: every pod of those namespaces may',
        'if such pods of those namespaces are meant, remove the dash before "podSelector"',
      ),
    ];
  });
}
