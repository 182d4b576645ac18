// Which tunnels the address pools ask for, unless the configuration says (spec 04, overlay).
import type { PoolSource } from '../model.ts';

export interface Encapsulation {
  readonly ipip: boolean;
  readonly vxlan: boolean;
  readonly vxlanV6: boolean;
}

/** Null: the pools decide. */
export interface EncapsulationOverride {
  readonly ipip: boolean | null;
  readonly vxlan: boolean | null;
  /** Without it there are no tunnels over IPv6, whatever else says so. */
  readonly ipv6: boolean;
}

/** The override is of both families for VXLAN, as upstream takes it. */
export function encapsulationOf(
  pools: Iterable<PoolSource>,
  override: EncapsulationOverride,
): Encapsulation {
  let [ipip, vxlan, vxlanV6] = [false, false, false];
  for (const { cidr, ipipMode, vxlanMode } of pools) {
    const isV6 = cidr.includes(':');
    ipip ||= ipipMode !== 'Never' && !isV6;
    vxlan ||= vxlanMode !== 'Never' && !isV6;
    vxlanV6 ||= vxlanMode !== 'Never' && isV6;
  }
  return {
    ipip: override.ipip ?? ipip,
    vxlan: override.vxlan ?? vxlan,
    vxlanV6: override.ipv6 && (override.vxlan ?? vxlanV6),
  };
}
