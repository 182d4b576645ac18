// Calico's Node: a node's BGP, tunnel and WireGuard addresses (spec 01, 1.2). Derived from Kubernetes nodes.
import { type Family, parsePrefix } from '#lib';
import { type Static, Type } from 'typebox';
import { AsNumber } from './bgp-configuration.ts';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';

const Address4 = Type.String({ format: 'address-4' });
const Address6 = Type.String({ format: 'address-6' });
/** Standard base64 of 32 bytes. */
const WireGuardKey = Type.String({ pattern: '^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$' });

export const CalicoNodeSpec = Type.Object({
  bgp: Type.Optional(
    Type.Object({
      asNumber: Type.Optional(AsNumber),
      /** With the length of the node's subnet. */
      ipv4Address: Type.Optional(Type.String({ format: 'network' })),
      ipv6Address: Type.Optional(Type.String({ format: 'network' })),
      ipv4IPIPTunnelAddr: Type.Optional(Address4),
      routeReflectorClusterID: Type.Optional(Address4),
    }),
  ),
  ipv4VXLANTunnelAddr: Type.Optional(Address4),
  vxlanTunnelMACAddr: Type.Optional(Type.String()),
  ipv6VXLANTunnelAddr: Type.Optional(Address6),
  vxlanTunnelMACAddrV6: Type.Optional(Type.String()),
  orchRefs: Type.Optional(
    Type.Array(
      Type.Object({ nodeName: Type.Optional(Type.String()), orchestrator: Type.String() }),
    ),
  ),
  wireguard: Type.Optional(
    Type.Object({
      interfaceIPv4Address: Type.Optional(Address4),
      interfaceIPv6Address: Type.Optional(Address6),
    }),
  ),
  addresses: Type.Optional(
    Type.Array(
      Type.Object({
        address: Type.String({ format: 'network' }),
        type: Type.Optional(Type.Enum(['CalicoNodeIP', 'InternalIP', 'ExternalIP'])),
      }),
    ),
  ),
  interfaces: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.Optional(Type.String()),
        addresses: Type.Optional(Type.Array(Type.String())),
      }),
    ),
  ),
});

export const CalicoNodeStatusBody = Type.Object({
  wireguardPublicKey: Type.Optional(WireGuardKey),
  wireguardPublicKeyV6: Type.Optional(WireGuardKey),
  podCIDRs: Type.Optional(Type.Array(Type.String({ format: 'network' }))),
});

/** `projectcalico.org/v3` Node; core/v1 has a Node of its own. */
export interface CalicoNode extends Resource {
  readonly kind: 'Node';
  readonly spec: Static<typeof CalicoNodeSpec>;
  readonly status?: Static<typeof CalicoNodeStatusBody>;
}

export const calicoNodeKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'Node',
  plural: 'nodes',
  singular: 'node',
  shortNames: [],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: CalicoNodeSpec,
    status: Type.Optional(CalicoNodeStatusBody),
  }),
  columns: [],
  check: (resource) => nodeProblems((resource as CalicoNode).spec),
};

function nodeProblems({ bgp }: CalicoNode['spec']): Problem[] {
  if (!bgp) return [];
  const { ipv4Address, ipv6Address, ipv4IPIPTunnelAddr } = bgp;
  const problems = [
    ...familyProblem(ipv4Address, 4, 'spec.bgp.ipv4Address'),
    ...familyProblem(ipv6Address, 6, 'spec.bgp.ipv6Address'),
  ];
  if (!ipv4Address && !ipv6Address && !ipv4IPIPTunnelAddr) {
    problems.push(fault('spec.bgp', 'needs ipv4Address, ipv6Address or ipv4IPIPTunnelAddr'));
  }
  return problems;
}

function familyProblem(address: string | undefined, family: Family, path: string): Problem[] {
  if (address === undefined || parsePrefix(address)?.family === family) return [];
  return [fault(path, `${quoted(address)} is no IPv${family} address`)];
}
