// A Kubernetes NetworkPolicy as the Calico NetworkPolicy that means the same (spec 02, 2.2).
import { compareCodePoints, formatPrefix, maskPrefix, parsePrefix } from '#lib';
import type { Problem } from '../kind.ts';
import type {
  KubernetesNetworkPolicy,
  PolicyPeer,
  PolicyPort,
} from '../kubernetes-network-policy.ts';
import type { NetworkPolicy } from '../policy.ts';
import { fault } from '../problem.ts';
import type { EntityRule, Port, Rule } from '../rule.ts';
import { KUBERNETES_PODS, namespaceSelectorText, podSelectorText } from './label-selector.ts';
import { portOf, simplifyPorts } from './simplify-ports.ts';

const ORDER = 1000;
const NAMED_PORT = /^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/;
const NAMED_PORT_MAX = 15;
const PEERS = { egress: 'to', ingress: 'from' } as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];

export interface ConvertedPolicy {
  readonly policy: NetworkPolicy;
  /** With paths into the Kubernetes policy. */
  readonly problems: readonly Problem[];
}

/**
 * Converts; rules become one rule a protocol and peer. Fails closed: a rule with a mistake is left out (all rules
 * allow), and where the pod selector itself is wrong the policy selects every pod of its namespace and allows none.
 */
export function kubernetesPolicyToCalico(source: KubernetesNetworkPolicy): ConvertedPolicy {
  const problems: Problem[] = [];
  const ingress = (source.spec.ingress ?? []).flatMap((rule, index) =>
    convertRule({ direction: 'ingress', peers: rule.from, ports: rule.ports }, index, problems),
  );
  const egress = (source.spec.egress ?? []).flatMap((rule, index) =>
    convertRule({ direction: 'egress', peers: rule.to, ports: rule.ports }, index, problems),
  );
  const selector = podSelectorText(source.spec.podSelector, 'spec.podSelector');
  problems.push(...selector.problems);
  const sound = selector.problems.length === 0;
  const { name, namespace = 'default' } = source.metadata;
  const policy: NetworkPolicy = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec: {
      tier: 'default',
      order: ORDER,
      selector: sound ? selector.text : KUBERNETES_PODS,
      ...(sound && ingress.length > 0 ? { ingress } : {}),
      ...(sound && egress.length > 0 ? { egress } : {}),
      types: orderedTypes(source),
    },
  };
  return { policy, problems };
}

type PolicyTypes = readonly ('Ingress' | 'Egress')[];

/** The directions that a Kubernetes policy isolates; where it does not say, Egress only with egress rules. */
export function kubernetesPolicyTypes(spec: KubernetesNetworkPolicy['spec']): PolicyTypes {
  if (spec.policyTypes && spec.policyTypes.length > 0) return spec.policyTypes;
  return spec.egress && spec.egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

function orderedTypes(source: KubernetesNetworkPolicy): ('Ingress' | 'Egress')[] {
  const types = kubernetesPolicyTypes(source.spec);
  return (['Ingress', 'Egress'] as const).filter((type) => types.includes(type));
}

interface SourceRule {
  readonly direction: 'ingress' | 'egress';
  readonly peers: readonly PolicyPeer[] | undefined;
  readonly ports: readonly PolicyPort[] | undefined;
}

function convertRule(rule: SourceRule, index: number, problems: Problem[]): Rule[] {
  const path = `spec.${rule.direction}[${index}]`;
  const found: Problem[] = [];
  const peersPath = `${path}.${PEERS[rule.direction]}`;
  const entities = (rule.peers ?? []).map((peer, item) =>
    convertPeer(peer, `${peersPath}[${item}]`, found),
  );
  const protocols = portsByProtocol(rule.ports ?? [], `${path}.ports`, found);
  problems.push(...found);
  if (found.length > 0) return [];
  return protocols.flatMap(([protocol, ports]) =>
    (entities.length > 0 ? entities : [{}]).map((peer) =>
      calicoRule(rule.direction, peer, protocol, ports),
    ),
  );
}

function calicoRule(
  direction: SourceRule['direction'],
  peer: EntityRule,
  protocol: string | undefined,
  ports: readonly Port[],
): Rule {
  const portMatch = ports.length > 0 ? { ports: [...ports] } : {};
  const match = protocol === undefined ? {} : { protocol };
  return direction === 'ingress'
    ? { action: 'Allow', ...match, source: peer, destination: portMatch }
    : { action: 'Allow', ...match, source: {}, destination: { ...peer, ...portMatch } };
}

function convertPeer(peer: PolicyPeer, path: string, problems: Problem[]): EntityRule {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (ipBlock) {
    if (podSelector || namespaceSelector) {
      problems.push(
        fault(path, 'ipBlock excludes podSelector and namespaceSelector; split the peer'),
      );
    }
    return convertBlock(ipBlock, `${path}.ipBlock`, problems);
  }
  if (!podSelector && !namespaceSelector) {
    problems.push(fault(path, 'an empty peer; give podSelector, namespaceSelector or ipBlock'));
    return {};
  }
  const pods = podSelectorText(podSelector, `${path}.podSelector`);
  problems.push(...pods.problems);
  if (!namespaceSelector) return { selector: pods.text };
  const namespaces = namespaceSelectorText(namespaceSelector, `${path}.namespaceSelector`);
  problems.push(...namespaces.problems);
  return { selector: pods.text, namespaceSelector: namespaces.text };
}

function convertBlock(
  block: NonNullable<PolicyPeer['ipBlock']>,
  path: string,
  problems: Problem[],
): EntityRule {
  const nets = [maskedCidr(block.cidr, `${path}.cidr`, problems)];
  const except = block.except ?? [];
  if (except.length === 0) return { nets };
  const notNets = except.map((cidr, item) => maskedCidr(cidr, `${path}.except[${item}]`, problems));
  return { nets, notNets };
}

function maskedCidr(cidr: string, path: string, problems: Problem[]): string {
  const prefix = cidr.includes('/') ? parsePrefix(cidr) : undefined;
  if (!prefix) {
    const example = cidr.includes(':') ? '2001:db8::/64' : '10.0.0.0/8';
    problems.push(fault(path, `${JSON.stringify(cidr)} is no CIDR; write it like ${example}`));
    return cidr;
  }
  return formatPrefix(maskPrefix(prefix));
}

/** Ports by protocol, sorted; an empty port list means all ports, no protocol means all traffic. */
function portsByProtocol(
  ports: readonly PolicyPort[],
  path: string,
  problems: Problem[],
): (readonly [protocol: string | undefined, ports: readonly Port[]])[] {
  if (ports.length === 0) return [[undefined, []]];
  const byProtocol = new Map<string, Port[] | 'all'>();
  for (const [item, port] of ports.entries()) {
    const { protocol = 'TCP' } = port;
    problems.push(...portProblems(port, protocol, `${path}[${item}]`));
    const known = byProtocol.get(protocol) ?? [];
    if (port.port === undefined || known === 'all') byProtocol.set(protocol, 'all');
    else byProtocol.set(protocol, [...known, calicoPort(port.port, port.endPort)]);
  }
  return [...byProtocol]
    .sort(([a], [b]) => compareCodePoints(a, b))
    .map(([protocol, list]) => [protocol, list === 'all' ? [] : simplifyPorts(list)]);
}

function calicoPort(port: number | string, endPort: number | undefined): Port {
  return typeof port === 'number' ? portOf(port, endPort ?? port) : port;
}

function portProblems(port: PolicyPort, protocol: string, path: string): Problem[] {
  const problems: Problem[] = [];
  if (!PROTOCOLS.includes(protocol)) {
    problems.push(
      fault(`${path}.protocol`, `${JSON.stringify(protocol)} is none of ${PROTOCOLS.join(', ')}`),
    );
  }
  if (port.port !== undefined) problems.push(...numberOrName(port.port, `${path}.port`));
  if (port.endPort === undefined) return problems;
  if (typeof port.port !== 'number') {
    problems.push(fault(`${path}.endPort`, 'endPort needs a port that is a number'));
  } else if (!isPort(port.endPort) || port.endPort < port.port) {
    problems.push(
      fault(`${path}.endPort`, `${port.endPort} is no port from ${port.port} to 65535`),
    );
  }
  return problems;
}

function numberOrName(port: number | string, path: string): Problem[] {
  if (typeof port === 'number') {
    return isPort(port) ? [] : [fault(path, `${port} is no port; use 1 to 65535`)];
  }
  if (NAMED_PORT.test(port) && port.length <= NAMED_PORT_MAX) return [];
  return [
    fault(
      path,
      `${JSON.stringify(port)} is no port name; use at most ${NAMED_PORT_MAX} of a-z, 0-9 and "-", one a letter`,
    ),
  ];
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}
