// Nodes, pools and blocks read from resources, as far as routes and tunnels need them (spec 04, 4.4; spec 05).
import type { IPAMBlock, IPPool, KubernetesNode } from '#api';
import { type Family, formatAddress, parseAddress, parsePrefix } from '#lib';
import type {
  BlockSource,
  NodeSource,
  PoolSource,
  TunnelAddress,
  VxlanSource,
  WireguardSource,
} from './model.ts';

export interface DecodedNode {
  readonly node: NodeSource;
  readonly vxlan: VxlanSource;
  readonly wireguard: WireguardSource;
}

const CALICO = 'projectcalico.org';

/** Its own annotations first; a node that has none is reached by its first InternalIP of a family. */
export function decodeNode({ metadata, status }: KubernetesNode): DecodedNode {
  const annotations = metadata.annotations ?? {};
  const annotation = (name: string): string | undefined => {
    const key = `${CALICO}/${name}`;
    return Object.hasOwn(annotations, key) ? annotations[key] : undefined;
  };
  const addresses = (status?.addresses ?? []).filter(({ type }) => ADDRESS_TYPES.includes(type));
  const internal = addresses.filter(({ type }) => type === 'InternalIP');
  const network = (name: string, family: Family): string | undefined => {
    const given = annotation(name);
    if (given && parsePrefix(given)?.family === family) return given;
    return internal.find(({ address }) => parseAddress(address)?.family === family)?.address;
  };
  const tunnel = (name: string): string[] => {
    const address = parseAddress(annotation(name) ?? '');
    return address ? [formatAddress(address)] : [];
  };
  const vxlan = [...tunnel('IPv4VXLANTunnelAddr'), ...tunnel('IPv6VXLANTunnelAddr')];
  const wireguard = [
    ...tunnel('IPv4WireguardInterfaceAddr'),
    ...tunnel('IPv6WireguardInterfaceAddr'),
  ];
  const tunnels: TunnelAddress[] = [
    ...tunnel('IPv4IPIPTunnelAddr').map((address) => ({ type: 'ipip' as const, address })),
    ...vxlan.map((address) => ({ type: 'vxlan' as const, address })),
    ...wireguard.map((address) => ({ type: 'wireguard' as const, address })),
  ];
  return {
    node: {
      networks: [network('IPv4Address', 4), network('IPv6Address', 6)].flatMap((it) => it ?? []),
      addresses: addresses.map(({ address }) => address),
      labels: metadata.labels ?? {},
      tunnels,
      bgp: BGP_ANNOTATIONS.some((name) => annotation(name) !== undefined),
    },
    vxlan: {
      addresses: vxlan,
      mac: annotation('VXLANTunnelMACAddr') || undefined,
      macV6: annotation('VXLANTunnelMACAddrV6') || undefined,
    },
    wireguard: {
      addresses: wireguard,
      publicKey: annotation('WireguardPublicKey') || undefined,
      publicKeyV6: annotation('WireguardPublicKeyV6') || undefined,
    },
  };
}

const BGP_ANNOTATIONS: readonly string[] = [
  'IPv4Address',
  'IPv6Address',
  'ASNumber',
  'IPv4IPIPTunnelAddr',
  'RouteReflectorClusterID',
];
const ADDRESS_TYPES: readonly string[] = ['InternalIP', 'ExternalIP'];

export function decodePool({ spec }: IPPool): PoolSource {
  return {
    cidr: spec.cidr,
    vxlanMode: spec.vxlanMode ?? 'Never',
    ipipMode: spec.ipipMode ?? 'Never',
    natOutgoing: spec.natOutgoing === true,
  };
}

const AFFINITY = 'host:';

/** Undefined for a block that is being deleted, or that has no readable prefix. */
export function decodeBlock({ spec }: IPAMBlock): BlockSource | undefined {
  const prefix = parsePrefix(spec.cidr);
  if (!prefix || spec.deleted) return undefined;
  const host = spec.affinity?.startsWith(AFFINITY)
    ? spec.affinity.slice(AFFINITY.length)
    : undefined;
  const borrowed = spec.allocations.flatMap((attribute, ordinal) => {
    const node = attribute === null ? undefined : spec.attributes[attribute]?.secondary?.['node'];
    if (node === undefined || node === host) return [];
    const address = { family: prefix.family, bits: prefix.bits + BigInt(ordinal) };
    return [{ address: formatAddress(address), node }];
  });
  return { cidr: spec.cidr, host, borrowed };
}
