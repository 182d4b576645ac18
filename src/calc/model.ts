// What the calculation works on: Calico's objects as far as they matter to a host, whatever they were read from.
import type { EndpointSlice, Rule } from '#api';
import type { FloatingAddress } from './dataplane-update.ts';
import type { Labels, Selector } from '#selector';
import type { Labelled } from './labels/label-index.ts';

export type { Labels };

export interface NamedPort {
  readonly name: string;
  /** `tcp`, `udp`, `sctp`; any other is matched by nothing. */
  readonly protocol: string;
  readonly port: number;
}

/** Anything that selectors match and that has addresses: an endpoint, or a network set. */
export interface LabelledObject extends Labelled {
  /** Masked prefixes, each once. */
  readonly members: readonly string[];
  readonly ports: readonly NamedPort[];
}

export interface Workload extends LabelledObject {
  /** `namespace/pod`. */
  readonly id: string;
  readonly node: string | undefined;
  readonly interfaceName: string;
  readonly allowedSources: readonly string[];
  readonly floatingAddresses: readonly FloatingAddress[];
}

export interface HostInterface extends LabelledObject {
  /** Name of the HostEndpoint. */
  readonly id: string;
  readonly node: string;
  /** `*` for all; null where the addresses say which. */
  readonly interfaceName: string | null;
}

export interface ProfileSource {
  readonly labels: Readonly<Record<string, string>>;
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

export interface TierSource {
  readonly order: number | null;
  readonly defaultAction: 'Deny' | 'Pass';
}

/** A Node: where it is reached, and what it has on tunnels. Addresses without length. */
export interface NodeSource {
  /** With the length of its subnet, one of each family at most. */
  readonly networks: readonly string[];
  /** Others that it has, with or without length. */
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly tunnels: readonly TunnelAddress[];
  /** It says something of BGP; without any address then it tells others nothing of itself. */
  readonly bgp: boolean;
}

export interface TunnelAddress {
  readonly type: 'ipip' | 'vxlan' | 'wireguard';
  readonly address: string;
}

/** What makes a node an end of the VXLAN overlay. */
export interface VxlanSource {
  readonly addresses: readonly string[];
  /** Of its IPv4 and IPv6 devices, where it chose them. */
  readonly mac: string | undefined;
  readonly macV6: string | undefined;
}

export interface WireguardSource {
  readonly addresses: readonly string[];
  readonly publicKey: string | undefined;
  readonly publicKeyV6: string | undefined;
}

export interface PoolSource {
  readonly cidr: string;
  readonly vxlanMode: 'Never' | 'Always' | 'CrossSubnet';
  readonly ipipMode: 'Never' | 'Always' | 'CrossSubnet';
  readonly natOutgoing: boolean;
}

export interface BlockSource {
  readonly cidr: string;
  /** The host that it is affine to. */
  readonly host: string | undefined;
  /** Addresses that others took out of it, with the node that has them. */
  readonly borrowed: readonly { readonly address: string; readonly node: string }[];
}

/** A workload or one endpoint of it: its ID, or what the IDs of all its endpoints have before a slash. */
export interface WorkloadReference {
  readonly id: string;
  /** Where it must run; absent is anywhere. */
  readonly node?: string;
}

/** A virtual machine on its way from one workload to another. */
export interface MigrationSource {
  readonly source?: WorkloadReference;
  readonly target?: WorkloadReference;
  readonly targetSelector?: Selector;
}

/** Of a slice of a Service what policy needs. */
export interface SliceSource {
  /** `namespace/name`. */
  readonly service: string;
  readonly endpoints: EndpointSlice['endpoints'];
  readonly ports: EndpointSlice['ports'];
}
