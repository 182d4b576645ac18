// How big packets may be: the host's interfaces, less what wrapping takes (spec 04: MTU auto-detect).
import type { Family } from '#lib';
import type { Link } from '#linux';
import type { DataplaneState, VxlanTunnel } from '#calc/dataplane-update';

/** Bytes that VXLAN puts around a packet, by family of the addresses under the tunnel. */
const VXLAN_OVERHEAD: Readonly<Record<Family, number>> = { 4: 50, 6: 70 };
const IPIP_OVERHEAD = 20;
const USUAL_MTU = 1500;

/** The smallest MTU of the interfaces that are up and match; 1500 where none does, or the pattern is none. */
export function hostMtu(links: readonly Link[], pattern: string): number {
  const matches = regularExpression(pattern);
  const own = links.filter(({ name, up }) => up && matches?.test(name));
  return own.length === 0 ? USUAL_MTU : Math.min(...own.map(({ mtu }) => mtu));
}

/** What is set for the tunnel, or else what fits into the host's interfaces. */
export function tunnelMtu(
  tunnel: VxlanTunnel,
  links: readonly Link[],
  { mtuInterfacePattern }: DataplaneState['settings'],
): number {
  return tunnel.mtu || hostMtu(links, mtuInterfacePattern) - VXLAN_OVERHEAD[tunnel.family];
}

/** What fits into the host's interfaces once it is wrapped into another packet. */
export function ipipMtu(
  links: readonly Link[],
  { mtuInterfacePattern }: DataplaneState['settings'],
): number {
  return hostMtu(links, mtuInterfacePattern) - IPIP_OVERHEAD;
}

/** For workloads' interfaces: what fits the host's interfaces, wrapped or not. */
export function workloadMtu(
  { tunnels, ipip, settings }: Pick<DataplaneState, 'tunnels' | 'ipip' | 'settings'>,
  links: readonly Link[],
): number {
  const wrapped = tunnels.map((tunnel) => tunnelMtu(tunnel, links, settings));
  if (ipip) wrapped.push(ipip.mtu || ipipMtu(links, settings));
  return Math.min(hostMtu(links, settings.mtuInterfacePattern), ...wrapped);
}

function regularExpression(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern);
  } catch {
    return undefined;
  }
}
