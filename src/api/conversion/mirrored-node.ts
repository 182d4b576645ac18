// Kubernetes' Node as Calico's Node, where both are objects: for Calico's tools on the same datastore (spec 01).
import { parseAddress, parsePrefix } from '#lib';
import type { CalicoNode } from '../calico-node.ts';
import { readAsNumber } from '../number-or-text.ts';
import type { KubernetesNode } from '../kubernetes.ts';

/** On a node that is written by us; others are their writers'. */
const MIRROR = 'tortie.dev/mirror-of';
/** Upstream's annotations of a Kubernetes Node. */
const OWN = 'projectcalico.org/';
const SUBNETS: readonly string[] = ['IPv4Address', 'IPv6Address'];

type Spec = CalicoNode['spec'];

/** Whether the object is such a copy. */
export function isMirroredNode({ metadata }: Pick<CalicoNode, 'metadata'>): boolean {
  return metadata.annotations?.[MIRROR] !== undefined;
}

/** The copy of a node; equal nodes have equal copies. */
export function mirroredNode(node: KubernetesNode): CalicoNode {
  const { name, labels = {}, annotations = {} } = node.metadata;
  const own = (field: string, family?: 4 | 6): string | undefined => {
    const text = annotations[OWN + field] ?? '';
    // Of Calico's fields these two have the length of the subnet.
    const parse = SUBNETS.includes(field) ? parsePrefix : parseAddress;
    const isRight = family === undefined || parse(text)?.family === family;
    return text !== '' && isRight ? text : undefined;
  };
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Node',
    metadata: { name, labels, annotations: { [MIRROR]: 'v1/Node' } },
    spec: specOf(node, own),
  };
}

type Own = (field: string, family?: 4 | 6) => string | undefined;

function specOf(node: KubernetesNode, own: Own): Spec {
  const addresses = (node.status?.addresses ?? []).flatMap(({ type, address }) =>
    (type === 'InternalIP' || type === 'ExternalIP') && parsePrefix(address)
      ? [{ address, type } as const]
      : [],
  );
  const wireguard = {
    ...given('interfaceIPv4Address', own('IPv4WireguardInterfaceAddr', 4)),
    ...given('interfaceIPv6Address', own('IPv6WireguardInterfaceAddr', 6)),
  };
  return {
    orchRefs: [{ nodeName: node.metadata.name, orchestrator: 'k8s' }],
    ...given('addresses', addresses.length > 0 ? addresses : undefined),
    ...given('bgp', bgpOf(own)),
    ...given('ipv4VXLANTunnelAddr', own('IPv4VXLANTunnelAddr', 4)),
    ...given('vxlanTunnelMACAddr', own('VXLANTunnelMACAddr')),
    ...given('ipv6VXLANTunnelAddr', own('IPv6VXLANTunnelAddr', 6)),
    ...given('vxlanTunnelMACAddrV6', own('VXLANTunnelMACAddrV6')),
    ...given('wireguard', Object.keys(wireguard).length > 0 ? wireguard : undefined),
  };
}

/** Undefined without an address: such a node takes no part in BGP. */
function bgpOf(own: Own): Spec['bgp'] {
  const addresses = {
    ...given('ipv4Address', own('IPv4Address', 4)),
    ...given('ipv6Address', own('IPv6Address', 6)),
    ...given('ipv4IPIPTunnelAddr', own('IPv4IPIPTunnelAddr', 4)),
  };
  if (Object.keys(addresses).length === 0) return undefined;
  const asNumber = own('ASNumber');
  return {
    ...addresses,
    ...given('asNumber', asNumber === undefined ? undefined : readAsNumber(asNumber)),
    ...given('routeReflectorClusterID', own('RouteReflectorClusterID', 4)),
  };
}

function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { [key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [key in Name]?: Value };
}
