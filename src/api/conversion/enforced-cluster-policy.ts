// A ClusterNetworkPolicy as it is enforced, which goes beyond upstream's conversion in two points.
import type { ClusterNetworkPolicy } from '../cluster-network-policy.ts';
import type { KubernetesNode } from '../kubernetes.ts';
import type { Rule } from '../rule.ts';
import { clusterPolicyToCalico, type ConvertedClusterPolicy } from './cluster-policy.ts';

const PROTOCOLS_WITH_PORTS = ['TCP', 'UDP', 'SCTP'];

/**
 * The conversion with two additions: an egress peer `nodes` is the addresses that the Nodes of those labels have now,
 * and `destinationNamedPort` is a port of that name whatever its protocol, where a Calico rule without protocol would
 * mean TCP alone.
 */
export function enforcedClusterPolicy(
  source: ClusterNetworkPolicy,
  nodes: readonly KubernetesNode[],
): ConvertedClusterPolicy {
  const { policy, problems } = clusterPolicyToCalico(source, nodes);
  if (!policy) return { policy, problems };
  const { ingress, egress } = policy.spec;
  const spec = {
    ...policy.spec,
    ...(ingress && { ingress: ingress.flatMap(withPortProtocols) }),
    ...(egress && { egress: egress.flatMap(withPortProtocols) }),
  };
  return { policy: { ...policy, spec }, problems };
}

function withPortProtocols(rule: Rule): Rule[] {
  const onPorts = (rule.destination?.ports ?? []).length > 0;
  if (rule.protocol !== undefined || !onPorts) return [rule];
  return PROTOCOLS_WITH_PORTS.map((protocol) => ({ ...rule, protocol }));
}
