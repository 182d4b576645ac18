// Where a test cluster's nodes, address blocks and the machine outside are, and what every machine serves.
import type { Family } from '#lib';
import { BLOCKS, NODE_ADDRESS, NODES, OUTSIDE, PROBED_PORTS } from '../worlds.ts';

export interface ServedPort {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
}

export interface LayoutNode {
  readonly name: string;
  readonly address: Readonly<Record<Family, string>>;
  /** Prefixes of either family; what the underlay routes to the node. */
  readonly blocks: readonly string[];
}

/** The nodes, the gateway and the outer machine's own address share a /24 and a /64. */
export interface ClusterLayout {
  readonly nodes: readonly LayoutNode[];
  readonly gateway: Readonly<Record<Family, string>>;
  readonly outsideOnLink: Readonly<Record<Family, string>>;
  /** The address as which the outer machine speaks and is spoken to. */
  readonly outside: Readonly<Record<Family, string>>;
  /** Machines for pods; a world may use fewer. */
  readonly machines: number;
  readonly served: readonly ServedPort[];
}

/** That of the random worlds. */
export const WORLDS_LAYOUT: ClusterLayout = {
  nodes: NODES.map((name) => ({
    name,
    address: NODE_ADDRESS[name],
    blocks: [BLOCKS[name][4], BLOCKS[name][6]],
  })),
  gateway: { 4: '172.30.0.1', 6: 'fd00:30::1' },
  outsideOnLink: { 4: '172.30.0.99', 6: 'fd00:30::99' },
  outside: OUTSIDE,
  machines: 10,
  served: PROBED_PORTS,
};
