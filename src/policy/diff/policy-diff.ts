// The difference that a change of resources makes to flows: the types of the answer.
import type { Family } from '#lib';
import type { Half, Verdict } from '../explanation.ts';
import type { WorldProblem } from '../world-problem.ts';
import type { Range } from './traffic-space.ts';

/**
 * Everything that a change of resources opens or closes, exactly: a packet between two parties that are in both
 * worlds gets another verdict if and only if it lies in a group of `opened` or `closed`. As JSON it is the output of
 * `tortie diff -o json`.
 *
 * Parties are the same in both worlds by their name: a pod by namespace and name, a node by name, an outside address
 * by itself. Flows of what is in one world only are no flows that open or close; see `endpoints`.
 */
export interface PolicyDiff {
  /** Denied before, allowed after. */
  readonly opened: readonly FlowGroup[];
  /** Allowed before, denied after. */
  readonly closed: readonly FlowGroup[];
  /**
   * What is in one world only: `shop/web`, `node:one`, and for what gained or lost a family or a further address
   * `shop/web (IPv6)`, `node:one (203.0.113.7)`. An outside address that a pod or node gained or lost is not listed.
   */
  readonly endpoints: { readonly added: readonly string[]; readonly removed: readonly string[] };
  /** What is different and makes no flow different by itself, with the reason. */
  readonly notCompared: readonly NotCompared[];
  /** What is malformed and was left out, in the way that denies. */
  readonly problems: {
    readonly before: readonly WorldProblem[];
    readonly after: readonly WorldProblem[];
  };
  /** Numbers of pods by namespace and of nodes, in both worlds, for summaries such as `shop/*`. */
  readonly parties: {
    readonly podsByNamespace: Readonly<Record<string, number>>;
    readonly nodes: number;
  };
}

/**
 * The flows from each of `from` to each of `to`, in each of `families` that both have, with any of `traffic`. A
 * party to itself is never meant: that is always allowed. Groups do not overlap.
 */
export interface FlowGroup {
  readonly from: FlowParties;
  readonly to: FlowParties;
  /** Only pairs with both on one node, or one the node of the other (`true`), or not (`false`); absent: all pairs. */
  readonly sameNode?: { readonly before: boolean; readonly after: boolean };
  readonly families: readonly Family[];
  /** They do not overlap. */
  readonly traffic: readonly FlowTraffic[];
  readonly before: FlowJudgement;
  readonly after: FlowJudgement;
}

/** Parties by name; each list is sorted. */
export interface FlowParties {
  /** `namespace/name`, by the pod's first address of the family. */
  readonly pods: readonly string[];
  /** By the node's first address of the family. */
  readonly nodes: readonly string[];
  /** Pods and nodes by a further address: `node:one (203.0.113.7)`. */
  readonly byAddress: readonly string[];
  /**
   * Outside addresses, as `192.0.2.0/24` or `192.0.2.1-192.0.2.9`. The addresses of pods and nodes of either world
   * that lie in these are not meant.
   */
  readonly outside: readonly string[];
}

/** Packets of any of the protocols with any of the source ports and any of the ports or ICMP types. */
export interface FlowTraffic {
  /** Ranges of protocol numbers. */
  readonly protocols: readonly Range[];
  /** Absent: any, also for protocols that have none. */
  readonly sourcePorts?: readonly Range[];
  /** Destination ports; absent: any, also for protocols that have none. */
  readonly ports?: readonly Range[];
  /** Only for ICMP and ICMPv6; absent: any. */
  readonly icmp?: readonly IcmpRange[];
}

/** ICMP types with codes: each of the types with each of the codes. */
export interface IcmpRange {
  readonly types: Range;
  readonly codes: Range;
}

export interface FlowJudgement {
  readonly verdict: Verdict;
  /**
   * What decides the half. A half that flips has one item, which decides every flow of the group; a half that allows
   * before and after has each item that decides some flow of the group.
   */
  readonly egress: readonly Half[];
  readonly ingress: readonly Half[];
}

export interface NotCompared {
  /** `StagedNetworkPolicy shop/web`. */
  readonly resource: string;
  readonly reason: string;
}
