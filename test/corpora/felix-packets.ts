// The form of corpus felix-policy-packets: rule sets in Felix's wire form, and packets with their verdict.

export interface PacketCase {
  readonly id: string;
  readonly ipv6: boolean;
  readonly policy: {
    readonly Tiers?: readonly FelixTier[];
    readonly Profiles?: readonly FelixPolicy[];
    readonly ForHostInterface?: boolean;
    readonly ForXDP?: boolean;
    readonly HostPreDnatTiers?: readonly FelixTier[];
    readonly HostForwardTiers?: readonly FelixTier[];
    readonly HostNormalTiers?: readonly FelixTier[];
    readonly HostProfiles?: readonly FelixPolicy[];
    readonly SuppressNormalHostPolicy?: boolean;
  };
  readonly ipSets?: Readonly<Record<string, readonly string[]>>;
  readonly allowed?: readonly FelixPacket[];
  readonly dropped?: readonly FelixPacket[];
  readonly unmatched?: readonly FelixPacket[];
}

export interface FelixTier {
  readonly Name: string;
  readonly EndAction?: string;
  readonly Policies?: readonly FelixPolicy[];
}

export interface FelixPolicy {
  readonly Name: string;
  readonly Rules?: readonly FelixRule[];
}

export interface FelixProtocol {
  readonly Name?: string;
  readonly Number?: number;
}

export type Sided<Field extends string> = `src_${Field}` | `dst_${Field}`;
export type Ports = readonly { readonly first?: number; readonly last?: number }[];

export interface FelixRule
  extends Readonly<Partial<Record<Sided<'net'> | `not_${Sided<'net'>}`, readonly string[]>>>,
    Readonly<Partial<Record<Sided<'ports'> | `not_${Sided<'ports'>}`, Ports>>>,
    Readonly<Partial<Record<SetField, readonly string[]>>> {
  readonly action: string;
  readonly protocol?: FelixProtocol;
  readonly not_protocol?: FelixProtocol;
  readonly Icmp?: { readonly IcmpType?: number; readonly IcmpTypeCode?: TypeCode };
  readonly NotIcmp?: { readonly NotIcmpType?: number; readonly NotIcmpTypeCode?: TypeCode };
}

export type SetField =
  | Sided<'ip_set_ids'>
  | `not_${Sided<'ip_set_ids'>}`
  | Sided<'named_port_ip_set_ids'>
  | `not_${Sided<'named_port_ip_set_ids'>}`;

export interface TypeCode {
  readonly type: number;
  readonly code: number;
}

export interface FelixPacket {
  readonly protocol: number;
  readonly src: string;
  readonly dst: string;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly preDNATDst?: string;
  readonly preDNATDstPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly fromHost?: boolean;
  readonly toHost?: boolean;
}
