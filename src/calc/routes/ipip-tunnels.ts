// This host's IPIP device, from the nodes and the agent's parameters (spec 08).
import { jsonEqual } from '#lib';
import type { Parameters } from '../configuration.ts';
import type { IpipTunnel } from '../dataplane-update.ts';
import type { Encapsulation } from './encapsulation.ts';
import type { NodeBook } from './node-book.ts';

export class IpipTunnels {
  readonly #nodes: NodeBook;
  #basis: readonly unknown[] = [];
  #tunnel: IpipTunnel | null = null;

  constructor(nodes: NodeBook) {
    this.#nodes = nodes;
  }

  /** The same object while it is the same. */
  tunnel(parameters: Parameters, { ipip }: Encapsulation): IpipTunnel | null {
    const addresses = ipip ? this.#nodes.addresses() : undefined;
    const own = this.#nodes.source(this.#nodes.hostname);
    const basis = [parameters, ipip, addresses, own];
    if (basis.every((part, index) => part === this.#basis[index])) return this.#tunnel;
    this.#basis = basis;
    const next: IpipTunnel | null = addresses
      ? {
          mtu: parameters.number('IpInIpMtu'),
          address: own?.tunnels.find(({ type }) => type === 'ipip')?.address ?? null,
          peers: [...addresses].flatMap(([node, address]) =>
            node === this.#nodes.hostname ? [] : [address],
          ),
        }
      : null;
    if (!jsonEqual(next, this.#tunnel)) this.#tunnel = next;
    return this.#tunnel;
  }
}
