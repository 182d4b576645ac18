// This host's VXLAN devices, from the ends of the overlay and the agent's parameters (spec 08).
import { FAMILIES, type Family, jsonEqual } from '#lib';
import type { Parameters } from '../configuration.ts';
import type { VxlanTunnel } from '../dataplane-update.ts';
import type { Encapsulation } from './encapsulation.ts';
import type { VxlanResolver } from './vxlan-resolver.ts';

export class VxlanTunnels {
  readonly #hostname: string;
  readonly #vxlan: VxlanResolver;
  #basis: readonly unknown[] = [];
  #tunnels: readonly VxlanTunnel[] = [];

  constructor(hostname: string, vxlan: VxlanResolver) {
    this.#hostname = hostname;
    this.#vxlan = vxlan;
  }

  /** The same object while they are the same. */
  list(parameters: Parameters, encapsulation: Encapsulation): readonly VxlanTunnel[] {
    const basis = [parameters, encapsulation, this.#vxlan.ends(4), this.#vxlan.ends(6)];
    if (basis.every((part, index) => part === this.#basis[index])) return this.#tunnels;
    this.#basis = basis;
    const tunnels = FAMILIES.flatMap((family) => {
      const isWanted = family === 4 ? encapsulation.vxlan : encapsulation.vxlanV6;
      return isWanted ? (this.#tunnel(family, parameters) ?? []) : [];
    });
    if (!jsonEqual(tunnels, this.#tunnels)) this.#tunnels = tunnels;
    return this.#tunnels;
  }

  /** None while this host has no end of its own. */
  #tunnel(family: Family, parameters: Parameters): VxlanTunnel | undefined {
    const own = this.#vxlan.end(this.#hostname, family);
    if (!own) return undefined;
    const ends = [...this.#vxlan.ends(family).values()];
    return {
      family,
      vni: parameters.number('VXLANVNI'),
      port: parameters.number('VXLANPort'),
      mtu: parameters.number(family === 4 ? 'VXLANMTU' : 'VXLANMTUV6'),
      address: own.address,
      mac: own.mac,
      underlay: own.underlay,
      peers: ends.filter(({ node }) => node !== this.#hostname),
    };
  }
}
