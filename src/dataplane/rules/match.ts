// What a rule may ask of a packet.
import type { Family } from '#lib';
import type { PortRange } from '#calc/dataplane-update';

/** Which end of the packet: its source or its destination. */
export type PacketEnd = 'source' | 'destination';

/** `negated` turns the answer round. Lists hold alternatives and at least one item. */
export type Match =
  | { readonly match: 'family'; readonly family: Family }
  | {
      readonly match: 'protocol';
      readonly protocols: readonly number[];
      readonly negated?: boolean;
    }
  /** Masked prefixes of one family; implies a `family` match before it. */
  | {
      readonly match: 'nets';
      readonly end: PacketEnd;
      readonly family: Family;
      readonly nets: readonly string[];
      readonly negated?: boolean;
    }
  /**
   * `set` is the ID of an IP set; implies a `family` match before it. `exact`: all its members of the family are
   * single addresses.
   */
  | {
      readonly match: 'ip-set';
      readonly end: PacketEnd;
      readonly family: Family;
      readonly set: string;
      readonly exact?: boolean;
      readonly negated?: boolean;
    }
  /** Implies a protocol with ports. */
  | {
      readonly match: 'ports';
      readonly end: PacketEnd;
      readonly ports: readonly PortRange[];
      readonly negated?: boolean;
    }
  /** Address, protocol and port together; `set` is the ID of an IP set of type `ip-port`. */
  | {
      readonly match: 'ip-port-set';
      readonly end: PacketEnd;
      readonly family: Family;
      readonly set: string;
      readonly negated?: boolean;
    }
  /** Implies ICMP or ICMPv6. */
  | {
      readonly match: 'icmp';
      readonly types: readonly number[];
      readonly code?: number;
      readonly negated?: boolean;
    }
  | {
      readonly match: 'interface';
      readonly way: InterfaceWay;
      readonly prefix: string;
      readonly negated?: boolean;
    }
  /** One interface. */
  | {
      readonly match: 'interface-name';
      readonly way: InterfaceWay;
      readonly name: string;
      readonly negated?: boolean;
    }
  | { readonly match: 'connection'; readonly states: readonly ConnectionState[] }
  | { readonly match: 'mark'; readonly bit: number }
  /** Whether the address is one of this host's. */
  | { readonly match: 'local'; readonly end: PacketEnd; readonly negated?: boolean }
  /** The route back to the source does not leave by the interface the packet came in by. */
  | { readonly match: 'source-not-routed-back' };

export type InterfaceWay = 'in' | 'out';
export type ConnectionState = 'established' | 'related' | 'invalid';
