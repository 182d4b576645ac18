// A ClusterNetworkPolicy as the GlobalNetworkPolicy that means the same (spec 02, 2.2).
import { compareCodePoints, formatPrefix, maskPrefix, parsePrefix } from '#lib';
import type { KubernetesNode } from '../kubernetes.ts';
import type {
  ClusterNetworkPolicy,
  ClusterPolicyPeer,
  ClusterPolicyProtocol,
  ClusterPolicySubject,
} from '../cluster-network-policy.ts';
import type { Problem } from '../kind.ts';
import type { LabelSelector } from '../kubernetes-network-policy.ts';
import type { GlobalNetworkPolicy } from '../policy.ts';
import { fault, quoted } from '../problem.ts';
import type { EntityRule, Port, Rule } from '../rule.ts';
import { KUBERNETES_PODS, namespaceSelectorText, podSelectorText } from './label-selector.ts';
import { nodeAddresses } from './node-addresses.ts';
import { portOf, simplifyPorts } from './simplify-ports.ts';

const TIERS: Readonly<Record<string, string>> = { Admin: 'kube-admin', Baseline: 'kube-baseline' };
const ACTIONS: Readonly<Record<string, Rule['action']>> = {
  Accept: 'Allow',
  Deny: 'Deny',
  Pass: 'Pass',
};
const DENY_ALL: Rule = { action: 'Deny', source: {}, destination: {} };

export interface ConvertedClusterPolicy {
  /** Undefined where the tier or the subject makes no sense. */
  readonly policy: GlobalNetworkPolicy | undefined;
  /** With paths into the ClusterNetworkPolicy. */
  readonly problems: readonly Problem[];
}

/**
 * Converts; the priority becomes the order. Fails closed: where a rule is wrong, an Accept is left out and a Deny or
 * Pass becomes a rule that denies everything. Without rules the policy has no types, and so applies to nothing.
 * A peer `nodes` means the present addresses of the Nodes that it selects; where no `nodes` are known, as in upstream's
 * conversion, such a rule is wrong.
 */
export function clusterPolicyToCalico(
  source: ClusterNetworkPolicy,
  nodes?: readonly KubernetesNode[],
): ConvertedClusterPolicy {
  const problems: Problem[] = [];
  const { spec, metadata } = source;
  const tier = TIERS[spec.tier];
  if (tier === undefined) {
    problems.push(fault('spec.tier', `${quoted(spec.tier)} is no tier; use Admin or Baseline`));
  }
  const subject = convertSubject(spec.subject, 'spec.subject', problems);
  if (tier === undefined || !subject || problems.length > 0) return { policy: undefined, problems };
  const ingress = (spec.ingress ?? []).flatMap((rule, index) =>
    convertRule({ direction: 'ingress', peers: rule.from, nodes, ...rule }, index, problems),
  );
  const egress = (spec.egress ?? []).flatMap((rule, index) =>
    convertRule({ direction: 'egress', peers: rule.to, nodes, ...rule }, index, problems),
  );
  const types = [
    ...(ingress.length > 0 ? (['Ingress'] as const) : []),
    ...(egress.length > 0 ? (['Egress'] as const) : []),
  ];
  const policy: GlobalNetworkPolicy = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: metadata.name },
    spec: {
      tier,
      order: spec.priority,
      selector: subject.selector ?? KUBERNETES_PODS,
      ...(subject.namespaceSelector ? { namespaceSelector: subject.namespaceSelector } : {}),
      ...(ingress.length > 0 ? { ingress } : {}),
      ...(egress.length > 0 ? { egress } : {}),
      ...(types.length > 0 ? { types } : {}),
    },
  };
  return { policy, problems };
}

interface SourceRule {
  readonly direction: 'ingress' | 'egress';
  readonly peers: readonly ClusterPolicyPeer[];
  readonly nodes: readonly KubernetesNode[] | undefined;
  readonly name?: string;
  readonly action: string;
  readonly protocols?: readonly ClusterPolicyProtocol[];
}

function convertRule(rule: SourceRule, index: number, problems: Problem[]): Rule[] {
  const path = `spec.${rule.direction}[${index}]`;
  const action = ACTIONS[rule.action];
  if (!action) {
    problems.push(fault(`${path}.action`, `${quoted(rule.action)} is not Accept, Deny or Pass`));
    return [];
  }
  const found: Problem[] = [];
  const peersField = rule.direction === 'egress' ? 'to' : 'from';
  const entities = rule.peers.flatMap((peer, item) => {
    const at = `${path}.${peersField}[${item}]`;
    return peer.nodes ? nodesPeer(peer.nodes, rule, at, found) : convertPeer(peer, at, found);
  });
  const protocols = portsByProtocol(rule.protocols ?? [], `${path}.protocols`, found);
  problems.push(...found);
  if (found.length > 0) return action === 'Allow' ? [] : [DENY_ALL];
  return protocols.flatMap(([protocol, ports]) =>
    entities.map((peer) => calicoRule({ rule, action, peer, protocol, ports })),
  );
}

interface RuleParts {
  readonly rule: SourceRule;
  readonly action: Rule['action'];
  readonly peer: EntityRule;
  readonly protocol: string;
  readonly ports: readonly Port[];
}

function calicoRule({ rule, action, peer, protocol, ports }: RuleParts): Rule {
  const portMatch = ports.length > 0 ? { ports: [...ports] } : {};
  const ends =
    rule.direction === 'ingress'
      ? { source: peer, destination: portMatch }
      : { source: {}, destination: { ...peer, ...portMatch } };
  return {
    action,
    ...(protocol === '' ? {} : { protocol }),
    ...ends,
    ...(rule.name ? { metadata: { annotations: { name: rule.name } } } : {}),
  };
}

/** Undefined, with a problem, for a subject that selects in no way known here. */
function convertSubject(
  subject: ClusterPolicySubject,
  path: string,
  problems: Problem[],
): EntityRule | undefined {
  const { namespaces, pods } = subject;
  if (namespaces) {
    const text = namespaceSelectorText(namespaces, `${path}.namespaces`);
    problems.push(...text.problems);
    return { namespaceSelector: text.text };
  }
  if (!pods) {
    problems.push(fault(path, 'needs namespaces or pods'));
    return undefined;
  }
  const podText = podSelectorText(pods.podSelector, `${path}.pods.podSelector`);
  const namespaceText = namespaceSelectorText(
    pods.namespaceSelector ?? {},
    `${path}.pods.namespaceSelector`,
  );
  problems.push(...podText.problems, ...namespaceText.problems);
  return { selector: podText.text, namespaceSelector: namespaceText.text };
}

function convertPeer(peer: ClusterPolicyPeer, path: string, problems: Problem[]): EntityRule {
  const { networks, namespaces, pods } = peer;
  if (networks && networks.length > 0) {
    return {
      nets: networks.map((cidr, item) => maskedCidr(cidr, `${path}.networks[${item}]`, problems)),
    };
  }
  if (namespaces || pods) return convertSubject(peer, path, problems) ?? {};
  problems.push(
    fault(path, 'is no peer known here; use namespaces, pods or, for egress, networks'),
  );
  return {};
}

/** No entity where the selected nodes have no address: nothing is such a peer. */
function nodesPeer(
  selector: LabelSelector,
  { nodes, direction }: SourceRule,
  path: string,
  problems: Problem[],
): EntityRule[] {
  if (!nodes || direction !== 'egress') {
    problems.push(fault(`${path}.nodes`, 'is a peer for egress only, where the Nodes are known'));
    return [];
  }
  const { nets, problems: found } = nodeAddresses(selector, nodes, `${path}.nodes`);
  problems.push(...found);
  return nets.length > 0 ? [{ nets: [...nets] }] : [];
}

function maskedCidr(cidr: string, path: string, problems: Problem[]): string {
  const prefix = cidr.includes('/') ? parsePrefix(cidr) : undefined;
  if (prefix) return formatPrefix(maskPrefix(prefix));
  problems.push(fault(path, `${quoted(cidr)} is no CIDR; write it like 10.0.0.0/8`));
  return cidr;
}

/** Ports by protocol, sorted; the protocol is empty for named ports and for all traffic. */
function portsByProtocol(
  protocols: readonly ClusterPolicyProtocol[],
  path: string,
  problems: Problem[],
): (readonly [protocol: string, ports: readonly Port[]])[] {
  if (protocols.length === 0) return [['', []]];
  const byProtocol = new Map<string, Port[] | 'all'>();
  for (const [item, entry] of protocols.entries()) {
    const { protocol, port } = convertProtocol(entry, `${path}[${item}]`, problems);
    const known = byProtocol.get(protocol) ?? [];
    if (port === undefined || known === 'all') byProtocol.set(protocol, 'all');
    else byProtocol.set(protocol, [...known, port]);
  }
  return [...byProtocol]
    .sort(([a], [b]) => compareCodePoints(a, b))
    .map(([protocol, ports]) => [protocol, ports === 'all' ? [] : simplifyPorts(ports)]);
}

function convertProtocol(
  entry: ClusterPolicyProtocol,
  path: string,
  problems: Problem[],
): { protocol: string; port?: Port } {
  if (entry.destinationNamedPort) return { protocol: '', port: entry.destinationNamedPort };
  for (const name of ['tcp', 'udp', 'sctp'] as const) {
    const transport = entry[name];
    if (!transport) continue;
    const protocol = name.toUpperCase();
    if (!transport.destinationPort) return { protocol };
    const { number, range } = transport.destinationPort;
    const first = number ?? range?.start ?? 0;
    const last = number ?? range?.end ?? 0;
    if (first < 1 || last > 65535 || last < first) {
      const message = `${quoted({ number, range })} is no port and no range from 1 to 65535`;
      problems.push(fault(`${path}.${name}.destinationPort`, message));
    }
    return { protocol, port: portOf(first, last) };
  }
  problems.push(fault(path, 'needs tcp, udp, sctp or destinationNamedPort'));
  return { protocol: '' };
}
