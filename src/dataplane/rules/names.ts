// Names of chains, sets and maps: short, unique, and the same after each restart.
import { hash } from 'node:crypto';
import type { Family } from '#lib';
import type { Direction } from '#calc/dataplane-update';

const HASH_LENGTH = 16;

/** Sixteen characters of base64url: 96 bits of SHA-256. */
export function shortHash(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, HASH_LENGTH);
}

/** Chain of one policy or profile, `key` being its `policyKey`. */
export function policyChainName(key: string, direction: Direction): string {
  return `${direction === 'ingress' ? 'pi' : 'po'}-${shortHash(key)}`;
}

/** Chain of a tier as some endpoints see it; equal content has an equal name. */
export function tierChainName(direction: Direction, content: string): string {
  return `${direction === 'ingress' ? 'ti' : 'to'}-${shortHash(content)}`;
}

/** Chain of all workload endpoints of a class. */
export function endpointChainName(endpointClass: string, direction: Direction): string {
  return `${direction === 'ingress' ? 'wi' : 'wo'}-${endpointClass}`;
}

/** The map from a workload's interface to its class. */
export const WORKLOADS_MAP = 'workloads';

/** The map from the class of a workload to its chain. */
export function dispatchMapName(direction: Direction): string {
  return `dispatch-${direction}`;
}

/** Where a packet is on its way when a host endpoint looks at it. */
export type HostStage = 'untracked' | 'pre-dnat' | 'forward' | 'normal';

const STAGE_LETTER: Readonly<Record<HostStage, string>> = {
  untracked: 'u',
  'pre-dnat': 'd',
  forward: 'f',
  normal: 'n',
};

/** Chain of a host endpoint; the one for all interfaces has a name that no interface can have. */
export function hostChainName(
  stage: HostStage,
  direction: Direction,
  interfaceName: string,
): string {
  const letters = `h${STAGE_LETTER[stage]}${direction === 'ingress' ? 'i' : 'o'}`;
  return `${letters}-${interfaceName === ALL_INTERFACES ? '/all' : interfaceName}`;
}

/** The name by which a host endpoint means every interface. */
export const ALL_INTERFACES = '*';

/** The map from interface to the chain of its host endpoint. */
export function hostMapName(stage: HostStage, direction: Direction): string {
  return `host-${stage}-${direction}`;
}

/** What the kernel's set holds: prefixes of any length, single addresses, or addresses with protocol and port. */
export type SetKind = 'net' | 'address' | 'ip-port';

const SET_LETTER: Readonly<Record<SetKind, string>> = { net: 's', address: 'a', 'ip-port': 'p' };

/** The part of an IP set that holds the members of one family. */
export function ipSetName(id: string, kind: SetKind, family: Family): string {
  return `${SET_LETTER[kind]}${family}-${shortHash(id)}`;
}

/** Name of the IPIP device (spec 08), which is also that of the kernel's own. */
export const IPIP_DEVICE = 'tunl0';

/** Names of the VXLAN devices (spec 08). */
export const TUNNEL_DEVICE: Readonly<Record<Family, string>> = {
  4: 'vxlan.calico',
  6: 'vxlan-v6.calico',
};
